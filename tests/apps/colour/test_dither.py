"""Dither: rounding to levels without bands."""

import numpy as np

from brenier.apps.colour.dither import gradient_noise, quantise


def test_neighbourhoods_average_to_the_colour() -> None:
    for value in (0.2, 0.3337, 0.5011):
        levels = quantise(np.full((48, 48, 3), value, dtype=np.float32), 255)
        assert levels.max() - levels.min() <= 1
        np.testing.assert_allclose(levels.mean((0, 1)), 255 * value, atol=0.03)


def test_noise_depends_on_the_place_alone() -> None:
    np.testing.assert_array_equal(
        gradient_noise(0, 20, 9)[12:], gradient_noise(12, 8, 9)
    )
    whole = gradient_noise(0, 64, 64)
    assert whole.min() >= -0.5
    assert whole.max() < 0.5
    np.testing.assert_allclose(
        np.corrcoef(whole.reshape(-1, 3).T), np.eye(3), atol=0.05
    )


def test_dither_does_not_band_a_slow_ramp() -> None:
    slow = (
        np.linspace(0.5, 0.52, 512, dtype=np.float32)[None, :, None]
        .repeat(64, 0)
        .repeat(3, 2)
    )
    means = quantise(slow, 255).mean(0)[:, 0].reshape(32, 16).mean(1)
    np.testing.assert_allclose(
        means, slow[0, :, 0].reshape(32, 16).mean(1) * 255, atol=0.08
    )
