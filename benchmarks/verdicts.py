"""Simulate studies whose truth is known, and count how often `compare` claims a difference.

    python -m benchmarks.verdicts

A score is view + seed (sd 0.1 dB) + interaction of config and view (sd 0.3 dB, correlated along the
views) + noise (sd 0.15 dB). These are typical of small scenes trained for a minute. The oracle
knows all variances.
"""

import argparse

import numpy as np
from jaxtyping import Float

from nerf.comparing.statistics import compare, compare_columns

COLUMNS = ("psnr", "psnr_corrected", "ssim", "flip", "lpips", "lpips_vgg")


def along_path(rng: np.random.Generator, views: int, correlation: float) -> Float[np.ndarray, " v"]:
    """Return unit-variance AR(1) noise along the views.

    Args:
      rng: the random generator.
      views: number of views.
      correlation: correlation of neighbouring views.
    """
    fresh = rng.normal(size=views)
    out = np.empty(views)
    out[0] = fresh[0]
    for i in range(1, views):
        out[i] = correlation * out[i - 1] + np.sqrt(1.0 - correlation**2) * fresh[i]
    return out


def study(
    rng: np.random.Generator,
    effect: float,
    seeds: int | tuple[int, int],
    correlation: float = 0.0,
    views: int = 20,
    configs: int = 2,
    seed_spread: float = 0.1,
    interaction: float = 0.3,
    noise: float = 0.15,
    unequal: float = 1.0,
) -> dict[str, Float[np.ndarray, "_ v"]]:
    """Return the scores of a simulated study.

    Args:
      rng: the random generator.
      effect: improvement of each config over the one before it, in dB.
      seeds: number of seeds of each config, or of the first and of the second.
      correlation: correlation of the interaction at neighbouring views.
      views: number of views.
      configs: number of configs.
      seed_spread: standard deviation of the seed effect, in dB.
      interaction: standard deviation of the interaction of config and view, in dB.
      noise: standard deviation of the remaining noise, in dB.
      unequal: factor of the seed spread of the first config.

    Returns: scores (seeds, views) of each config, in dB.
    """
    view = rng.normal(0.0, 3.0, views)
    scores = {}
    for c in range(configs):
        n = seeds[c] if isinstance(seeds, tuple) else seeds
        spread = seed_spread * (1.0 if c else unequal)
        # Seed effect (n, 1) plus independent noise (n, views).
        by_seed = rng.normal(0.0, spread, (n, 1)) + rng.normal(0.0, noise, (n, views))
        scores[f"c{c}"] = (
            30.0 + view + effect * c + interaction * along_path(rng, views, correlation) + by_seed
        )
    return scores


def table_of(
    rng: np.random.Generator, effect: float, configs: int, correlation: float, seeds: int = 3
) -> dict[str, dict[str, Float[np.ndarray, "_ v"]]]:
    """Return a simulated study of six metrics with independent noise and the same effect.

    Args:
      rng: the random generator.
      effect: improvement of each config over the one before it, in dB.
      configs: number of configs.
      correlation: correlation of the interaction at neighbouring views.
      seeds: number of seeds of each config.

    Returns: for each metric the scores of each config, see `study`.
    """
    return {name: study(rng, effect, seeds, correlation, configs=configs) for name in COLUMNS}


def oracle_power(effect: float, seeds: int, correlation: float, views: int = 20) -> float:
    """Return the power of a z test that knows all variances, from simulated studies.

    Args:
      effect: true difference, in dB.
      seeds: number of seeds of each config.
      correlation: correlation of the interaction at neighbouring views.
      views: number of views.
    """
    # Correlated views carry less information: the variance of their mean grows by `longer`.
    lags = np.arange(1, views)
    longer = 1.0 + 2.0 * ((1.0 - lags / views) * correlation**lags).sum()
    variance = (
        2 * 0.1**2 / seeds + 2 * 0.3**2 / views * float(longer) + 2 * 0.15**2 / (seeds * views)
    )
    draws = effect + np.sqrt(variance) * np.random.default_rng(0).normal(size=100_000)
    return float((np.abs(draws) > 1.96 * np.sqrt(variance)).mean())


def table_claims(configs: int, correlation: float, studies: int) -> tuple[float, float]:
    """Return the fraction of studies with a false claim, and with a true claim of 0.5 dB in PSNR.

    Args:
      configs: number of configs in the studies without a difference; the others have two.
      correlation: correlation of the interaction at neighbouring views.
      studies: number of studies to simulate.
    """
    rng = np.random.default_rng(2)
    wrong = power = 0
    for _ in range(studies):
        none = compare_columns(table_of(rng, 0.0, configs, correlation), "psnr")
        wrong += any(d.real for column in none.values() for d in column)
        there = compare_columns(table_of(rng, 0.5, 2, correlation), "psnr")
        power += there["psnr"][0].real
    return wrong / studies, power / studies


def main() -> None:
    """Print the tables of docs/comparing.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=400)
    studies = parser.parse_args().studies
    head = "| seeds | correlation | nothing differs | 0.3 dB | 0.5 dB "
    print(head + "| oracle, 0.3 dB | oracle, 0.5 dB |")
    print("|---|---|---|---|---|---|---|")
    for seeds in (2, 3, 5):
        for correlation in (0.0, 0.3, 0.6):
            found = []
            for effect in (0.0, 0.3, 0.5):
                rng = np.random.default_rng(1)
                claimed = [
                    compare(study(rng, effect, seeds, correlation))[0].real for _ in range(studies)
                ]
                found.append(float(np.mean(claimed)))
            oracle = [oracle_power(effect, seeds, correlation) for effect in (0.3, 0.5)]
            cells = " | ".join(f"{100 * share:.1f} %" for share in (*found, *oracle))
            print(f"| {seeds} | {correlation} | {cells} |", flush=True)
    head = "\n| configs | correlation | nothing differs, any claim in six metrics "
    print(head + "| 0.5 dB in PSNR, claimed |")
    print("|---|---|---|---|")
    for configs in (2, 6):
        for correlation in (0.0, 0.3, 0.6):
            wrong, power = table_claims(configs, correlation, studies)
            power_cell = f"{100 * power:.1f} %" if configs == 2 else ""
            print(f"| {configs} | {correlation} | {100 * wrong:.1f} % | {power_cell} |", flush=True)
    for unequal in (1.0, 4.0):
        rng = np.random.default_rng(3)
        claimed = [
            compare(study(rng, 0.0, (1, 3), unequal=unequal))[0].real for _ in range(studies)
        ]
        print(f"\none seed against three, seed spread of the first times {unequal:g}: ", end="")
        print(f"{100 * np.mean(claimed):.1f} %")


if __name__ == "__main__":
    main()
