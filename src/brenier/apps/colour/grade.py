"""Grading: the colours of a photograph as samples, and a map of colours applied to every pixel.

Pixels are atoms: points of a grid of 256 (or 65536) levels. A map learnt from atoms may stretch the gaps between them,
which posterises; `sample_pixels` therefore spreads each atom over its cell of the grid, so that the samples have a
density.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from brenier.apps.colour.dither import quantise
from brenier.apps.colour.photo import Photo, Pixels, colour_codes, seen_colours
from brenier.apps.colour.spaces import Colours, ColourSpace, get_space
from brenier.errors import DataError

# A map of colours (n, 3) -> (n, 3), points of a colour space.
ColourMap: TypeAlias = Callable[[NDArray[np.float32]], NDArray[np.floating]]


@dataclasses.dataclass(frozen=True, eq=False)
class Graded:
    """A graded photograph.

    Attributes:
        pixels: (h, w, 3), of the depth of the photograph.
        clipped_share: share of visible pixels whose colour left the gamut by more than half a level and was clipped.
    """

    pixels: Pixels
    clipped_share: float


def sample_pixels(
    photo: Photo,
    n: int,
    seed: int | np.random.Generator,
    space: str | ColourSpace = "oklab",
) -> NDArray[np.float32]:
    """Return the colours of n random visible pixels in a colour space, each spread over its cell: (n, 3).

    Pixels are drawn without replacement while there are enough of them; fully transparent ones are left out.

    Raises:
        DataError: if n is not positive, the space is unknown, or no pixel is visible.
    """
    chosen, generator = get_space(space), np.random.default_rng(seed)
    if n < 1:
        raise DataError(f"n={n} pixels cannot be sampled: ask for at least 1")
    visible = None if photo.alpha is None else np.flatnonzero(photo.alpha)
    count = photo.height * photo.width if visible is None else visible.size
    if not count:
        raise DataError(
            "photo has no visible pixel: every alpha value is 0; choose another picture"
        )
    rows = generator.choice(count, n, replace=n > count)
    if visible is not None:
        rows = visible[rows]
    colours = photo.pixels.reshape(-1, 3)[rows]
    noise = generator.random((n, 3), dtype=np.float32) - np.float32(0.5)
    return _float32(chosen.from_srgb((colours + noise) / np.float32(photo.levels)))


def grade(
    photo: Photo,
    move: ColourMap,
    space: str | ColourSpace = "oklab",
    rows: int = 65_536,
) -> Graded:
    """Return the photograph with every colour moved, x -> move(x) in a colour space, clipped to the gamut and dithered.

    Colours are moved `rows` at a time, and with 8 bits each distinct colour once, so memory stays bounded.

    Args:
        photo: the photograph.
        move: (n, 3) -> (n, 3), points of `space`.
        space: a name in `SPACES`, or a `ColourSpace`.
        rows: how many colours `move` gets at once.

    Raises:
        DataError: if the space is unknown, `rows` not positive, or `move` returns another shape or non-finite values.
    """
    chosen = get_space(space)
    if rows < 1:
        raise DataError(f"rows={rows} is not a block size: give at least 1")
    if photo.depth == 8:
        blocks = _move_distinct_colours(photo.pixels, move, chosen, rows)
    else:
        blocks = _move_every_pixel(photo.pixels, move, chosen, rows)
    pixels, clipped, half = np.empty_like(photo.pixels), 0, 0.5 / photo.levels
    visible = _visible(photo)
    for block, values in blocks:
        outside = ((values < -half) | (values > 1 + half)).any(-1)
        clipped += int((outside & visible[block]).sum())
        pixels[block] = quantise(values, photo.levels, block.start)
    return Graded(pixels, clipped / max(1, int(visible.sum())))


def _visible(photo: Photo) -> NDArray[np.bool_]:
    """Return which pixels can be seen: (h, w)."""
    if photo.alpha is None:
        return np.broadcast_to(True, (photo.height, photo.width))
    return photo.alpha > 0


def _picture_rows(pixels: Pixels, rows: int) -> Iterator[slice]:
    """Yield slices of whole picture rows, of about `rows` pixels each."""
    height, width, _ = pixels.shape
    step = max(1, rows // width)
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def _move_distinct_colours(
    pixels: Pixels, move: ColourMap, space: ColourSpace, rows: int
) -> Iterator[tuple[slice, Colours]]:
    """Yield blocks and their moved colours, from a table of the distinct colours of an 8-bit picture."""
    seen = seen_colours(pixels)
    distinct = np.flatnonzero(seen).astype(np.int32)
    table = np.empty((distinct.size, 3), dtype=np.float32)
    for start in range(0, distinct.size, rows):
        codes = distinct[start : start + rows, None]
        levels = (codes >> np.array([16, 8, 0])) & 255
        table[start : start + rows] = _move_levels(levels, move, space, 255)
    place = np.cumsum(seen, dtype=np.int32) - 1  # of a colour in the table, by its code
    for block in _picture_rows(pixels, rows):
        yield block, table[place[colour_codes(pixels[block])]]


def _move_every_pixel(
    pixels: Pixels, move: ColourMap, space: ColourSpace, rows: int
) -> Iterator[tuple[slice, Colours]]:
    """Yield blocks and their moved colours, every pixel on its own: 16-bit colours seldom repeat."""
    for block in _picture_rows(pixels, rows):
        colours = pixels[block].reshape(-1, 3)
        chunks = []
        for start in range(0, len(colours), rows):
            levels = colours[start : start + rows]
            chunks.append(_move_levels(levels, move, space, 65535))
        yield block, np.concatenate(chunks).reshape(*pixels[block].shape)


def _move_levels(
    colours: NDArray[np.integer], move: ColourMap, space: ColourSpace, levels: int
) -> NDArray[np.float32]:
    """Return sRGB of moved colours, given as levels: (n, 3) -> (n, 3).

    Raises:
        DataError: if `move` returns another shape or non-finite values.
    """
    points = _float32(space.from_srgb(colours.astype(np.float32) / np.float32(levels)))
    ends = np.asarray(move(points))
    if ends.shape != points.shape:
        raise DataError(
            f"move returned shape {ends.shape} for {points.shape}: it must map (n, 3) to (n, 3)"
        )
    lost = int((~np.isfinite(ends).all(1)).sum())
    if lost:
        raise DataError(
            f"move returned non-finite values for {lost} of {len(ends)} colours: check that the map was fitted in "
            f"the colour space {space.name!r}"
        )
    return _float32(space.to_srgb(ends))


def _float32(colours: Colours) -> NDArray[np.float32]:
    return colours.astype(np.float32, copy=False)
