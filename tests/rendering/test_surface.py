"""The surface renderer: where rays meet spheres, and how that changes with sphere and ray."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.cameras.cameras import Rays
from nerf.encodings.fourier import Fourier
from nerf.encodings.identity import Identity
from nerf.fields.surface import SurfaceField
from nerf.foundation.instantiate import ConfigError
from nerf.geometry.neus import NeuS
from nerf.geometry.occupancy import Occupancy
from nerf.geometry.signed_distance import SignedDistance
from nerf.losses import Context, Target
from nerf.losses.eikonal import Eikonal
from nerf.losses.silhouette import Silhouette
from nerf.networks.siren import Siren
from nerf.rendering.model import Model, Stage
from nerf.rendering.surface import Surface
from nerf.sampling.stratified import UniformSteps

RADIUS = 0.6


class Ball(nnx.Module):
    """A sphere of learned radius whose colour is its normal; its logit is not a distance."""

    def __init__(self, radius=RADIUS):
        self.radius = nnx.Param(jnp.array(radius))

    def __call__(self, samples):
        points = samples.means
        norm = jnp.sqrt(jnp.square(points).sum(-1))
        normals = points / norm[..., None]
        sdf = norm - self.radius[...]
        logit = 5.0 * (self.radius[...] ** 3 - norm**3)
        rgb = 0.5 + 0.5 * normals
        return {"sdf": sdf, "logit": logit, "gradient": normals, "normals": normals, "rgb": rgb}


def model_of(geometry, renderer=None, field=None):
    stage = {"main": Stage(UniformSteps(8), field or Ball())}
    return Model(stage, ["main"], geometry=geometry, renderer=renderer or Surface())


def rays_at(offsets):
    """Rays that look down on the sphere, at given distances from its axis."""
    offsets = np.asarray(offsets, np.float32)
    origins = np.stack([offsets, 0 * offsets, 0 * offsets + 2.0], -1)
    down = jnp.broadcast_to(jnp.array([0.0, 0.0, -1.0]), origins.shape)
    return Rays(jnp.array(origins), down, down)


def distance(offset, radius=RADIUS):
    return 2.0 - np.sqrt(radius**2 - offset**2)


OFFSETS = np.array([0.0, 0.2, 0.4, 0.55])
GEOMETRIES = pytest.mark.parametrize("geometry", [NeuS, Occupancy])


@GEOMETRIES
@pytest.mark.parametrize("training", [False, True])
def test_rays_stop_at_the_first_crossing_and_show_its_normal(geometry, training):
    keys = jax.random.split(jax.random.key(0), 5) if training else None
    model, rays = model_of(geometry()), rays_at([*OFFSETS, 0.8])
    seen = jax.jit(lambda: model(rays, jnp.ones((5, 3)), keys)[-1])()
    np.testing.assert_allclose(seen.depth[:4], distance(OFFSETS), atol=1e-4)
    np.testing.assert_array_equal(seen.opacity, [1, 1, 1, 1, 0])
    assert seen.depth[4] == 0
    normals = np.stack([OFFSETS, 0 * OFFSETS, np.sqrt(RADIUS**2 - OFFSETS**2)], -1) / RADIUS
    np.testing.assert_allclose(seen.extras["normals"][:3], normals[:3], atol=0.01)
    np.testing.assert_allclose(seen.rgb[:3], 0.5 + 0.5 * normals[:3], atol=0.01)
    np.testing.assert_allclose(seen.rgb[4], np.ones(3), atol=0.01)


@GEOMETRIES
def test_the_crossing_moves_with_the_radius_as_in_closed_form(geometry):
    """t = 2 - sqrt(r^2 - x^2), so that dt / dr = -r / sqrt(r^2 - x^2)."""
    rays = rays_at(OFFSETS)

    def depth(radius):
        return model_of(geometry(), field=Ball(radius))(rays, jnp.ones((4, 3)))[-1].depth

    slopes = jax.jit(jax.jacfwd(depth))(RADIUS)
    np.testing.assert_allclose(slopes, -RADIUS / np.sqrt(RADIUS**2 - OFFSETS**2), rtol=1e-3)
    back = jax.jit(jax.jacrev(depth))(RADIUS)
    np.testing.assert_allclose(back, slopes, rtol=1e-5)


@GEOMETRIES
def test_the_crossing_moves_with_the_ray(geometry):
    """dt / dx = x / sqrt(r^2 - x^2) for a ray that is shifted sideways."""

    def depth(offset):
        rays = rays_at(OFFSETS)
        shift = jnp.zeros((4, 3)).at[:, 0].set(offset)
        moved = Rays(rays.origins + shift, rays.directions, rays.viewdirs)
        return model_of(geometry())(moved, jnp.ones((4, 3)))[-1].depth

    slopes = jax.jit(jax.jacfwd(depth))(0.0)
    np.testing.assert_allclose(slopes, OFFSETS / np.sqrt(RADIUS**2 - OFFSETS**2), atol=2e-3)


def test_a_ray_beside_the_silhouette_pulls_the_surface_towards_it():
    """The photo shows matter at x = 0.62, where the sphere of radius 0.6 ends just before."""

    def loss(radius, offset, alpha):
        model = model_of(NeuS(), field=Ball(radius))
        rays, black = rays_at([offset]), jnp.zeros((1, 3))
        target = Target(black, {"alpha": jnp.full(1, alpha)})
        return Silhouette()(Context(model, rays, model(rays, black), target, None)).sum()

    slope = jax.jit(jax.grad(loss), static_argnums=(1, 2))
    assert slope(RADIUS, 0.62, 1.0) < -1.0 and slope(RADIUS, 0.62, 0.0) > 1.0
    assert slope(RADIUS, 0.0, 0.0) > 1.0, "also where a ray meets the middle of the sphere"
    assert abs(slope(RADIUS, 0.0, 1.0)) < 1e-3


def test_the_first_of_several_surfaces_is_seen():
    def slabs(samples):
        z = samples.means[..., 2]
        level = jnp.maximum(0.05 - jnp.abs(z - 0.4), 0.2 - jnp.abs(z + 0.5))
        rgb = jnp.where((z > 0)[..., None], 1.0, 0.0) * jnp.ones((*z.shape, 3))
        return {"logit": level, "rgb": rgb}

    seen = jax.jit(lambda: model_of(Occupancy(), field=slabs)(rays_at([0.0]), jnp.zeros((1, 3))))()
    np.testing.assert_allclose(seen[-1].depth, [2.0 - 0.45], atol=1e-3)


def test_memory_for_the_gradient_does_not_grow_with_the_steps():
    def temporary(steps):
        def loss(radius, rays):
            model = model_of(NeuS(), Surface(num_steps=steps), Ball(radius))
            return model(rays, jnp.zeros((512, 3)))[-1].rgb.sum()

        rays = rays_at(np.linspace(0.0, 0.8, 512))
        compiled = jax.jit(jax.grad(loss)).lower(RADIUS, rays).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(256) < 1.1 * temporary(16)


def test_fog_is_refused():
    from nerf.geometry.density import VolumeDensity

    with pytest.raises(ConfigError, match="VolumeDensity has no surface, which this renderer"):
        model_of(VolumeDensity())(rays_at([0.0]), jnp.ones((1, 3)))


def test_the_eikonal_loss_of_a_surface_is_of_its_points_and_of_random_ones():
    def stretched(samples):
        """Twice a distance on the upper side and a distance below."""
        z = samples.means[..., 2]
        up = jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0]), (*z.shape, 3))
        gradient = jnp.where((z > 0)[..., None], 2.0, 1.0) * up
        return {"sdf": z - 0.5, "gradient": gradient, "rgb": 0.0 * up}

    model, rays, white = model_of(NeuS(), field=stretched), rays_at([0.0] * 400), jnp.ones((400, 3))
    keys = jax.random.split(jax.random.key(0), 400)

    @jax.jit
    def loss(everywhere):
        context = Context(model, rays, model(rays, white), Target(white), keys)
        return Eikonal(1.0)(context), Eikonal(1.0, everywhere=True)(context)

    at_surface, both = loss(0)
    np.testing.assert_allclose(at_surface, np.ones(400), rtol=1e-5)
    extra = np.asarray(both - at_surface)
    assert set(np.round(extra, 4)) == {0.0, 1.0} and abs(extra.mean() - 0.5) < 0.1


def test_two_fields_that_swap_their_colour_networks_keep_their_surfaces():
    """IDR disentangles them (2003.09852, figure 6): geometry does not depend on the colour."""

    def field_of(seed, radius):
        network = Siren(16, 2, omega=3.0)
        rngs = nnx.Rngs(seed)
        return SurfaceField(Identity(), Fourier(2), network, radius=radius, gain=0.1, rngs=rngs)

    rays = rays_at([*OFFSETS, 0.9])

    def seen_of(field):
        model = model_of(SignedDistance(), field=field)
        return jax.jit(lambda: model(rays, jnp.ones((5, 3)))[-1])()

    one, other = field_of(0, 0.6), field_of(1, 0.5)
    before = [seen_of(one), seen_of(other)]
    one.colour, other.colour = other.colour, one.colour
    after = [seen_of(one), seen_of(other)]
    assert np.abs(before[0].depth - before[1].depth).max() > 0.02
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old.depth, new.depth)
        np.testing.assert_array_equal(old.opacity, new.opacity)
        np.testing.assert_array_equal(old.silhouette, new.silhouette)
        np.testing.assert_array_equal(old.extras["normals"], new.extras["normals"])
        assert np.abs(old.rgb - new.rgb)[:4].max() > 0.01
