"""Estimate the error of the mean difference of two configs that is due to seeds and views.

The model. The score of config c, seed s, view v is

    score_csv = mean_c + view_v + seed_cs + interaction_cv + noise_csv.

The effect of a view that all configs share cancels in the difference of two configs. The three
other terms remain, and each would make the same study with other seeds and other views give
another difference.

Seeds. The mean of n seeds of two configs has the standard error of Welch (1947), which allows the
configs to have different variances. It needs two seeds of each config.

Views. Views along a path are not independent: a config that is better at one view is usually better
at the next view too. The interactions of neighbouring views are modelled as an AR(1) process along
the list of views with an unknown correlation rho. The prior has probability 1/3 at rho = 0 and is
otherwise uniform over 0 < rho < 0.95. With a flat prior on the mean and the log scale, the
posterior of rho has a closed form, and given rho the mean of the V views has a t distribution with
V - 1 degrees of freedom and the scale

    scale^2 = residual^2 (1' R 1) / V^2,    R_ij = rho^|i-j|.

So views count fully if their differences look independent, and count less the more they resemble
their neighbours. The noise of single runs can be estimated if there are several seeds; it is part
of the seeds' error and excluded here.

Combined. Given rho, the two errors combine to a t distribution with the degrees of freedom of
Satterthwaite (1946); p-values and intervals are those of the mixture over rho.

References: Welch, "The generalization of 'Student's' problem when several different population
variances are involved" (Biometrika 1947); Satterthwaite, "An approximate distribution of estimates
of variance components" (Biometrics Bulletin 1946); Zellner and Tiao, "Bayesian analysis of the
regression model with autocorrelated errors" (JASA 1964).
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float
from scipy import optimize, special

INDEPENDENT_PRIOR = 1 / 3  # prior probability that neighbouring views are independent
MAX_CORRELATION = 0.95
NUM_CORRELATIONS = 24  # number of positive values of rho
MAX_NOISE_SHARE = 0.9  # maximum fraction of the variance over views attributed to noise
MAX_VIEWS = 100  # more views are averaged in groups of neighbours, which only bounds the cost


@dataclasses.dataclass(frozen=True)
class Error:
    """Distribution of the error of a mean difference.

    It is a mixture of k scaled t distributions centred at 0.

    Attributes:
      weight: of each component; they sum to 1.
      scale: of each component, in the units of the scores.
      freedom: degrees of freedom of each component.
    """

    weight: Float[np.ndarray, " k"]
    scale: Float[np.ndarray, " k"]
    freedom: Float[np.ndarray, " k"]

    def two_sided(self, distance: float) -> float:
        """Return the probability of an error of at least `distance` in either direction."""
        # A component with scale 0 has all its probability at 0.
        scale = np.where(self.scale > 0.0, self.scale, 1.0)
        tails = 2.0 * special.stdtr(
            np.maximum(self.freedom, 1e-6), -abs(distance) / scale
        )  # Student's t
        certain = np.full(len(tails), float(distance == 0.0))
        return float((self.weight * np.where(self.scale > 0.0, tails, certain)).sum())

    def half_width(self, alpha: float) -> float:
        """Return the distance that the error exceeds with probability `alpha`."""
        reach = float(self.scale.max())
        if reach == 0.0:
            return 0.0
        # Double the bracket until it contains the root.
        while self.two_sided(reach) > alpha:
            reach *= 2.0
        root = optimize.brentq(lambda x: self.two_sided(x) - alpha, 0.0, reach, rtol=1e-9)
        return float(root)


def seed_error(variances: tuple[float, float], counts: tuple[int, int]) -> tuple[float, float]:
    """Return Welch's standard error of a difference of two means.

    Its square is v_1 / n_1 + v_2 / n_2, for n seeds with variance v of each config.

    Returns: the standard error and its degrees of freedom.
    """
    parts = [variance / n for variance, n in zip(variances, counts, strict=True)]
    total = sum(parts)
    if total == 0.0:
        return 0.0, float(min(counts) - 1)
    # The degrees of freedom of Welch and Satterthwaite.
    freedom = total**2 / sum(part**2 / (n - 1) for part, n in zip(parts, counts, strict=True))
    return float(np.sqrt(total)), freedom


@functools.lru_cache(maxsize=8)
def _correlations(views: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the quantities for all values of rho that depend only on V.

    Returns: the log prior (r), eigenvalues (r, V) and eigenvectors (r, V, V) of R, and 1' R 1 (r).
    """
    apart = np.abs(np.subtract.outer(np.arange(views), np.arange(views)))
    between = (np.arange(NUM_CORRELATIONS) + 0.5) / NUM_CORRELATIONS * MAX_CORRELATION
    # The correlation matrices R_ij = rho^|i-j|.
    matrices = np.stack([rho**apart for rho in (0.0, *between)])
    prior = np.log(
        [INDEPENDENT_PRIOR, *[(1.0 - INDEPENDENT_PRIOR) / NUM_CORRELATIONS] * NUM_CORRELATIONS]
    )
    eigenvalues, vectors = np.linalg.eigh(matrices)
    return prior, eigenvalues, vectors, matrices.sum((1, 2))


