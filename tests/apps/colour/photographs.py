"""Photographs in files, for the tests of grading."""

from pathlib import Path

import numpy as np
from PIL import Image

from brenier.apps.colour import Photo

RNG = np.random.default_rng(0)


def picture(path: str, tint: tuple[int, int, int]) -> Photo:
    """A small photograph of one smooth gradient, in a file."""
    ramp = np.linspace(0, 100, 48 * 48).reshape(48, 48, 1)
    pixels = np.clip(
        ramp + np.array(tint) + RNG.normal(size=(48, 48, 3)), 0, 255
    ).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return Photo(pixels)


def pixels(path: str | Path) -> np.ndarray:
    """The pixels of a picture."""
    return np.asarray(Image.open(path)).astype(float)
