"""Colour spaces: known values, there and back, and nothing lost on the way."""

import numpy as np
import pytest

from brenier.apps.colour import SPACES, ColourSpace
from brenier.apps.colour.spaces import Colours, get_space, linear_from_srgb
from brenier.errors import DataError

COLOURS = np.random.default_rng(0).random((500, 3)) * 1.4 - 0.2  # beyond the gamut too


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize(("dtype", "error"), [(np.float64, 1e-12), (np.float32, 2e-5)])
def test_round_trip(space: ColourSpace, dtype: type, error: float) -> None:
    colours: Colours = COLOURS.astype(dtype)
    points = space.from_srgb(colours)
    assert points.dtype == dtype
    assert space.to_srgb(points).dtype == dtype
    np.testing.assert_allclose(space.to_srgb(points), colours, atol=error)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_there_and_back_from_the_other_side(space: ColourSpace) -> None:
    np.testing.assert_allclose(
        space.from_srgb(space.to_srgb(COLOURS)), COLOURS, atol=1e-10
    )


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_pictures_are_moved_like_their_rows(space: ColourSpace) -> None:
    blocks = COLOURS.reshape(20, 25, 3)
    np.testing.assert_allclose(
        space.from_srgb(blocks).reshape(-1, 3), space.from_srgb(COLOURS), atol=1e-14
    )


@pytest.mark.parametrize(
    ("srgb", "oklab"),
    [  # the published values of white and of the primaries
        ((1, 1, 1), (1, 0, 0)),
        ((1, 0, 0), (0.62796, 0.22486, 0.12585)),
        ((0, 1, 0), (0.86644, -0.23389, 0.17950)),
        ((0, 0, 1), (0.45201, -0.03246, -0.31153)),
        ((0, 0, 0), (0, 0, 0)),
    ],
)
def test_known_oklab_values(srgb: tuple[float, ...], oklab: tuple[float, ...]) -> None:
    np.testing.assert_allclose(
        SPACES["oklab"].from_srgb(np.array([srgb], dtype=float))[0], oklab, atol=1e-5
    )


def test_greys_have_no_chroma() -> None:
    greys = np.linspace(0, 1, 50)[:, None].repeat(3, 1)
    np.testing.assert_allclose(SPACES["oklab"].from_srgb(greys)[:, 1:], 0, atol=1e-7)


def test_known_linear_values() -> None:
    np.testing.assert_allclose(
        linear_from_srgb(np.array([0, 0.04045, 0.5, 1])),
        [0, 0.0031308, 0.214041, 1],
        atol=1e-6,
    )
    np.testing.assert_array_equal(
        linear_from_srgb(-COLOURS), -linear_from_srgb(COLOURS)
    )


def test_spaces_are_found_by_name() -> None:
    assert get_space("oklab") is SPACES["oklab"]
    assert get_space(SPACES["linear"]) is SPACES["linear"]
    with pytest.raises(
        DataError,
        match="space='lab' is not a colour space: choose one of srgb, linear, oklab",
    ):
        get_space("lab")
