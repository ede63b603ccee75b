"""Image metrics.

Closed forms, the 8-bit protocol, and SSIM against a slow implementation from its paper.
"""

import dataclasses
import hashlib
import importlib.util
import itertools
import math
import pickle
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.evaluation import lpips, metrics
from nerf.evaluation.metrics import describe_scores, flip, psnr, ssim
from nerf.foundation.errors import UserError
from nerf.foundation.png import to_bytes


def picture(shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32)


def test_bytes_are_clipped_and_rounded_to_the_nearest():
    values = np.array([-3.0, 0.0, 0.49 / 255, 0.51 / 255, 127.4 / 255, 127.6 / 255, 1.0, 7.0])
    assert to_bytes(values).tolist() == [0, 0, 0, 1, 127, 128, 255, 255]
    every = np.arange(256)
    np.testing.assert_array_equal(to_bytes((every / 255).astype(np.float32)), every)


@pytest.mark.parametrize("step", [1, 5, 100, 255])
def test_psnr_of_a_constant_difference_is_its_closed_form(step):
    truth = np.zeros((4, 5, 3))
    np.testing.assert_allclose(
        psnr(truth + step / 255, truth), 20 * math.log10(255 / step), rtol=1e-9, atol=1e-9
    )


def test_psnr_is_of_the_mean_over_pixels_and_channels_and_symmetric():
    a, b = picture((7, 9, 3)), picture((7, 9, 3), 1)
    error = np.mean((np.rint(a * 255.0).astype(float) - np.rint(b * 255.0)) ** 2) / 255**2
    np.testing.assert_allclose(psnr(a, b), -10 * math.log10(error), rtol=1e-6)
    assert psnr(a, b) == psnr(b, a)


@pytest.mark.long
def test_equal_pictures_have_the_greatest_psnr_and_an_ssim_of_one():
    a = picture((16, 12, 3))
    assert psnr(a, a) == 100.0
    np.testing.assert_allclose(ssim(a, a), 1.0, atol=1e-6)
    flat = np.full((16, 12, 3), 0.3)
    np.testing.assert_allclose(ssim(flat, flat), 1.0, atol=1e-6)


@pytest.mark.long
def test_what_8_bits_do_not_hold_is_not_scored():
    levels = np.random.default_rng(0).integers(0, 256, (12, 12, 3))
    truth, off = (
        levels / 255,
        (levels + np.random.default_rng(1).uniform(-0.4, 0.4, levels.shape)) / 255,
    )
    assert psnr(off, truth) == 100.0
    np.testing.assert_allclose(ssim(off, truth), 1.0, atol=1e-6)
    white = np.ones((12, 12, 3))
    assert psnr(white * 9.0, white) == 100.0


def slow_ssim(a, b):
    """Wang et al. 2004, equation 13, a window at a time, in float64.

    The weights are an 11x11 Gaussian (sigma 1.5).
    """
    a, b = (
        np.rint(np.clip(x, 0, 1) * 255.0) / 255
        for x in (a.astype(np.float64), b.astype(np.float64))
    )
    bell = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    weights = np.outer(bell, bell) / bell.sum() ** 2
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for channel in range(a.shape[2]):
        for y in range(a.shape[0] - 10):
            for x in range(a.shape[1] - 10):
                p, q = (image[y : y + 11, x : x + 11, channel] for image in (a, b))
                mp, mq = (weights * p).sum(), (weights * q).sum()
                vp, vq = (weights * (p - mp) ** 2).sum(), (weights * (q - mq) ** 2).sum()
                cov = (weights * (p - mp) * (q - mq)).sum()
                values.append(
                    (2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))
                )
    return np.mean(values)


@pytest.mark.long
@pytest.mark.parametrize("shape", [(11, 11, 3), (14, 17, 3), (17, 12, 1)])
@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_ssim_is_the_papers(shape, noise):
    a = picture(shape)
    b = a + noise * picture(shape, 1) - 0.1
    np.testing.assert_allclose(ssim(a, b), slow_ssim(a, b), atol=2e-5)


