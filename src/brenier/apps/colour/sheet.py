"""A contact sheet: labelled pictures side by side on one page, to judge a grade by eye."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from brenier.apps.colour.dither import quantise
from brenier.apps.colour.images import save_image
from brenier.apps.colour.photo import Photo, Pixels, pillow, upright
from brenier.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

# A caption and its picture.
Panel: TypeAlias = tuple[str, Photo | Pixels]


@dataclasses.dataclass(frozen=True)
class SheetSettings:
    """Lengths, in pixels, and colours of a contact sheet.

    Attributes:
        panel_width: of every picture.
        max_height: of a picture, in panel widths; one of a single column would otherwise be a tower.
        margin: between pictures and around them.
        letters: the size of the letters of captions.
        background: the grey of CIE lightness 50, which influences the eye least.
        ink: the colour of captions.
    """

    panel_width: int = 480
    max_height: int = 4
    margin: int = 24
    letters: int = 20
    background: tuple[int, int, int] = (119, 119, 119)
    ink: tuple[int, int, int] = (255, 255, 255)

    @property
    def line(self) -> int:
        """The height of a caption."""
        return 2 * self.letters

    @property
    def column(self) -> int:
        """The width of a panel with the margin beside it."""
        return self.panel_width + self.margin


SHEET = SheetSettings()


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
    heights = []  # of the rows of panels, with caption and margin
    for start in range(0, len(pictures), columns):
        tallest = max(picture.height for picture in pictures[start : start + columns])
        heights.append(tallest + SHEET.line + SHEET.margin)
    margin = SHEET.margin
    size = (columns * SHEET.column + margin, sum(heights) + margin)
    sheet = pillow("Image").new("RGB", size, SHEET.background)
    draw = pillow("ImageDraw").Draw(sheet)
    font = pillow("ImageFont").load_default(SHEET.letters)
    for index, (caption, _) in enumerate(panels):
        row, column = divmod(index, columns)
        left, top = margin + column * SHEET.column, margin + sum(heights[:row])
        middle = (left, top + SHEET.line // 2)
        draw.text(middle, _fitted(caption, font), SHEET.ink, font, anchor="lm")
        sheet.paste(pictures[index], (left, top + SHEET.line))
    save_image(Path(path), sheet, "PNG")


def _picture(caption: str, content: Photo | Pixels) -> Image:
    """Return a panel's picture, upright, over the background where transparent, as wide as a panel."""
    photo = content if isinstance(content, Photo) else Photo(np.asarray(content))
    pixels = _opaque(caption, photo)
    turned = np.ascontiguousarray(upright(pixels, photo.orientation))
    picture = pillow("Image").fromarray(turned)
    width = SHEET.panel_width
    height = max(1, round(width * picture.height / picture.width))
    height = min(height, SHEET.max_height * width)
    filters = pillow("Image").Resampling
    enlarging = picture.width < width
    return picture.resize(
        (width, height), filters.BICUBIC if enlarging else filters.LANCZOS
    )


def _opaque(caption: str, photo: Photo) -> Pixels:
    """Return the pixels of a photograph with 8 bits, over the background where transparent: (h, w, 3).

    Raises:
        DataError: if they are no picture.
    """
    pixels = photo.pixels
    is_picture = pixels.ndim == 3 and pixels.shape[2] == 3 and 0 not in pixels.shape
    if not is_picture or pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"panel {caption!r} is {pixels.dtype} {pixels.shape}: give a Photo, or uint8 or uint16 pixels (h, w, 3)"
        )
    if photo.depth == 16:
        pixels = quantise(pixels / np.float32(photo.levels), 255)
    if photo.alpha is not None:
        share = photo.alpha[..., None] / np.float32(255)
        background = np.array(SHEET.background, np.float32)
        blended = pixels * share + background * (1 - share)
        pixels = quantise(blended / 255, 255)
    return pixels


def _fitted(caption: str, font: FreeTypeFont | ImageFont) -> str:
    """Return a caption on one line, cut to the width of a panel."""
    text, width = " ".join(caption.split()), SHEET.panel_width
    if font.getlength(text) <= width:
        return text
    fitting = math.floor(len(text) * width / font.getlength(text))
    while fitting and font.getlength(text[:fitting].rstrip() + "...") > width:
        fitting -= 1
    return text[:fitting].rstrip() + "..."
