"""Image metrics: closed forms, the 8-bit protocol, and SSIM against a slow implementation from its paper."""

import hashlib
import importlib.util
import math
import pickle
import sys

import numpy as np
import pytest

from nerf import lpips, metrics
from nerf.errors import UserError
from nerf.metrics import flip, psnr, ssim, to_bytes


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
    np.testing.assert_allclose(psnr(truth + step / 255, truth), 20 * math.log10(255 / step), rtol=1e-9, atol=1e-9)


def test_psnr_is_of_the_mean_over_pixels_and_channels_and_symmetric():
    a, b = picture((7, 9, 3)), picture((7, 9, 3), 1)
    error = np.mean((np.rint(a * 255.0).astype(float) - np.rint(b * 255.0)) ** 2) / 255**2
    np.testing.assert_allclose(psnr(a, b), -10 * math.log10(error), rtol=1e-6)
    assert psnr(a, b) == psnr(b, a)


def test_equal_pictures_have_the_greatest_psnr_and_an_ssim_of_one():
    a = picture((16, 12, 3))
    assert psnr(a, a) == 100.0
    np.testing.assert_allclose(ssim(a, a), 1.0, atol=1e-6)
    flat = np.full((16, 12, 3), 0.3)
    np.testing.assert_allclose(ssim(flat, flat), 1.0, atol=1e-6)


def test_what_8_bits_do_not_hold_is_not_scored():
    levels = np.random.default_rng(0).integers(0, 256, (12, 12, 3))
    truth, off = levels / 255, (levels + np.random.default_rng(1).uniform(-0.4, 0.4, levels.shape)) / 255
    assert psnr(off, truth) == 100.0
    np.testing.assert_allclose(ssim(off, truth), 1.0, atol=1e-6)
    white = np.ones((12, 12, 3))
    assert psnr(white * 9.0, white) == 100.0


def slow_ssim(a, b):
    """Wang et al. 2004, equation 13 with 11x11 Gaussian weights (sigma 1.5), a window at a time, in float64."""
    a, b = (np.rint(np.clip(x, 0, 1) * 255.0) / 255 for x in (a.astype(np.float64), b.astype(np.float64)))
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
                values.append((2 * mp * mq + c1) * (2 * cov + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return np.mean(values)


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


def random_weights(rng):
    shapes = [(11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256), (3, 3, 256, 256)]
    weights = {"AlexNet_0": {}}
    for i, shape in enumerate(shapes):
        kernel = rng.normal(0, math.prod(shape[:3]) ** -0.5, shape).astype(np.float32)
        weights["AlexNet_0"][f"Conv_{i}"] = {"kernel": kernel, "bias": np.zeros(shape[3], np.float32)}
        weights[f"NetLinLayer_{i}"] = {"Conv_0": {"kernel": np.ones((1, 1, shape[3], 1), np.float32)}}
    return weights


def install_lpips(tmp_path, monkeypatch, data):
    folder = tmp_path / lpips.PACKAGE / "weights"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise SystemExit('its code must not run')")
    (folder / "alexnet.ckpt").write_bytes(data)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(lpips, "SHA256", hashlib.sha256(data).hexdigest())
    importlib.invalidate_caches()
    lpips.load_weights.cache_clear()


def test_lpips_with_any_weights_is_a_distance_that_grows_with_the_error(tmp_path, monkeypatch):
    install_lpips(tmp_path, monkeypatch, pickle.dumps(random_weights(np.random.default_rng(0)), protocol=3))
    assert "lpips" in metrics.installed()
    a = picture((40, 36, 3))
    near, far = a + 0.05 * picture(a.shape, 1), 0.5 * a + 0.5 * picture(a.shape, 2)
    assert metrics.perceptual(a, a) < 1e-9
    assert 0.0 < metrics.perceptual(near, a) < metrics.perceptual(far, a)
    np.testing.assert_allclose(metrics.perceptual(far, a), metrics.perceptual(a, far), rtol=1e-5)
    assert metrics.perceptual(picture((31, 40, 3)), picture((31, 40, 3), 1)) is None


def test_weights_that_are_not_the_known_ones_or_not_arrays_are_refused(tmp_path, monkeypatch):
    install_lpips(tmp_path, monkeypatch, pickle.dumps({"a": print}))
    with pytest.raises(pickle.UnpicklingError, match="not an array"):
        lpips.load_weights(lpips.weights_file())
    monkeypatch.setattr(lpips, "SHA256", "0" * 64)
    with pytest.raises(UserError, match="not the LPIPS weights .*--force-reinstall"):
        lpips.load_weights(lpips.weights_file())


def test_without_its_weights_there_is_no_lpips(monkeypatch):
    monkeypatch.setattr(lpips, "PACKAGE", "no_such_package_as_this")
    assert "lpips" not in metrics.installed() and "psnr" in metrics.installed()
    assert metrics.perceptual(picture((40, 40, 3)), picture((40, 40, 3), 1)) is None
