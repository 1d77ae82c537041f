"""Whether a grade posterised."""

import dataclasses

import numpy as np
import pytest
from apps.colour.pictures import noise, ramp

from brenier.apps.colour import banding
from brenier.apps.colour.quality import BANDING
from brenier.errors import DataError


def test_unchanged_pictures_are_not_stretched() -> None:
    measured = banding(noise().pixels, noise().pixels)
    assert measured.stretch == 1
    assert measured.colours_before == measured.colours_after == 1200


def test_posterised_gradients_are_stretched() -> None:
    before = ramp().pixels
    after = before // 32 * 32
    measured = banding(before, after)
    assert measured.stretch == pytest.approx(32)
    assert (measured.colours_before, measured.colours_after) == (256, 8)


def test_stretch_of_a_contrast(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ramp(width=128).pixels // 2
    assert banding(before, before * 2).stretch == pytest.approx(2, rel=1e-3)
    few = dataclasses.replace(BANDING, max_pairs=500)
    monkeypatch.setattr("brenier.apps.colour.quality.BANDING", few)
    assert banding(before, before * 2, seed=3).stretch == pytest.approx(2, rel=1e-3)


def test_stretch_of_sixteen_bits() -> None:
    measured = banding(ramp(np.uint16).pixels, ramp(np.uint16).pixels // 2)
    assert measured.stretch <= 1
    assert measured.colours_before == 256


def test_pairs_are_neighbours() -> None:
    before = np.arange(6, dtype=np.uint8).reshape(2, 3)[..., None].repeat(
        3, 2
    ) * np.uint8(10)
    after = before.copy()
    after[1, 0] = (
        0  # pulled 30 from the pixel above, 40 from its right, and not from the end of the first row
    )
    assert banding(before, after).stretch == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 5, 3), (5, 1, 3)])
def test_banding_of_thin_pictures(shape: tuple[int, ...]) -> None:
    grey = np.zeros(shape, dtype=np.uint8)
    assert banding(grey, grey).colours_before == 1
    assert banding(grey, grey).stretch in (0, 1)


def test_banding_compares_like_with_like() -> None:
    with pytest.raises(DataError, match="compare a picture with its own grade"):
        banding(noise().pixels, noise(41).pixels)
