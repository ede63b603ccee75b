"""Cones as Gaussians, and their encoding.

Against integrals over the cone, the map's slopes and the Gaussian itself.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from nerf.cameras.cameras import Cameras, Rays, intrinsics, pixels_to_rays
from nerf.encodings.cones import Gaussians, along_cone, cone_gaussians
from nerf.encodings.fourier import Fourier
from nerf.encodings.identity import Identity
from nerf.encodings.integrated import Integrated
from nerf.foundation.instantiate import ConfigError
from nerf.rendering.model import Model, Stage
from nerf.rendering.model_state import refresh_occupancy
from nerf.sampling.occupancy_grid import OccupancyGrid
from nerf.sampling.spaces import Box, Contracted
from nerf.sampling.stratified import Stratified

UP = jnp.array([0.0, 0.6, -0.8])
along_one_cone = jax.jit(along_cone)


def integral(function, start, end):
    x, weights = np.polynomial.legendre.leggauss(12)
    return (
        0.5
        * (end - start)
        * (weights * function(0.5 * (start + end) + 0.5 * (end - start) * x)).sum()
    )


@pytest.mark.parametrize("start, end", [(0.0, 1.0), (2.0, 2.5), (3.0, 3.001), (0.01, 6.0)])
def test_moments_are_those_of_the_volume_of_the_cone(start, end):
    """The section at t is a disc of radius r t.

    Its area grows as t^2, and its variance along each axis is (r t)^2 / 4.
    """
    r = 0.3
    volume = integral(lambda t: t**2, start, end)
    mean = integral(lambda t: t**3, start, end) / volume
    along = integral(lambda t: (t - mean) ** 2 * t**2, start, end) / volume
    across = integral(lambda t: (r * t) ** 2 / 4 * t**2, start, end) / volume
    found = along_one_cone(*(jnp.float32(x) for x in (r, start, end)))
    np.testing.assert_allclose(found, [mean, along, across], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("shape", [(), (1,), (3, 1, 2)])
@pytest.mark.parametrize("space", [Box(), Contracted()])
def test_a_map_of_space_carries_the_covariance_along(space, shape):
    rng = np.random.default_rng(0)
    t_start = rng.uniform(0.1, 3.0, shape).astype(np.float32)
    aside = [0.01 * sign * e for sign in (1, -1) for e in np.eye(3, dtype=np.float32)]

    @jax.jit
    def cones(t_start):
        t_end, radius = t_start + 0.4, jnp.full(shape, 0.1)
        origins, directions = jnp.full((*shape, 3), 0.2), jnp.broadcast_to(UP, (*shape, 3))
        moments = along_cone(radius, t_start, t_end)
        middle = origins + moments[0][..., None] * directions
        warped = [space.warp(middle + jnp.broadcast_to(a, middle.shape)) for a in aside]
        found = cone_gaussians(origins, directions, radius, t_start, t_end, space.warp)
        return found, space.warp(middle), moments, warped

    found, middle, (_, along, across), warped = jax.device_get(cones(t_start))
    np.testing.assert_allclose(found.mean, middle, atol=1e-6)
    slopes = [(ahead - behind) / 0.02 for ahead, behind in zip(warped[:3], warped[3:], strict=True)]
    jacobian, d = np.stack(slopes, -1), np.asarray(UP)
    for index in np.ndindex(*shape):
        covariance = along[index] * np.outer(d, d) + across[index] * (np.eye(3) - np.outer(d, d))
        expected = np.diag(jacobian[index] @ covariance @ jacobian[index].T)
        np.testing.assert_allclose(found.variance[index], expected, rtol=2e-2, atol=1e-5)
        ball = np.diag(jacobian[index] @ jacobian[index].T).mean() * across[index]
        np.testing.assert_allclose(found.across[index], ball, rtol=2e-2, atol=1e-7)


def test_gradients_are_finite_for_an_interval_without_length_at_the_camera():
    def total(t_start, t_end):
        return sum(x.sum() for x in along_cone(jnp.array(0.1), t_start, t_end))

    slopes = jax.jit(jax.grad(total, (0, 1)))(jnp.array(0.0), jnp.array(0.0))
    assert np.isfinite(slopes).all()


def test_the_mean_over_a_gaussian_is_that_of_quadrature():
    waves, rng = Fourier(4, num_dims=2), np.random.default_rng(1)
    mean, variance = rng.uniform(-1, 1, (20, 2)), rng.uniform(0.0, 0.02, (20, 2))
    x, weights = np.polynomial.hermite_e.hermegauss(40)
    columns = []
    for band, axis, function in [
        (k, a, f) for k in range(4) for f in (np.sin, np.cos) for a in range(2)
    ]:
        places = mean[:, axis, None] + np.sqrt(variance[:, axis, None]) * x
        columns.append((function(2.0**band * np.pi * places) * weights).sum(-1) / weights.sum())
    moments = (jnp.array(np.float32(x)) for x in (mean, variance, 0.0 * mean[:, 0]))
    points = Gaussians(*moments)
    expected = np.concatenate([mean, np.stack(columns, -1)], -1)
    np.testing.assert_allclose(jax.jit(Integrated(waves))(points), expected, atol=1e-5)


def test_what_has_no_formula_for_its_mean_is_refused():
    with pytest.raises(ConfigError, match="mean of Identity has no formula"):
        Integrated(Identity())


def test_a_gaussian_without_extent_is_a_point_and_an_endless_one_has_no_waves():
    x = jnp.array(np.float32(np.random.default_rng(2).uniform(-1, 1, (3, 1, 2, 3))))
    encoding, plain = jax.jit(Integrated(Fourier(10))), jax.jit(Fourier(10))(x)

    def wide(variance):
        wide = jnp.array(np.full(x.shape, variance, np.float32))
        return Gaussians(x, wide, wide[..., 0])

    np.testing.assert_array_equal(encoding(wide(0.0)), plain)
    np.testing.assert_array_equal(encoding(x), plain)
    endless = np.asarray(encoding(wide(1e9)))
    np.testing.assert_array_equal(endless[..., :3], x)
    assert not endless[..., 3:].any()


def camera(size):
    """Of a picture so many pixels wide, with the same field of view."""
    return Cameras(
        jnp.eye(3, 4),
        jnp.array(intrinsics(size, size, size / 2, size / 2)),
        jnp.zeros(8),
        jnp.array([size, size]),
    )


@pytest.mark.long
def test_a_coarse_pixels_encoding_is_the_mean_of_the_fine_ones_in_it_where_a_points_is_not():
    """8 x 8 pixels of a picture, and the one that covers them in a picture 8 times smaller."""
    places = np.stack(np.meshgrid(*[np.arange(120.5, 128.0)] * 2, indexing="ij"), -1)
    waves = Fourier(7, include_input=False)

    @jax.jit
    def encoded(cameras, pixels):
        """The rays of pixels, and the encodings of places on them as cones and as points."""
        rays = pixels_to_rays(cameras, pixels)
        t = jnp.full(rays.radius.shape, 2.0)
        cones = cone_gaussians(rays.origins, rays.directions, rays.radius, t, t + 1e-3, Box().warp)
        return rays, Integrated(waves)(cones), waves(cones.mean)

    each = jax.tree.map(lambda x: np.broadcast_to(x, (64, *x.shape)), camera(256))
    fine, of_cones, _ = jax.device_get(encoded(each, np.float32(places.reshape(-1, 2))))
    coarse, integrated, plain = jax.device_get(encoded(camera(32), np.float32([15.5, 15.5])))
    np.testing.assert_allclose(coarse.radius / fine.radius.mean(), 8.0, rtol=1e-2)
    expected = of_cones.mean(0)
    errors = [np.sqrt(np.square(found - expected).mean()) for found in (integrated, plain)]
    assert errors[0] < 0.25 * errors[1]
    assert errors[1] > 0.1


class Footprint:
    """A field that shows how large what it is given is: one without an encoding is given points."""

    def __init__(self, encoding=None):
        self.encoding = encoding

    def __call__(self, samples):
        points = samples.points
        size = points.variance if isinstance(points, Gaussians) else jnp.zeros_like(points)
        return {"density": 10.0 + 1e3 * size[..., 0], "rgb": size}


@pytest.mark.parametrize(
    "encoding, sees", [(None, False), (Fourier(2), False), (Integrated(Fourier(2)), True)]
)
def test_a_model_gives_gaussians_to_a_field_whose_encoding_asks_and_points_to_others(
    encoding, sees
):
    model = Model({"main": Stage(Stratified(8), Footprint(encoding))}, ("main",))
    rays = Rays(
        jnp.zeros((2, 3)), jnp.stack([UP, UP]), jnp.stack([UP, UP]), radius=jnp.array([0.0, 0.5])
    )
    narrow, wide = np.asarray(jax.jit(lambda rays: model(rays, jnp.zeros((2, 3)))[-1].rgb)(rays))
    assert (wide > narrow).all() == sees
    assert (narrow > 0).any() == sees


@pytest.mark.long
@pytest.mark.parametrize(
    "encoding, expected", [(None, 10.0), (Integrated(Fourier(2)), 10.0 + 1e3 * 0.5**2 / 12)]
)
def test_an_occupancy_grid_asks_for_the_density_of_a_place_as_large_as_its_cells(
    encoding, expected
):
    grid = OccupancyGrid(4, update_every=1)
    model = Model(
        {"main": Stage(Stratified(8), Footprint(encoding))},
        ("main",),
        occupancy=grid,
        max_samples_per_ray=8,
    )
    nnx.jit(refresh_occupancy)(model, jnp.int32(0), jax.random.key(0))
    np.testing.assert_allclose(grid.density[...], expected, rtol=1e-5)


def test_the_radius_of_a_ray_gives_its_disc_the_variance_of_a_pixel():
    """A square 1 / f wide has variance 1 / (12 f^2) along each axis.

    A disc of radius r has r^2 / 4.
    """
    through = jax.jit(pixels_to_rays)
    corner, centre = (
        jax.device_get(through(camera(32), jnp.array(pixel)))
        for pixel in ([0.0, 0.0], [16.0, 16.0])
    )
    np.testing.assert_allclose(centre.radius**2 / 4, 1 / (12 * 32**2), rtol=1e-5)
    np.testing.assert_allclose(
        corner.radius / centre.radius, -corner.directions[2], rtol=1e-5
    )  # is that far off
