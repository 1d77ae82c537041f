"""A photograph in memory: pixels as an array, with what must be restored so that its file stays the user's."""

from __future__ import annotations

import dataclasses
import enum
import importlib
from types import ModuleType
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from brenier.errors import DataError

Pixels: TypeAlias = NDArray[np.unsignedinteger]

Element = TypeVar("Element", bound=np.generic)


class ExifTag(enum.IntEnum):
    """Tags of EXIF and TIFF that tell of the photograph; all others tell how its file was laid out."""

    IMAGE_DESCRIPTION = 270
    MAKE = 271
    MODEL = 272
    ORIENTATION = 274
    X_RESOLUTION = 282
    Y_RESOLUTION = 283
    RESOLUTION_UNIT = 296
    SOFTWARE = 305
    DATE_TIME = 306
    ARTIST = 315
    COPYRIGHT = 33432
    EXIF_DIRECTORY = 34665
    GPS_DIRECTORY = 34853


@dataclasses.dataclass(frozen=True, eq=False)
class Photo:
    """A photograph, unrotated as it is stored.

    Attributes:
        pixels: (h, w, 3), RGB, uint8 or uint16.
        alpha: (h, w), uint8, or None where the file has no transparency.
        exif: EXIF block with its orientation tag, without its thumbnail of the old colours; empty if none.
        icc: ICC profile that gives the RGB numbers their meaning; empty if none, which means sRGB.
        format: Pillow's name of the file format it came from.
        mode: Pillow's mode of the file it came from.
    """

    pixels: Pixels
    alpha: NDArray[np.uint8] | None = None
    exif: bytes = b""
    icc: bytes = b""
    format: str = "PNG"
    mode: str = "RGB"

    @property
    def depth(self) -> int:
        """Bits per channel, 8 or 16."""
        return 8 * self.pixels.dtype.itemsize

    @property
    def levels(self) -> int:
        """The largest value of a channel, 255 or 65535."""
        return (1 << self.depth) - 1

    @property
    def height(self) -> int:
        """Rows of the stored picture."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of the stored picture."""
        return int(self.pixels.shape[1])

    @property
    def orientation(self) -> int:
        """How the stored picture is turned, 1 to 8 as EXIF counts; 1 is upright."""
        if not self.exif:
            return 1
        exif = pillow("Image").Exif()
        exif.load(self.exif)
        turned = exif.get(ExifTag.ORIENTATION, 1)
        return turned if turned in range(1, 9) else 1

    def with_pixels(self, pixels: Pixels) -> Photo:
        """Return the same photograph with other colours (h, w, 3)."""
        return dataclasses.replace(self, pixels=pixels)


def upright(array: NDArray[Element], orientation: int) -> NDArray[Element]:
    """Return a stored picture (h, w, ...) turned as EXIF says it should be seen: (h, w, ...) or (w, h, ...).

    >>> upright(np.array([[1, 2]]), 6).tolist()
    [[1], [2]]
    """
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def pillow(module: str) -> ModuleType:
    """Return a module of Pillow.

    Raises:
        DataError: if Pillow is not installed.
    """
    try:
        return importlib.import_module(f"PIL.{module}")
    except ImportError as error:
        raise DataError(
            'pictures need Pillow: pip install "brenier[images]"'
        ) from error


def colour_codes(pixels: Pixels) -> NDArray[np.int32]:
    """Return one number per 8-bit colour: (h, w, 3) -> (h, w)."""
    red, green, blue = np.moveaxis(pixels.astype(np.int32), -1, 0)
    return (red << 16) | (green << 8) | blue


def seen_colours(pixels: Pixels) -> NDArray[np.bool_]:
    """Return which of the 8-bit colours a picture (h, w, 3) has, by their codes: (2^24,)."""
    seen = np.zeros(1 << 24, dtype=bool)
    for row in pixels:  # row by row, because codes take four times the memory of pixels
        seen[colour_codes(row)] = True
    return seen