@pytest.mark.parametrize("shape", [(10, 40, 3), (40, 10, 3), (1, 1, 3)])
def test_a_picture_smaller_than_the_window_has_no_ssim(shape):
    assert ssim(picture(shape), picture(shape, 1)) is None
    assert math.isfinite(psnr(picture(shape), picture(shape, 1)))


def test_flip_is_0_for_equal_pictures_and_grows_with_what_the_eye_sees():
    a = picture((32, 32, 3))
    assert flip(a, a) == 0.0
    black, white = np.zeros((32, 32, 3)), np.ones((32, 32, 3))
    assert 0.0 < flip(a + 0.02, a) < flip(a + 0.2, a) < flip(black, white) <= 1.0
    assert flip(black, white) > 0.9


SHAPES = {
    "alex": [
        (11, 11, 3, 64),
        (5, 5, 64, 192),
        (3, 3, 192, 384),
        (3, 3, 384, 256),
        (3, 3, 256, 256),
    ],
    "vgg": [
        (3, 3, a, b)
        for a, b in itertools.pairwise(
            (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
        )
    ],
}
COMPARED = {"alex": (0, 1, 2, 3, 4), "vgg": (1, 3, 6, 9, 12)}


def random_weights(rng, kind, section):
    weights = {section: {}}
    for i, shape in enumerate(SHAPES[kind]):
        kernel = rng.normal(0, math.prod(shape[:3]) ** -0.5, shape).astype(np.float32)
        weights[section][f"Conv_{i}"] = {
            "kernel": kernel,
            "bias": np.full(shape[3], 0.1, np.float32),
        }
    for i, layer in enumerate(COMPARED[kind]):
        size = (1, 1, SHAPES[kind][layer][3], 1)
        weights[f"NetLinLayer_{i}"] = {
            "Conv_0": {"kernel": rng.uniform(0, 1, size).astype(np.float32)}
        }
    return weights


def install_lpips(tmp_path, monkeypatch, data, name="ALEX"):
    network = getattr(lpips, name)
    file = tmp_path / lpips.PACKAGE / network.file
    file.parent.mkdir(parents=True, exist_ok=True)
    (file.parent.parent / "__init__.py").write_text("raise SystemExit('its code must not run')")
    file.write_bytes(data)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(
        lpips, name, dataclasses.replace(network, sha256=hashlib.sha256(data).hexdigest())
    )
    importlib.invalidate_caches()
    return getattr(lpips, name)


@pytest.mark.long
@pytest.mark.parametrize(
    "kind, name, key", [("alex", "ALEX", "lpips"), ("vgg", "VGG", "lpips_vgg")]
)
def test_lpips_with_any_weights_is_a_distance_that_grows_with_the_error(
    tmp_path, monkeypatch, kind, name, key
):
    weights = random_weights(np.random.default_rng(0), kind, getattr(lpips, name).section)
    network = install_lpips(tmp_path, monkeypatch, pickle.dumps(weights, protocol=3), name)
    measure = metrics.installed()[key]
    a = picture((network.smallest + 4, network.smallest + 2, 3))
    near, far = a + 0.05 * picture(a.shape, 1), 0.5 * a + 0.5 * picture(a.shape, 2)
    assert measure(a, a) < 1e-9
    distance = measure(far, a)
    assert 0.0 < measure(near, a) < distance
    np.testing.assert_allclose(distance, measure(a, far), rtol=1e-5)
    small = network.smallest - 1
    assert measure(picture((small, 40, 3)), picture((small, 40, 3), 1)) is None


def slow_vgg(weights, a, b):
    """The paper's equation on VGG16 up to its second compared layer, per pixel, in float64."""
    section = weights["VGG16_0"]

    def layers(image):
        x = (2.0 * image - 1.0 - np.array(lpips.SHIFT)) / np.array(lpips.SCALE)
        for i in range(4):
            if i == 2:
                x = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).max((1, 3))
            kernel, padded = (
                section[f"Conv_{i}"]["kernel"].astype(float),
                np.pad(x, ((1, 1), (1, 1), (0, 0))),
            )
            out = np.empty((*x.shape[:2], kernel.shape[-1]))
            for y, z in np.ndindex(*x.shape[:2]):
                out[y, z] = np.einsum("abc,abcd->d", padded[y : y + 3, z : z + 3], kernel)
            x = np.maximum(out + section[f"Conv_{i}"]["bias"], 0.0)
            if i in (1, 3):
                yield x / (np.linalg.norm(x, axis=-1, keepdims=True) + 1e-10)

    total = 0.0
    for i, (p, q) in enumerate(zip(layers(a), layers(b), strict=True)):
        linear = weights[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].reshape(-1)
        total += ((p - q) ** 2 @ linear).mean()
    return total


