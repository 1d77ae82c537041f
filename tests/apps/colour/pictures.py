"""Pictures in memory, for the tests of grading."""

from typing import Any

import numpy as np

from brenier.apps.colour import Photo
from brenier.apps.colour.photo import Pixels


def noise(height: int = 40, width: int = 30, dtype: Any = np.uint8) -> Photo:
    high = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(
        0, high, (height, width, 3), dtype=dtype, endpoint=True
    )
    return Photo(pixels)


def ramp(dtype: Any = np.uint8, width: int = 256) -> Photo:
    grey: Pixels = np.linspace(0, np.iinfo(dtype).max, width).astype(dtype)
    return Photo(np.broadcast_to(grey[None, :, None], (8, width, 3)).copy())
