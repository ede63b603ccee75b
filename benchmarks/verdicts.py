"""Simulate studies whose truth is known, and count how often `compare` claims a difference.

    python -m benchmarks.verdicts

A score is view + seed (sd 0.1 dB) + interaction of config and view (sd 0.3 dB, correlated along the views) + noise (sd
0.15 dB); these are about the sizes of small scenes trained for a minute. The oracle knows all variances.
"""

import argparse

import numpy as np
from jaxtyping import Float

from nerf.comparing.statistics import compare, compare_columns

COLUMNS = ("psnr", "psnr_corrected", "ssim", "flip", "lpips", "lpips_vgg")


def along_path(rng: np.random.Generator, views: int, correlation: float) -> Float[np.ndarray, " v"]:
    """Return unit-variance noise in which neighbouring views have this correlation (AR(1))."""
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
      rng: what is drawn from.
      effect: how much better each config is than the one before it, in dB.
      seeds: of each config, or of the first and of the second.
      correlation: of the interaction of neighbouring views.
      views: how many.
      configs: how many.
      seed_spread: standard deviation of the seeds' means, in dB.
      interaction: standard deviation of what a view adds to one config, in dB.
      noise: standard deviation of what is left, in dB.
      unequal: how many times as far the seeds of the first config spread.

    Returns: (seeds, views) of each config.
    """
    view = rng.normal(0.0, 3.0, views)
    scores = {}
    for c in range(configs):
        n = seeds[c] if isinstance(seeds, tuple) else seeds
        spread = seed_spread * (1.0 if c else unequal)
        by_seed = rng.normal(0.0, spread, (n, 1)) + rng.normal(0.0, noise, (n, views))
        scores[f"c{c}"] = (
            30.0 + view + effect * c + interaction * along_path(rng, views, correlation) + by_seed
        )
    return scores


def table_of(
    rng: np.random.Generator, effect: float, configs: int, correlation: float, seeds: int = 3
) -> dict[str, dict[str, Float[np.ndarray, "_ v"]]]:
    """Return the columns of a simulated study: metrics with noises of their own, all of one effect."""
    return {name: study(rng, effect, seeds, correlation, configs=configs) for name in COLUMNS}


def oracle_power(effect: float, seeds: int, correlation: float, views: int = 20) -> float:
    """Return how often a z test that knows every variance claims a difference of `effect`, in simulated studies."""
    lags = np.arange(1, views)
    longer = 1.0 + 2.0 * ((1.0 - lags / views) * correlation**lags).sum()
    variance = (
        2 * 0.1**2 / seeds + 2 * 0.3**2 / views * float(longer) + 2 * 0.15**2 / (seeds * views)
    )
    draws = effect + np.sqrt(variance) * np.random.default_rng(0).normal(size=100_000)
    return float((np.abs(draws) > 1.96 * np.sqrt(variance)).mean())


def table_claims(configs: int, correlation: float, studies: int) -> tuple[float, float]:
    """Return how often tables without any difference claim one, and how often 0.5 dB in PSNR are claimed."""
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
    print("| seeds | correlation | none | 0.3 dB | 0.5 dB | oracle, 0.3 dB | oracle, 0.5 dB |")
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
    print(
        "\n| configs | correlation | any claim in any of six metrics, none is there | 0.5 dB in PSNR, claimed |"
    )
    print("|---|---|---|---|")
    for configs in (2, 6):
        for correlation in (0.0, 0.3, 0.6):
            wrong, power = table_claims(configs, correlation, studies)
            told = f"{100 * power:.1f} %" if configs == 2 else ""
            print(f"| {configs} | {correlation} | {100 * wrong:.1f} % | {told} |", flush=True)
    for unequal in (1.0, 4.0):
        rng = np.random.default_rng(3)
        claimed = [
            compare(study(rng, 0.0, (1, 3), unequal=unequal))[0].real for _ in range(studies)
        ]
        print(
            f"\none seed against three, the first spreading {unequal:g} times as far: {100 * np.mean(claimed):.1f} %"
        )


if __name__ == "__main__":
    main()
