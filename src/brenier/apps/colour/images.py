"""Photographs on disk: read from any format Pillow knows, written whole or not at all."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brenier.apps.colour.decoding import decode
from brenier.apps.colour.dither import quantise
from brenier.apps.colour.photo import Photo, Pixels, pillow
from brenier.atomic import replacing
from brenier.errors import DataError, DataWarning, warn

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}


@dataclasses.dataclass(frozen=True)
class PhotoFileSettings:
    """How photographs are read and written.

    Attributes:
        max_pixels: of a picture that is read; above the largest cameras, below where Pillow itself refuses.
        quality: of JPEG and WebP, on their scale up to 100; losses cannot be seen.
        subsampling: of the colours of a JPEG; 0 keeps their full resolution.
    """

    max_pixels: int = 128_000_000
    quality: int = 95
    subsampling: int = 0

    def encoder_options(self, kind: str) -> dict[str, int]:
        """Return the options of Pillow's encoder of a format.

        TIFF is not compressed, because the encoder that compresses cannot write the EXIF directory.
        """
        if kind == "JPEG":
            return {"quality": self.quality, "subsampling": self.subsampling}
        return {"quality": self.quality} if kind == "WEBP" else {}


PHOTO_FILES = PhotoFileSettings()


def read_photo(path: str | Path, max_pixels: int = PHOTO_FILES.max_pixels) -> Photo:
    """Return the photograph in a file of any kind that Pillow reads, as RGB; of an animation, its first frame.

    16-bit greyscale keeps its 16 bits, but no profile; 16-bit colour is reduced to 8, which is what Pillow gives, with
    a `DataWarning`. Colours that are not RGB (CMYK, greyscale with a profile) are converted to sRGB.

    Raises:
        DataError: if Pillow is missing, or the file is missing, damaged, no picture or larger than `max_pixels`.
    """
    pil = pillow("Image")
    try:
        with warnings.catch_warnings():
            # `max_pixels` is the limit here.
            warnings.simplefilter("ignore", pil.DecompressionBombWarning)
            with pil.open(path) as image:
                _check_size(path, image, max_pixels)
                return decode(path, image)
    except (DataError, MemoryError, Warning):
        raise
    except FileNotFoundError as error:
        raise DataError(f"{path}: there is no such file; check the path") from error
    except pil.DecompressionBombError as error:
        raise DataError(
            f"{path}: {error}. Reduce the picture, or raise PIL.Image.MAX_IMAGE_PIXELS and max_pixels if you trust it"
        ) from error
    except Exception as error:  # decoders of damaged files raise errors of many kinds
        raise DataError(
            f"{path}: not a picture that can be read ({type(error).__name__}: {error}); "
            "open it in an image editor and save it again as PNG or JPEG"
        ) from error


def write_photo(path: str | Path, photo: Photo, pixels: Pixels) -> None:
    """Write a photograph's new pixels (h, w, 3), with its alpha, EXIF and ICC profile, whole or not at all.

    The suffix names the format: .jpg, .jpeg (quality 95, full colour resolution), .png, .tif, .tiff or .webp. 16 bits
    are kept for greyscale PNG and TIFF without alpha; otherwise they are reduced to 8, dithered, with a `DataWarning`.

    Raises:
        DataError: if the suffix is unknown, the pixels do not fit the photograph, the format cannot hold its
            transparency, or the file cannot be written.
    """
    path = Path(path)
    kind = format_of(path)
    if pixels.shape != photo.pixels.shape or pixels.dtype != photo.pixels.dtype:
        raise DataError(
            f"pixels are {pixels.dtype} {pixels.shape}, the photograph is {photo.pixels.dtype} {photo.pixels.shape}: "
            "give pixels of the same shape and depth"
        )
    image = encode(path, photo.with_pixels(pixels), kind)
    save_image(path, image, kind, exif=photo.exif, icc_profile=photo.icc)


def format_of(path: Path) -> str:
    """Return Pillow's name of the format that a suffix stands for.

    Raises:
        DataError: if the suffix is unknown.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(
            f"{path}: no format has the suffix {path.suffix!r}; use one of {', '.join(FORMATS)}"
        )
    return kind


def encode(path: Path, photo: Photo, kind: str) -> Image:
    """Return the Pillow image to save for a photograph, in a mode that the format holds.

    Raises:
        DataError: if the format is JPEG and a pixel is transparent.
    """
    fromarray, alpha = pillow("Image").fromarray, photo.alpha
    if alpha is not None and alpha.min() == 255:
        alpha = None
    if alpha is not None and kind == "JPEG":
        raise DataError(
            f"{path}: JPEG cannot hold the photograph's transparency; write a .png, .tif or .webp instead"
        )
    pixels = photo.pixels
    if photo.depth == 16:
        grey = bool((pixels == pixels[..., :1]).all())
        if grey and alpha is None and kind in ("PNG", "TIFF"):
            return fromarray(np.ascontiguousarray(pixels[..., 0]))
        warn(
            f"{path}: reduced from 16 to 8 bits per channel, all that is written for colour",
            DataWarning,
        )
        pixels = quantise(pixels / np.float32(65535), 255)
    return fromarray(pixels if alpha is None else np.dstack([pixels, alpha]))


def save_image(path: Path, image: Image, kind: str, **metadata: bytes) -> None:
    """Save a Pillow image in one of the `FORMATS`, whole or not at all; empty metadata is left out.

    Raises:
        DataError: if the file cannot be written.
    """
    options = PHOTO_FILES.encoder_options(kind)
    filled = {name: value for name, value in metadata.items() if value}
    try:
        with replacing(path) as temporary:
            image.save(temporary, format=kind, **options, **filled)
    except (MemoryError, Warning):
        raise
    except Exception as error:  # encoders raise errors of many kinds
        raise DataError(
            f"{path}: could not be written ({error}); check the folder, its free space and what {kind} can hold"
        ) from error


def _check_size(path: str | Path, image: Image, max_pixels: int) -> None:
    """Raise a DataError where a picture has too many pixels."""
    width, height = image.size
    if width * height > max_pixels:
        raise DataError(
            f"{path}: {width} x {height} pixels are more than the limit of {max_pixels}; reduce the picture, "
            "or raise max_pixels if you trust the file"
        )