@pytest.mark.long
def test_lpips_with_vgg_is_the_papers_equation(tmp_path, monkeypatch):
    """Compared on the first two of the five layers: the weights of the others are 0."""
    weights = random_weights(np.random.default_rng(0), "vgg", "VGG16_0")
    for i in (2, 3, 4):
        weights[f"NetLinLayer_{i}"]["Conv_0"]["kernel"][:] = 0.0
    install_lpips(tmp_path, monkeypatch, pickle.dumps(weights, protocol=3), "VGG")
    a, b = (np.rint(picture((16, 18, 3), seed) * 255) / 255 for seed in (0, 1))
    found = metrics.installed()["lpips_vgg"](a, b)
    np.testing.assert_allclose(found, slow_vgg(weights, a, b), rtol=1e-4)


def test_metrics_multiply_in_float32_on_every_device_and_leave_the_setting_as_it_was(
    tmp_path, monkeypatch
):
    seen = []

    def watched(value):
        def measure(*_):
            seen.append(jax.config.jax_default_matmul_precision)
            return jnp.float32(value)

        return measure

    monkeypatch.setattr(metrics.dm_pix, "ssim", watched(1.0))
    monkeypatch.setattr(lpips, "distance", watched(0.0))
    monkeypatch.setattr(lpips, "load_weights", lambda file, sha256: {})
    network = install_lpips(tmp_path, monkeypatch, b"")
    before = jax.config.jax_default_matmul_precision
    image = picture((43, 41, 3))  # a size for which nothing is compiled yet
    ssim(image, image), metrics.perceptual(image, image, network)
    assert seen == ["highest", "highest"] and jax.config.jax_default_matmul_precision == before
    assert "highest" in metrics.PRECISION


def test_weights_that_are_not_the_known_ones_or_not_arrays_are_refused(tmp_path, monkeypatch):
    network = install_lpips(tmp_path, monkeypatch, pickle.dumps({"a": print}))
    with pytest.raises(pickle.UnpicklingError, match="not an array"):
        lpips.load_weights(lpips.weights_file(network), network.sha256)
    with pytest.raises(UserError, match="not the LPIPS weights .*--force-reinstall"):
        lpips.load_weights(lpips.weights_file(network), "0" * 64)


def test_without_its_weights_there_is_no_lpips(monkeypatch):
    monkeypatch.setattr(lpips, "PACKAGE", "no_such_package_as_this")
    assert not {"lpips", "lpips_vgg"} & set(metrics.installed()) and "psnr" in metrics.installed()


def test_the_line_of_scores_has_those_of_labels_and_objects_if_there_are_any():
    line = "PSNR 30.00 dB, SSIM 0.9000"
    scores = {"psnr": 30.0, "ssim": 0.9}
    assert describe_scores(scores) == line
    assert describe_scores({**scores, "miou": 0.5, "instance_iou": None}) == f"{line}, mIoU 0.500"
    assert describe_scores({**scores, "instance_iou": 0.25}) == f"{line}, IoU of objects 0.250"
