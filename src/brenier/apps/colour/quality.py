"""Whether a grade posterised: how far neighbouring pixels were pulled apart.

    stretch = 99.9th percentile of |after_p - after_q| / max(|before_p - before_q|, 1 level) over neighbours p, q

A gradient that posterises is one whose small jumps became large ones. Dither alone gives a stretch of about 2.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from brenier.apps.colour.photo import Pixels, seen_colours
from brenier.errors import DataError


@dataclasses.dataclass(frozen=True)
class BandingSettings:
    """How the stretch is measured.

    Attributes:
        percentile: of the stretch over pairs of neighbours; the largest of all would be that of a single pair.
        max_pairs: pairs that are looked at; enough for the percentile, and memory stays bounded.
    """

    percentile: float = 99.9
    max_pairs: int = 1_000_000


BANDING = BandingSettings()


@dataclasses.dataclass(frozen=True)
class Banding:
    """How a grade treated gradients.

    Attributes:
        stretch: largest local stretch (its 99.9th percentile); 1 for a picture of one pixel.
        colours_before: distinct colours of the photograph.
        colours_after: distinct colours of the grade; far fewer means that gradients collapsed.
    """

    stretch: float
    colours_before: int
    colours_after: int


def banding(
    before: Pixels, after: Pixels, seed: int | np.random.Generator = 0
) -> Banding:
    """Return the stretch and the distinct colours of a picture (h, w, 3) and its grade (h, w, 3), of the same depth.

    The stretch is measured on all neighbouring pairs, or on a million random ones.

    Raises:
        DataError: if the pictures differ in shape or depth.
    """
    if before.shape != after.shape or before.dtype != after.dtype:
        raise DataError(
            f"before is {before.dtype} {before.shape} but after is {after.dtype} {after.shape}: "
            "compare a picture with its own grade"
        )
    height, width, _ = before.shape
    first, second = _neighbours(height, width, np.random.default_rng(seed))
    jumps_before = np.maximum(_jumps(before, first, second), 1)
    ratio = _jumps(after, first, second) / jumps_before
    stretch = 1.0
    if ratio.size:
        stretch = float(np.percentile(ratio, BANDING.percentile))
    return Banding(stretch, _distinct(before), _distinct(after))


def _neighbours(
    height: int, width: int, generator: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the flat places of horizontal and vertical neighbours, `BANDING.max_pairs` at most: (k,), (k,)."""
    across, down = height * (width - 1), (height - 1) * width
    total = across + down
    chosen = _some_pairs(total, generator)
    flat, upright = chosen[chosen < across], chosen[chosen >= across] - across
    left = flat + flat // max(1, width - 1)  # a row holds one pair fewer than pixels
    return np.concatenate([left, upright]), np.concatenate([left + 1, upright + width])


def _some_pairs(total: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return the numbers of all pairs, or of random ones, with replacement, where there are very many: (k,)."""
    if total > BANDING.max_pairs:
        return generator.integers(total, size=BANDING.max_pairs)
    return np.arange(total)


def _jumps(
    pixels: Pixels, first: NDArray[np.intp], second: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return the Euclidean distance, in levels, of pairs of pixels: (k,)."""
    flat = pixels.reshape(-1, 3)
    difference = flat[first].astype(np.float32) - flat[second].astype(np.float32)
    return np.linalg.norm(difference, axis=1)


def _distinct(pixels: Pixels) -> int:
    """Return how many colours a picture has."""
    if pixels.dtype == np.uint8:
        return int(seen_colours(pixels).sum())
    red, green, blue = np.moveaxis(pixels.astype(np.uint64), -1, 0)
    return int(np.unique((red << np.uint64(32)) | (green << np.uint64(16)) | blue).size)
