"""Colour spaces in which pixels are points: functions from and to sRGB with components in [0, 1].

    linear light:  f(v) = v / 12.92 for v <= 0.04045,  ((v + 0.055) / 1.055)^2.4 above  (IEC 61966-2-1)
    Oklab:         (L, a, b) = M2 cbrt(M1 f(v))  ("A perceptual color space for image processing", Ottosson, 2020)

Every function is odd or linear outside [0, 1], so that colours beyond the gamut survive the way there and back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from brenier.errors import DataError

Colours: TypeAlias = NDArray[np.floating]

LMS_FROM_LINEAR = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
LAB_FROM_LMS = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
# Inverted here rather than copied: the published inverses are rounded, and the round trip would show it.
LINEAR_FROM_LMS = np.linalg.inv(LMS_FROM_LINEAR)
LMS_FROM_LAB = np.linalg.inv(LAB_FROM_LMS)


@dataclasses.dataclass(frozen=True)
class ColourSpace:
    """A colour space, as the pair of functions (..., 3) -> (..., 3) that lead into it and out again.

    Attributes:
        name: how users choose it.
        from_srgb: gamma-encoded sRGB, [0, 1] inside the gamut, to this space; float32 stays float32.
        to_srgb: its inverse; the result leaves [0, 1] where the colour is outside the gamut.
    """

    name: str
    from_srgb: Callable[[Colours], Colours]
    to_srgb: Callable[[Colours], Colours]


def linear_from_srgb(colours: Colours) -> Colours:
    """Return linear light f(v) of gamma-encoded sRGB (..., 3)."""
    size = np.abs(colours)
    return np.copysign(
        np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4),
        colours,
    )


def srgb_from_linear(colours: Colours) -> Colours:
    """Return gamma-encoded sRGB of linear light (..., 3), the inverse of `linear_from_srgb`."""
    size = np.abs(colours)
    return np.copysign(
        np.where(size <= 0.0031308, size * 12.92, 1.055 * size ** (1 / 2.4) - 0.055),
        colours,
    )


def oklab_from_srgb(colours: Colours) -> Colours:
    """Return Oklab (L, a, b) of gamma-encoded sRGB (..., 3); white is (1, 0, 0)."""
    return _times(
        np.cbrt(_times(linear_from_srgb(colours), LMS_FROM_LINEAR)), LAB_FROM_LMS
    )


def srgb_from_oklab(colours: Colours) -> Colours:
    """Return gamma-encoded sRGB of Oklab (..., 3), the inverse of `oklab_from_srgb`."""
    return srgb_from_linear(_times(_times(colours, LMS_FROM_LAB) ** 3, LINEAR_FROM_LMS))


def get_space(space: str | ColourSpace) -> ColourSpace:
    """Return a colour space by name; a `ColourSpace` is returned as it is.

    Raises:
        DataError: if no space has this name.

    >>> get_space("oklab").from_srgb(np.ones((1, 3))).round(3) + 0.0
    array([[1., 0., 0.]])
    """
    if isinstance(space, ColourSpace):
        return space
    if space not in SPACES:
        raise DataError(
            f"space={space!r} is not a colour space: choose one of {', '.join(SPACES)}"
        )
    return SPACES[space]


def _times(colours: Colours, matrix: Colours) -> Colours:
    return colours @ matrix.T.astype(colours.dtype)


def _same(colours: Colours) -> Colours:
    return colours


SPACES = {
    space.name: space
    for space in (
        ColourSpace("srgb", _same, _same),
        ColourSpace("linear", linear_from_srgb, srgb_from_linear),
        ColourSpace("oklab", oklab_from_srgb, srgb_from_oklab),
    )
}
