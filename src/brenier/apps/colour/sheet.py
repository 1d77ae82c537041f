"""A contact sheet: labelled pictures side by side on one page, to judge a grade by eye."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from brenier.apps.colour.dither import quantise
from brenier.apps.colour.images import save_image
from brenier.apps.colour.photo import Photo, Pixels, pillow, upright
from brenier.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

Panel: TypeAlias = tuple[str, Photo | Pixels]

PANEL_WIDTH, MARGIN, CAPTION = 480, 24, 20  # pixels; CAPTION is the size of the letters
BACKGROUND, INK = (
    (119, 119, 119),
    (255, 255, 255),
)  # the grey of CIE lightness 50, which sways the eye least


def contact_sheet(panels: Sequence[Panel], path: str | Path, columns: int = 2) -> None:
    """Write a PNG of captioned pictures, row by row, each as wide as the others and turned upright.

    Args:
        panels: (caption, picture) pairs; a picture is a `Photo`, or pixels (h, w, 3), uint8 or uint16, already upright.
        path: where to write.
        columns: how many pictures stand side by side.

    Raises:
        DataError: if there are no panels or columns, a picture has another shape, or the file cannot be written.
    """
    if not panels or columns < 1:
        raise DataError(
            f"a sheet of {len(panels)} panels in {columns} columns is empty: give at least one of each"
        )
    pictures = [_picture(caption, content) for caption, content in panels]
    columns = min(columns, len(pictures))
    rows = [
        pictures[start : start + columns] for start in range(0, len(pictures), columns)
    ]
    line = CAPTION * 2
    heights = [max(picture.height for picture in row) + line + MARGIN for row in rows]
    size = (columns * (PANEL_WIDTH + MARGIN) + MARGIN, sum(heights) + MARGIN)
    sheet = pillow("Image").new("RGB", size, BACKGROUND)
    draw = pillow("ImageDraw").Draw(sheet)
    font = pillow("ImageFont").load_default(CAPTION)
    for index, picture in enumerate(pictures):
        left = MARGIN + (index % columns) * (PANEL_WIDTH + MARGIN)
        top = MARGIN + sum(heights[: index // columns])
        draw.text(
            (left, top + line // 2),
            _fitted(panels[index][0], font),
            INK,
            font,
            anchor="lm",
        )
        sheet.paste(picture, (left, top + line))
    save_image(Path(path), sheet, "PNG")


def _picture(caption: str, content: Photo | Pixels) -> Image:
    """Return a panel's picture, upright, over the background where transparent, `PANEL_WIDTH` wide."""
    photo = content if isinstance(content, Photo) else Photo(np.asarray(content))
    pixels = photo.pixels
    if (
        pixels.ndim != 3
        or pixels.shape[2] != 3
        or 0 in pixels.shape
        or pixels.dtype not in (np.uint8, np.uint16)
    ):
        raise DataError(
            f"panel {caption!r} is {pixels.dtype} {pixels.shape}: give a Photo, or uint8 or uint16 pixels (h, w, 3)"
        )
    if photo.depth == 16:
        pixels = quantise(pixels / np.float32(photo.levels), 255)
    if photo.alpha is not None:
        share = photo.alpha[..., None] / np.float32(255)
        pixels = quantise(
            (pixels * share + np.array(BACKGROUND, np.float32) * (1 - share)) / 255, 255
        )
    picture = pillow("Image").fromarray(
        np.ascontiguousarray(upright(pixels, photo.orientation))
    )
    height = max(1, round(PANEL_WIDTH * picture.height / picture.width))
    height = min(
        height, 4 * PANEL_WIDTH
    )  # a picture of one column would otherwise be a tower
    enlarging = picture.width < PANEL_WIDTH
    filters = pillow("Image").Resampling
    return picture.resize(
        (PANEL_WIDTH, height), filters.BICUBIC if enlarging else filters.LANCZOS
    )


def _fitted(caption: str, font: Any) -> str:
    """Return a caption on one line, cut to the width of a panel."""
    text = " ".join(caption.split())
    if font.getlength(text) <= PANEL_WIDTH:
        return text
    fitting = math.floor(len(text) * PANEL_WIDTH / font.getlength(text))
    while fitting and font.getlength(text[:fitting].rstrip() + "...") > PANEL_WIDTH:
        fitting -= 1
    return text[:fitting].rstrip() + "..."
