"""Antialiasing: edges of an image are means over their pixels, everything else is untouched."""

import jax.numpy as jnp
import numpy as np
import pytest

from nerf.cameras.resizing import resized
from nerf.geometry.signed_distance import SignedDistance
from nerf.rendering.antialiasing import find_edges, smooth_edges, within_pixels
from nerf.rendering.images import make_render_image
from nerf.rendering.model import Model, Stage
from nerf.sampling.stratified import UniformSteps
from nerf.scenes import toybox


def test_a_pixel_is_at_an_edge_if_one_of_its_eight_neighbours_differs():
    image = np.full((6, 7, 3), 0.5)
    assert not find_edges(image).any()
    image[2, 3, 1] = 0.75
    expected = np.zeros((6, 7), bool)
    expected[1:4, 2:5] = True
    np.testing.assert_array_equal(find_edges(image), expected)
    image[2, 3, 1] = 0.65
    assert not find_edges(image).any()


def test_positions_are_the_middles_of_equal_parts_of_each_pixel():
    np.testing.assert_allclose(within_pixels(np.array([[3, 5]]), 1), [[3.5, 5.5]])
    found = within_pixels(np.array([[3, 5], [0, 0]]), 2).reshape(2, 4, 2)
    expected = [[3.25, 5.25], [3.25, 5.75], [3.75, 5.25], [3.75, 5.75]]
    np.testing.assert_allclose(np.sort(found[0], 0), np.sort(expected, 0))
    np.testing.assert_allclose(found[1] - found[0], np.broadcast_to([-3.0, -5.0], (4, 2)))


def test_more_rays_come_nearer_to_the_part_of_a_pixel_that_is_covered():
    """A half-plane with a slanted border covers pixels in part; the exact part is an integral."""

    def render(pixels):
        inside = (pixels @ [0.8, 0.6] < 7.3).astype(np.float64)
        return {"rgb": np.repeat(inside[:, None], 3, 1), "opacity": inside}

    x, y = np.meshgrid(np.arange(12), np.arange(10))
    centres = np.stack([x, y], -1).reshape(-1, 2) + 0.5
    image = {name: a.reshape(10, 12, *a.shape[1:]) for name, a in render(centres).items()}
    fine = within_pixels(np.stack([x, y], -1).reshape(-1, 2), 50)
    exact = render(fine)["opacity"].reshape(10, 12, -1).mean(-1)
    errors = [
        np.abs(one["opacity"] - exact).mean()
        for one in (image, smooth_edges(image, 2, render), smooth_edges(image, 4, render))
    ]
    assert errors[1] < 0.6 * errors[0] and errors[2] < 0.6 * errors[1]


def striped_ball(samples):
    """An opaque ball with stripes, so that there are edges inside of it, too."""
    x = samples.means
    stripes = 0.5 + 0.4 * jnp.sign(jnp.sin(9.0 * x[..., 2]))
    rgb = jnp.stack([stripes, 0.2 * jnp.ones_like(stripes), 1.0 - stripes], -1)
    return {"sdf": jnp.linalg.norm(x, axis=-1) - 0.6, "rgb": rgb, "normals": x}


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 3])
def test_edges_are_means_of_a_larger_image_and_other_pixels_are_untouched(count):
    camera = toybox.load(None, "test", sizes=(23,), held_out=1, samples=1).cameras[0]

    def rendered(edge_rays, scale):
        stages = {"main": Stage(UniformSteps(64), striped_ball)}
        model = Model(stages, ("main",), geometry=SignedDistance(), edge_rays=edge_rays)
        # The chunks divide neither the image nor its edges.
        render = make_render_image(model, (1.0, 0.9, 0.8), chunk=100)
        return render(resized(camera, scale))

    plain, smooth, large = rendered(1, 1.0), rendered(count, 1.0), rendered(1, float(count))
    edges = find_edges(plain["rgb"])
    assert 0.1 < edges.mean() < 0.9
    for name in ("rgb", "opacity"):
        mean = large[name].reshape(23, count, 23, count, *large[name].shape[2:]).mean((1, 3))
        np.testing.assert_allclose(smooth[name][edges], mean[edges], atol=1e-5)
        np.testing.assert_array_equal(smooth[name][~edges], plain[name][~edges])
    for name in ("depth", "normals"):
        np.testing.assert_array_equal(smooth[name], plain[name])


def test_an_image_without_edges_is_what_it_is_without_antialiasing():
    def fog(samples):
        return {
            "sdf": jnp.ones(samples.points.shape[:-1]),
            "rgb": jnp.zeros(samples.points.shape),
        }

    camera = toybox.load(None, "test", sizes=(8,), held_out=1, samples=1).cameras[0]
    for edge_rays in (1, 2):
        stages = {"main": Stage(UniformSteps(4), fog)}
        model = Model(stages, ("main",), geometry=SignedDistance(), edge_rays=edge_rays)
        image = make_render_image(model, (0.3, 0.6, 0.9), chunk=50)(camera)
        np.testing.assert_allclose(image["rgb"], np.broadcast_to([0.3, 0.6, 0.9], (8, 8, 3)))
