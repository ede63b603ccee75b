"""Eikonal loss, which makes the slope of a signed distance one (IGR, Gropp et al., 2002.10099)."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.fields import Samples
from nerf.losses import Context
from nerf.rendering.intervals import evaluate_field
from nerf.rendering.model import Model, fold_in, last_field
from nerf.sampling.stratified import uniform


@dataclasses.dataclass(frozen=True)
class Eikonal:
    """Squared deviation of the gradient's length from one (IGR, 2002.10099, equation 2).

    Equation:
      L = lambda 1/n sum_i (|nabla f(x_i)| - 1)^2   over the n intervals of a ray
      L = L + lambda (|nabla f(x)| - 1)^2   with `everywhere`, x uniform in the box

    Of intervals that were not evaluated, such as those in empty cells, nothing is known, and they
    do not count. With `drawn`, i is drawn uniformly instead of averaging, so that the expected loss
    is the same, and only one gradient per ray is computed.

    Attributes:
      weight: lambda, factor on the loss.
      drawn: whether to use one random interval of each ray instead of all.
      everywhere: whether to add a random point of the box for each ray, as IGR and IDR do.
    """

    weight: float = 0.1
    drawn: bool = False
    everywhere: bool = False

    def __call__(self, context: Context) -> Float[Array, "*b"]:
        """Compute the loss of each ray.

        Args:
          context: the last stage's field returns "gradient".

        Returns:
          The weighted loss, (*b).
        """
        loss = self._drawn(context) if self.drawn else self._mean(context)
        if self.everywhere:
            draw = jax.vmap(lambda key: jax.random.uniform(key, (3,), minval=-1.0, maxval=1.0))
            samples = Samples(draw(context.keys), context.rays.viewdirs)
            loss = loss + _error_at(context.model, samples)
        return self.weight * loss

    def _mean(self, context: Context) -> Float[Array, "*b"]:
        """Return the mean error over the intervals of each ray."""
        intervals = context.renderings[-1].intervals
        assert intervals is not None
        return intervals.mean(_error(intervals.quantities["gradient"]))

    def _drawn(self, context: Context) -> Float[Array, "*b"]:
        """Return the error in one random interval of each ray."""
        intervals = context.renderings[-1].intervals
        assert intervals is not None and intervals.samples is not None
        used = intervals.t_end > intervals.t_start
        chance = uniform(fold_in(context.keys, 1), 1)[..., 0]
        means = jax.lax.stop_gradient(intervals.samples.means)
        points, found = intervals.layout.draw(chance, used, means)
        codes = context.model.codes_of(context.rays)
        samples = Samples(points, context.rays.viewdirs, code=codes)
        return jnp.where(found, _error_at(context.model, samples), 0.0)


def _error_at(model: Model, samples: Samples) -> Float[Array, "*b"]:
    """Return the error of the last field's gradient at samples."""
    return _error(evaluate_field(model, last_field(model), samples)["gradient"])


def _error(gradient: Float[Array, "*b 3"]) -> Float[Array, "*b"]:
    """Return the squared deviation of the lengths of gradients from one."""
    squared = jnp.square(gradient).sum(-1)
    # Keep the length away from 0, where its gradient is not finite.
    return jnp.square(jnp.sqrt(jnp.maximum(squared, 1e-12)) - 1.0)
