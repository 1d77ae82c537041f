"""Palettes: the colours of a photograph with common ones held back."""

import numpy as np
import pytest

from brenier import DataError
from brenier.apps.colour import Photo
from brenier.apps.colour.palette import sample_palette

RNG = np.random.default_rng(0)


def test_a_palette_holds_common_colours_back() -> None:
    plain = np.full((100, 100, 3), 200, np.uint8)
    plain[:10] = RNG.integers(0, 256, (10, 100, 3))
    shares = []
    for evenness in (0.0, 0.5, 1.0):
        colours = sample_palette(Photo(plain), 2000, 0, "srgb", evenness)
        assert colours.shape == (2000, 3)
        shares.append(float((np.abs(colours - 200 / 255).max(1) < 0.01).mean()))
    assert shares[0] > 0.85
    assert 0.05 < shares[1] < 0.2
    assert shares[2] < 0.02


def test_a_palette_is_drawn_by_its_seed(photos: tuple[Photo, Photo]) -> None:
    first, again, other = (
        sample_palette(photos[0], 100, seed, "oklab", 0.8) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(DataError, match=r"evenness: is 1\.5"):
        sample_palette(photos[0], 100, 0, "oklab", 1.5)
