r"""Estimate how far the mean difference of two configs in one study may be from the truth: seeds and views.

The model. The score of config c, seed s, view v is

    score_csv = mean_c + view_v + seed_cs + interaction_cv + noise_csv.

What a view adds to every config cancels in the difference of two configs. The three other terms do not, and each is a
reason why the same study, repeated with other seeds and other views, would give another difference.

Seeds. The mean of n seeds of two configs has the standard error of Welch (1947), which lets the configs spread
differently. It needs two seeds of each.

Views. Views along a path are not independent: what one config does better at a view, it does better at the next view
too. The interaction of neighbouring views is taken as an AR(1) process along the list of views, with an unknown
correlation rho. A third of the prior says rho = 0, two thirds are uniform over 0 < rho < 0.95. With a flat prior on
mean and log scale, the posterior of rho follows in closed form, and given rho the mean of the V views has a t
distribution of V - 1 degrees of freedom with the scale

    scale^2 = residual^2 (1' R 1) / V^2,    R_ij = rho^|i-j|.

So views count fully where their differences look independent, and less the more they resemble their neighbours. The
noise of single runs, known where there are several seeds, is part of the seeds' error and is left out here.

Together. Given rho, the two errors combine to a t distribution with the degrees of freedom of Satterthwaite (1946);
p-values and intervals are of the mixture over rho.

References: Welch, "The generalization of 'Student's' problem when several different population variances are
involved" (Biometrika 1947); Satterthwaite, "An approximate distribution of estimates of variance components"
(Biometrics Bulletin 1946); Zellner and Tiao, "Bayesian analysis of the regression model with autocorrelated errors"
(JASA 1964).
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

INDEPENDENT_PRIOR = 1 / 3  # prior probability that neighbouring views are independent
MAX_CORRELATION = 0.95
NUM_CORRELATIONS = 24  # values of rho between 0 and the largest
MAX_NOISE_SHARE = 0.9  # of what differs between views, that single runs' noise may explain
MAX_VIEWS = (
    100  # more views are averaged in groups of neighbours, which changes nothing but the cost
)


@dataclasses.dataclass(frozen=True)
class Error:
    """How far the mean difference of a study may be from the truth: a mixture of scaled t distributions about 0.

    Attributes:
      weight: of each part, summing to 1.
      scale: of each part, in the units of the scores.
      freedom: degrees of freedom of each part.
    """

    weight: Float[np.ndarray, " k"]
    scale: Float[np.ndarray, " k"]
    freedom: Float[np.ndarray, " k"]

    def two_sided(self, distance: float) -> float:
        """Return the probability of an error of at least `distance` to either side."""
        scale = np.where(self.scale > 0.0, self.scale, 1.0)
        tails = 2.0 * special.stdtr(
            np.maximum(self.freedom, 1e-6), -abs(distance) / scale
        )  # Student's t
        certain = np.full(len(tails), float(distance == 0.0))
        return float((self.weight * np.where(self.scale > 0.0, tails, certain)).sum())

    def half_width(self, alpha: float) -> float:
        """Return the distance that an error exceeds with probability `alpha`."""
        reach = float(self.scale.max())
        if reach == 0.0:
            return 0.0
        while self.two_sided(reach) > alpha:
            reach *= 2.0
        return float(
            optimize.brentq(
                lambda distance: self.two_sided(distance) - alpha, 0.0, reach, rtol=1e-9
            )
        )


def seed_error(variances: tuple[float, float], counts: tuple[int, int]) -> tuple[float, float]:
    """Return the standard error that seeds give to a difference of two means, and its degrees of freedom (Welch)."""
    parts = [variance / n for variance, n in zip(variances, counts, strict=True)]
    total = sum(parts)
    if total == 0.0:
        return 0.0, float(min(counts) - 1)
    return float(np.sqrt(total)), total**2 / sum(
        part**2 / (n - 1) for part, n in zip(parts, counts, strict=True)
    )


@functools.lru_cache(maxsize=8)
def _correlations(views: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return, along all values of rho, the log prior, the eigenvalues and eigenvectors of R, and 1' R 1."""
    apart = np.abs(np.subtract.outer(np.arange(views), np.arange(views)))
    between = (np.arange(NUM_CORRELATIONS) + 0.5) / NUM_CORRELATIONS * MAX_CORRELATION
    matrices = np.stack([rho**apart for rho in (0.0, *between)])
    prior = np.log(
        [INDEPENDENT_PRIOR, *[(1.0 - INDEPENDENT_PRIOR) / NUM_CORRELATIONS] * NUM_CORRELATIONS]
    )
    eigenvalues, vectors = np.linalg.eigh(matrices)
    return prior, np.maximum(eigenvalues, 1e-12), vectors, matrices.sum((1, 2))


def view_error(difference: Float[np.ndarray, " v"], noise: float = 0.0) -> Error:
    """Estimate how far the mean over these views is from the mean over all views of this kind.

    Args:
      difference: of two configs at each view, in the order of the path.
      noise: variance that the noise of single runs gives to each of them, which counts elsewhere.

    Returns: the error, in the units of `difference`; of one part and zero for fewer than 2 views or equal ones.
    """
    if len(difference) > MAX_VIEWS:
        groups = np.array_split(difference, MAX_VIEWS)
        return view_error(
            np.array([group.mean() for group in groups]), noise / (len(difference) / MAX_VIEWS)
        )
    views = len(difference)
    variance = float(difference.var(ddof=1)) if views > 1 else 0.0
    if variance <= 1e-24 * max(1.0, float(np.square(difference).max(initial=0.0))):
        return Error(np.ones(1), np.zeros(1), np.full(1, max(views - 1.0, 1.0)))
    share = min(noise / variance, MAX_NOISE_SHARE)
    prior, eigenvalues, vectors, total = _correlations(views)
    spectrum = (1.0 - share) * eigenvalues + share
    ones, values = vectors.sum(1), difference @ vectors
    information = (ones**2 / spectrum).sum(1)
    residual = (values**2 / spectrum).sum(1) - (values * ones / spectrum).sum(1) ** 2 / information
    fit = prior - 0.5 * (
        np.log(spectrum).sum(1) + np.log(information) + (views - 1) * np.log(residual)
    )
    weight = np.exp(fit - fit.max())
    scale = np.sqrt(residual / (views - 1) * (1.0 - share) * total) / views
    return Error(weight / weight.sum(), scale, np.full(len(scale), views - 1.0))


def noise_variance(score: Float[np.ndarray, "n v"]) -> float:
    """Return the variance that the noise of single runs gives to the mean over seeds at one view."""
    n, views = score.shape
    if n < 2 or views < 2:
        return 0.0
    rest = score - score.mean(1, keepdims=True) - score.mean(0, keepdims=True) + score.mean()
    return float(np.square(rest).sum() / ((n - 1) * (views - 1)) / n)


def together(variances: tuple[float, float], counts: tuple[int, int], views: Error) -> Error:
    """Return the error of seeds and views together."""
    error, freedom = seed_error(variances, counts)
    total = error**2 + views.scale**2
    parts = error**4 / freedom + views.scale**4 / views.freedom
    joint = np.where(parts > 0.0, total**2 / np.where(parts > 0.0, parts, 1.0), freedom)
    return Error(views.weight, np.sqrt(total), joint)