def view_error(difference: Float[np.ndarray, " v"], noise: float = 0.0) -> Error:
    """Estimate the error of a mean difference that is due to the choice of views.

    Args:
      difference: difference of two configs at each view, (V), in the order of the path.
      noise: variance of each difference due to the noise of single runs, which the seeds' error
        already contains.

    Returns: the error in the units of `difference`. For fewer than two views or equal differences
    it has one component with scale 0.
    """
    if len(difference) > MAX_VIEWS:
        groups = np.array_split(difference, MAX_VIEWS)
        return view_error(
            np.array([group.mean() for group in groups]), noise / (len(difference) / MAX_VIEWS)
        )
    views = len(difference)
    variance = float(difference.var(ddof=1)) if views > 1 else 0.0
    if variance <= 1e-24 * float(np.square(difference).max(initial=1.0)):
        return Error(np.ones(1), np.zeros(1), np.full(1, max(views - 1.0, 1.0)))
    share = min(noise / variance, MAX_NOISE_SHARE)
    prior, eigenvalues, vectors, total = _correlations(views)
    # Work in the eigenbasis of R: the covariance C = (1 - share) R + share I is diagonal there.
    spectrum = (1.0 - share) * eigenvalues + share
    ones, values = vectors.sum(1), difference @ vectors
    # 1' C^-1 1, and the generalised least-squares residual around the mean.
    information = (ones**2 / spectrum).sum(1)
    residual = (values**2 / spectrum).sum(1) - (values * ones / spectrum).sum(1) ** 2 / information
    # Log posterior of rho with mean and scale integrated out.
    fit = prior - 0.5 * (
        np.log(spectrum).sum(1) + np.log(information) + (views - 1) * np.log(residual)
    )
    weight = np.exp(fit - fit.max())
    # The scale of the module docstring, without the noise: 1' R 1 instead of 1' C 1.
    scale = np.sqrt(residual / (views - 1) * (1.0 - share) * total) / views
    return Error(weight / weight.sum(), scale, np.full(len(scale), views - 1.0))


def noise_variance(score: Float[np.ndarray, "n v"]) -> float:
    """Return the variance of a view's mean over seeds due to the noise of single runs.

    The noise is the residual of the scores after removing the means of seeds and views.
    """
    n, views = score.shape
    if n < 2 or views < 2:
        return 0.0
    rest = score - score.mean(1, keepdims=True) - score.mean(0, keepdims=True) + score.mean()
    return float(np.square(rest).sum() / ((n - 1) * (views - 1)) / n)


def together(variances: tuple[float, float], counts: tuple[int, int], views: Error) -> Error:
    """Combine the errors of seeds and views.

    Args:
      variances: variance of the seeds' means of each config.
      counts: number of seeds of each config.
      views: the error due to the choice of views.
    """
    error, freedom = seed_error(variances, counts)
    # Satterthwaite's degrees of freedom of a sum of two independent errors.
    total = error**2 + views.scale**2
    parts = error**4 / freedom + views.scale**4 / views.freedom
    joint = np.where(parts > 0.0, total**2 / np.where(parts > 0.0, parts, 1.0), freedom)
    return Error(views.weight, np.sqrt(total), joint)
