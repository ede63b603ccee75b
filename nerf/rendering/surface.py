"""Surface renderer: the first crossing of a ray with a level set, differentiated implicitly.

References: IDR (Yariv et al., 2003.09852, section 3.1) and DVR (Niemeyer et al., 1912.07372,
section 3.2), whose gradients of the crossing are the same.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from nerf.cameras.cameras import Rays
from nerf.fields import Samples
from nerf.foundation.instantiate import ConfigError
from nerf.geometry import WithSurface
from nerf.rendering.compositing import Dense, Intervals, Rendering
from nerf.rendering.intervals import evaluate_field
from nerf.rendering.model import last_field
from nerf.sampling.stratified import uniform

MIN_SLOPE = 1e-3  # of the level along a ray, in what the gradient of a crossing divides by
SHORT = 1e-4  # length of the interval of a ray in world units


class Search(NamedTuple):
    """State of a search along rays, each (*b).

    Attributes:
      found: whether the ray has entered the surface.
      outside: distance before the crossing.
      inside: distance after it.
      level_outside: level at `outside`, negative.
      level_inside: level at `inside`, at least 0.
      best: distance with the largest level.
      level_best: the level there.
    """

    found: Bool[Array, "*b"]
    outside: Float[Array, "*b"]
    inside: Float[Array, "*b"]
    level_outside: Float[Array, "*b"]
    level_inside: Float[Array, "*b"]
    best: Float[Array, "*b"]
    level_best: Float[Array, "*b"]


@dataclasses.dataclass(frozen=True)
class Surface:
    """Renderer of opaque surfaces.

    Equation:
      t_0 = min {t : l(o + t d) = 0}   l: the level of the geometry, positive inside
      t = t_0 - (l(o + t_0 d) - l_0) / (nabla l * d)   l_0: the same number without a gradient
      C = c(o + t d)   or the background, if there is no such t
      z = softness max_t l(o + t d)   logit that the ray meets matter

    t is t_0 in value. Its gradient is that of the crossing: moving with the ray and the field, the
    point stays on the surface. The colour of a ray says nothing about whether it should meet
    matter: `silhouette`, z, does, and `nerf.losses.silhouette` teaches it. The search
    stores nothing for the gradient, so that its memory does not grow with the number of steps.

    Attributes:
      num_steps: number of steps of the search; thinner parts may be missed.
      refinements: number of secant steps within the step that contains the crossing.
      softness: slope of the logit z, per unit of the level.
    """

    num_steps: int = 64
    refinements: int = 8
    softness: float = 50.0

    def __call__(
        self,
        model: Any,
        rays: Rays,
        background: Float[Array, "*#b 3"],
        keys: Key[Array, "*b"] | None,
    ) -> list[Rendering]:
        """Render the last stage's field.

        Args:
          model: its space, geometry and last field are used.
          rays: (*b) rays in the normalised world.
          background: sRGB behind each ray.
          keys: one random key per ray in training, which shift the steps; None is deterministic.

        Returns:
          One rendering. Each ray has one very short interval, which begins at the surface.

        Raises:
          ConfigError: the geometry has no surface.
        """
        if not isinstance(model.geometry, WithSurface):
            reason = f"{type(model.geometry).__name__} has no surface"
            fix = "choose one that has, such as nerf.geometry.neus:NeuS"
            raise ConfigError(f"model.geometry: {reason}, which this renderer needs: {fix}")
        graph, state = nnx.split(model)
        # The search sees the parameters as constants, so that nothing is kept for its gradient.
        frozen = nnx.merge(graph, jax.lax.stop_gradient(state))
        search = jax.lax.stop_gradient(self.search(frozen, rays, keys))
        first = jax.lax.stop_gradient(self.refine(frozen, rays, search))
        t = crossing(model, rays, jnp.where(search.found, first, search.best))
        where = jnp.where(search.found, t, search.best)
        silhouette = self.softness * level_at(model, rays)(search.best)
        return [self._shade(model, rays, background, where, search.found, silhouette)]

    def search(self, model: Any, rays: Rays, keys: Key[Array, "*b"] | None) -> Search:
        """March along rays until they enter the surface.

        Args:
          model: its space, geometry and last field are used.
          rays: (*b) rays.
          keys: one random key per ray to shift the steps by up to one; None shifts none.

        Returns:
          The step that contains the first crossing, and the largest level of all steps.
        """
        t_near, t_far = (t[..., 0] for t in model.space.interval(rays))
        shift = jnp.zeros(t_near.shape) if keys is None else uniform(keys, 1)[..., 0]
        level = level_at(model, rays)

        def place(i: Int[Array, ""] | int) -> Float[Array, "*b"]:
            s = jnp.clip((i + shift) / self.num_steps, 0.0, 1.0)
            return model.space.distance(s[..., None], t_near[..., None], t_far[..., None])[..., 0]

        def step(
            i: Int[Array, ""], now: tuple[Search, Array, Array]
        ) -> tuple[Search, Array, Array]:
            so_far, before, level_before = now
            t = place(i)
            here = level(t)
            enters = ~so_far.found & (level_before < 0.0) & (here >= 0.0)
            better = here > so_far.level_best
            after = Search(
                so_far.found | enters,
                jnp.where(enters, before, so_far.outside),
                jnp.where(enters, t, so_far.inside),
                jnp.where(enters, level_before, so_far.level_outside),
                jnp.where(enters, here, so_far.level_inside),
                jnp.where(better, t, so_far.best),
                jnp.where(better, here, so_far.level_best),
            )
            return after, t, here

        start = place(0)
        first = level(start)
        nothing = Search(start < -1.0, start, start, first, first, start, first)
        return jax.lax.fori_loop(1, self.num_steps + 1, step, (nothing, start, first))[0]

    def refine(self, model: Any, rays: Rays, search: Search) -> Float[Array, "*b"]:
        """Return the crossing within the step that contains it, by the secant method.

        Args:
          model: its space, geometry and last field are used.
          rays: (*b) rays.
          search: the steps that contain the crossings.
        """
        level = level_at(model, rays)

        def between(s: Search) -> Float[Array, "*b"]:
            change = jnp.maximum(s.level_inside - s.level_outside, 1e-12)
            return s.outside - s.level_outside * (s.inside - s.outside) / change

        def secant(_: Int[Array, ""], s: Search) -> Search:
            t = between(s)
            here = level(t)
            past = here >= 0.0
            return s._replace(
                outside=jnp.where(past, s.outside, t),
                level_outside=jnp.where(past, s.level_outside, here),
                inside=jnp.where(past, t, s.inside),
                level_inside=jnp.where(past, here, s.level_inside),
            )

        return between(jax.lax.fori_loop(0, self.refinements, secant, search))

    def _shade(
        self,
        model: Any,
        rays: Rays,
        background: Float[Array, "*#b 3"],
        t: Float[Array, "*b"],
        found: Bool[Array, "*b"],
        silhouette: Float[Array, "*b"],
    ) -> Rendering:
        """Return the rendering of points at distances t; other rays see the background."""
        points = model.space.warp(rays.origins + t[..., None] * rays.directions)
        samples = Samples(points, rays.viewdirs, code=model.codes_of(rays))
        # Losses expect an axis of intervals.
        samples = jax.tree.map(lambda x: x[..., None, :], samples)
        quantities = evaluate_field(model, last_field(model), samples)
        hit = found.astype(t.dtype)
        shown = {
            # Drop the axis of intervals, which is the first after those of the rays.
            name: hit.reshape(*t.shape, *[1] * (x.ndim - t.ndim - 1)) * x.squeeze(t.ndim)
            for name, x in quantities.items()
            if name not in model.geometry.hidden
        }
        rgb = shown.pop("rgb") + (1.0 - hit)[..., None] * background
        start, end = t[..., None], t[..., None] + SHORT
        intervals = Intervals(hit[..., None], start, end, Dense(), samples, quantities)
        complete = jnp.ones(t.shape, bool)
        return Rendering(rgb, hit, hit * t, shown, complete, intervals, silhouette)


def level_at(model: Any, rays: Rays) -> Callable[[Float[Array, "*b"]], Float[Array, "*b"]]:
    """Return the function from distances along rays to the level there."""
    field, codes = last_field(model), model.codes_of(rays)

    def level(t: Float[Array, "*b"]) -> Float[Array, "*b"]:
        points = model.space.warp(rays.origins + t[..., None] * rays.directions)
        samples = Samples(points, rays.viewdirs, code=codes)
        return model.geometry.level(evaluate_field(model, field, samples))

    return level


def crossing(model: Any, rays: Rays, t: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """Return crossings with the gradient of the surface: see the equation of t in `Surface`.

    Args:
      model: the model.
      rays: (*b) rays.
      t: distance of each crossing.
    """
    t = jax.lax.stop_gradient(t)
    # A ray's level depends on its t alone. In reverse mode, as networks in bfloat16 have no other.
    here, pull = jax.vjp(level_at(model, rays), t)
    slope = jax.lax.stop_gradient(pull(jnp.ones_like(t))[0])
    slope = jnp.where(jnp.abs(slope) < MIN_SLOPE, MIN_SLOPE, slope)
    return t - (here - jax.lax.stop_gradient(here)) / slope
