"""From an opened Pillow image of any mode to RGB pixels, alpha, EXIF block and ICC profile."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brenier.apps.colour.photo import ExifTag, Photo, Pixels
from brenier.apps.colour.profiles import to_rgb
from brenier.errors import DataError, DataWarning, warn

if TYPE_CHECKING:
    from PIL.Image import Image

EXIF_PREFIX = b"Exif\x00\x00"
WIDE_GREY = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # Pillow's modes of 16 bits


def decode(path: str | Path, image: Image) -> Photo:
    """Return the photograph in an opened image; `path` is for messages.

    Raises:
        DataError: if the pixels are floating point, or integers beyond 16 bits.
    """
    kind, mode = image.format or "PNG", image.mode
    _warn_of_losses(path, image)
    image.load()
    if mode in WIDE_GREY:
        grey = _wide_grey(path, image)
        alpha = _alpha_of_key(image, grey)
        return Photo(_grey_to_rgb(grey), alpha, read_exif(image), b"", kind, mode)
    if mode == "F":
        raise DataError(
            f"{path}: holds floating-point pixels, whose white is unknown; save it with 8 or 16 bits"
        )
    exif = read_exif(image)
    alpha = None
    if image.has_transparency_data:
        profile = image.info.get("icc_profile")
        image = image.convert("RGBA")
        alpha = np.array(image.getchannel("A"))
        image.info["icc_profile"] = profile
    colours, icc = to_rgb(image)
    return Photo(np.array(colours), alpha, exif, icc, kind, mode)


def _warn_of_losses(path: str | Path, image: Image) -> None:
    """Warn of what will not be read: further frames, and the lower half of 16-bit colours."""
    frames = getattr(image, "n_frames", 1)
    # The further pictures in a camera's MPO file are previews or depth of the first.
    if frames > 1 and image.format != "MPO":
        warn(f"{path}: only the first of {frames} frames is read", DataWarning)
        image.seek(0)
    if image.mode not in WIDE_GREY and ";16" in str(getattr(image, "tile", "")):
        warn(f"{path}: 16-bit colours are read with 8 bits per channel", DataWarning)


def _wide_grey(path: str | Path, image: Image) -> NDArray[np.uint16]:
    """Return the grey levels of an image of 16 bits: (h, w)."""
    grey = np.array(image)
    if grey.min() < 0 or grey.max() > 65535:
        raise DataError(
            f"{path}: holds integers from {grey.min()} to {grey.max()}, beyond 16 bits; save it with 8 or 16 bits"
        )
    return grey.astype(np.uint16)


def _grey_to_rgb(grey: NDArray[np.uint16]) -> Pixels:
    """Return grey levels (h, w) as colours with three equal channels (h, w, 3)."""
    return np.repeat(grey[..., None], 3, axis=-1)


def _alpha_of_key(image: Image, grey: NDArray[np.uint16]) -> NDArray[np.uint8] | None:
    """Return alpha (h, w) where a PNG declares one grey level transparent, None otherwise."""
    key = image.info.get("transparency")
    if key is None:
        return None
    return np.where(grey == key, 0, 255).astype(np.uint8)


def read_exif(image: Image) -> bytes:
    """Return the EXIF block of a loaded image, without its thumbnail; empty if it has none.

    The block is kept byte for byte, makers' notes too, unless the orientation is written elsewhere (XMP, TIFF tags).
    """
    exif, raw = image.getexif(), image.info.get("exif")
    if isinstance(raw, bytes):
        stored = type(exif)()
        stored.load(raw)
        if stored.get(ExifTag.ORIENTATION) == exif.get(ExifTag.ORIENTATION):
            return without_thumbnail(raw)
    for tag in set(exif) - set(ExifTag):
        del exif[tag]
    return exif.tobytes() if len(exif) else b""


def without_thumbnail(exif: bytes) -> bytes:
    """Return an EXIF block whose first directory is its last, so that no viewer finds the embedded thumbnail."""
    block = bytearray(re.sub(rb"^(Exif\x00\x00)*", b"", exif))
    order = "<" if block[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}L", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, start)
        struct.pack_into(f"{order}L", block, start + 2 + 12 * entries, 0)
    except struct.error:
        return exif
    return EXIF_PREFIX + bytes(block)
