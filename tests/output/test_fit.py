"""Pictures, errors and spectra of networks that fit one image."""

import numpy as np
import pytest

from nerf.output.fit import fits_figure, log_spectrum


@pytest.mark.parametrize("cycles", [(3, 0), (0, 9), (5, 7)])
def test_a_wave_has_its_power_at_its_own_frequency(cycles):
    v, u = cycles
    y, x = np.mgrid[:32, :48]
    wave = np.sin(2.0 * np.pi * (v * y / 32 + u * x / 48) + 0.3)[..., None] * np.ones(3) + 0.5
    spectrum = log_spectrum(wave)
    brightest = np.argwhere(spectrum > spectrum.max() - 0.1) - [16, 24]
    assert {tuple(place) for place in brightest} == {(v, u), (-v, -u)}


def test_the_spectrum_of_white_noise_is_its_variance_times_that_of_the_window():
    noise = np.random.default_rng(0).normal(0.5, 0.1, (64, 64, 3))
    window = np.outer(np.hanning(64), np.hanning(64))
    power = (10.0 ** log_spectrum(noise)).mean()
    assert np.isclose(
        power,
        0.01 * (window**2).mean(),
        rtol=0.08,  # two and a half per cent is one standard deviation
    )


def test_each_network_stands_under_its_name_beside_the_image():
    truth = np.random.default_rng(0).integers(0, 200, (8, 8, 3)) / 255.0
    figure = fits_figure(truth, {"a": truth + 0.2, "b": np.zeros_like(truth)})
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:3] == ["image", "a, 13.98 dB", f"b, {-10 * np.log10((truth**2).mean()):.2f} dB"]
    errors = [axis.images[0].get_array() for axis in figure.axes[4:6]]
    np.testing.assert_allclose(errors[0], 0.2)
    np.testing.assert_allclose(errors[1], truth.mean(-1))
