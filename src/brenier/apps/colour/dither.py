"""Rounding of colours to levels with ordered noise, so that smooth gradients do not turn into bands.

    level = round(L v + u(x, y)),   u = frac(52.9829189 frac(0.06711056 x + 0.00583715 y)) - 1/2

is interleaved gradient noise ("Next generation post processing in Call of Duty: Advanced Warfare", Jimenez, 2014): it
depends on the place alone, so the same photograph always gives the same file, and neighbourhoods average to v.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quantise(
    values: NDArray[np.floating],
    levels: int,
    first_row: int = 0,
    amplitude: float = 0.96,
) -> NDArray[np.unsignedinteger]:
    """Return the levels 0 ... `levels` of colours (h, w, 3) in [0, 1], uint8 or uint16; values outside are clipped.

    Args:
        values: (h, w, 3), a block of whole rows of a picture.
        levels: 255 or 65535.
        first_row: where in the picture the block begins.
        amplitude: of the noise, in levels; a little less than one, so that a colour that is a level already stays that
            level in spite of rounding errors.
    """
    height, width, _ = values.shape
    noise = gradient_noise(first_row, height, width).astype(values.dtype)
    steps = np.clip(values, 0, 1) * levels + amplitude * noise
    kind = np.uint8 if levels == 255 else np.uint16
    return np.clip(np.rint(steps), 0, levels).astype(kind)


def gradient_noise(first_row: int, height: int, width: int) -> NDArray[np.float64]:
    """Return u in [-1/2, 1/2) for the pixels of a block: (height, width, 3).

    Channels have the pattern, its transpose and its mirror image, which are uncorrelated; shifted copies are not.
    """
    y, x = np.meshgrid(
        np.arange(first_row, first_row + height), np.arange(width), indexing="ij"
    )
    x, y = np.stack([x, y, x], axis=-1), np.stack([y, x, -y], axis=-1)
    return (52.9829189 * ((0.06711056 * x + 0.00583715 * y) % 1)) % 1 - 0.5
