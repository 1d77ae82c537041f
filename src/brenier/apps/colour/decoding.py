"""From an opened Pillow image of any mode to RGB pixels, alpha, EXIF block and ICC profile."""

from __future__ import annotations

import re
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from brenier.apps.colour.photo import ORIENTATION, Photo, Pixels
from brenier.apps.colour.profiles import to_rgb
from brenier.errors import DataError, DataWarning

if TYPE_CHECKING:
    from PIL.Image import Image

PREFIX = b"Exif\x00\x00"
WIDE_GREY = ("I", "I;16", "I;16B", "I;16L", "I;16N")
# Tags of a TIFF that tell of the photograph; the others tell how its file was laid out.
DESCRIPTIVE = {
    270,
    271,
    272,
    ORIENTATION,
    282,
    283,
    296,
    305,
    306,
    315,
    33432,
    34665,
    34853,
}
STEPS_BACK = 4  # frames of stack from here to the caller of read_photo


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
        return Photo(
            _repeat(grey), _keyed_out(image, grey), read_exif(image), b"", kind, mode
        )
    if mode == "F":
        raise DataError(
            f"{path}: holds floating-point pixels, whose white is unknown; save it with 8 or 16 bits"
        )
    alpha = None
    if image.has_transparency_data:
        profile = image.info.get("icc_profile")
        image, exif = image.convert("RGBA"), read_exif(image)
        alpha = np.array(image.getchannel("A"))
        image.info["icc_profile"] = profile
    else:
        exif = read_exif(image)
    colours, icc = to_rgb(image)
    return Photo(np.array(colours), alpha, exif, icc, kind, mode)


def _warn_of_losses(path: str | Path, image: Image) -> None:
    """Warn of what will not be read: further frames, and the lower half of 16-bit colours."""
    frames = getattr(image, "n_frames", 1)
    # The further pictures in a camera's MPO file are previews or depth of the first.
    if frames > 1 and image.format != "MPO":
        warnings.warn(
            f"{path}: only the first of {frames} frames is read",
            DataWarning,
            STEPS_BACK,
        )
        image.seek(0)
    if image.mode not in WIDE_GREY and ";16" in str(getattr(image, "tile", "")):
        warnings.warn(
            f"{path}: 16-bit colours are read with 8 bits per channel",
            DataWarning,
            STEPS_BACK,
        )


def _wide_grey(path: str | Path, image: Image) -> NDArray[np.uint16]:
    grey = np.array(image)
    if grey.min() < 0 or grey.max() > 65535:
        raise DataError(
            f"{path}: holds integers from {grey.min()} to {grey.max()}, beyond 16 bits; save it with 8 or 16 bits"
        )
    return grey.astype(np.uint16)


def _repeat(grey: NDArray[np.uint16]) -> Pixels:
    return np.repeat(grey[..., None], 3, axis=-1)


def _keyed_out(image: Image, grey: NDArray[np.uint16]) -> NDArray[np.uint8] | None:
    """Return alpha where a PNG declares one grey transparent, None otherwise."""
    key = image.info.get("transparency")
    return None if key is None else np.where(grey == key, 0, 255).astype(np.uint8)


def read_exif(image: Image) -> bytes:
    """Return the EXIF block of a loaded image, without its thumbnail; empty if it has none.

    The block is kept byte for byte, makers' notes too, unless the orientation is written elsewhere (XMP, TIFF tags).
    """
    exif, raw = image.getexif(), image.info.get("exif")
    if isinstance(raw, bytes):
        stored = type(exif)()
        stored.load(raw)
        if stored.get(ORIENTATION) == exif.get(ORIENTATION):
            return without_thumbnail(raw)
    for tag in set(exif) - DESCRIPTIVE:
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
    return PREFIX + bytes(block)
