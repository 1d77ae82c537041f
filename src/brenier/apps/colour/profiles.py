"""ICC profiles: what the numbers of a pixel mean."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING

import numpy as np

from brenier.apps.colour.photo import Photo, pillow

if TYPE_CHECKING:
    from PIL.Image import Image


def convert(image: Image, source: bytes, target: bytes) -> Image | None:
    """Return an image in RGB, its colours converted from one profile to another, or None if a profile is damaged.

    Args:
        image: of the mode that `source` describes.
        source, target: ICC profiles; an empty one means sRGB.
    """
    cms = pillow("ImageCms")

    def open_profile(icc: bytes) -> object:
        if not icc:
            return cms.createProfile("sRGB")
        return cms.ImageCmsProfile(io.BytesIO(icc))

    try:
        return cms.profileToProfile(
            image,
            open_profile(source),
            open_profile(target),
            renderingIntent=cms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=cms.Flags.BLACKPOINTCOMPENSATION,  # ink's black is grey; it should become the screen's
        )
    except (cms.PyCMSError, OSError):
        return None


def to_rgb(image: Image) -> tuple[Image, bytes]:
    """Return an RGB image and the profile that fits it; colours of another kind of profile are converted to sRGB."""
    icc = image.info.get("icc_profile") or b""
    space = icc[16:20]  # the field of an ICC header that names the kind of colours
    inks = image.mode == "CMYK"
    if space == b"RGB " and not inks:
        return image.convert("RGB"), icc
    mode = {b"GRAY": "L", b"CMYK": "CMYK"}.get(space)
    if mode is None or (mode == "CMYK") != inks:  # the profile is of other colours
        return image.convert("RGB"), b""
    converted = convert(image.convert(mode), icc, b"")
    if converted is None:
        converted = image.convert("RGB")
    return converted, b""


def in_profile_of(palette: Photo, photo: Photo) -> Photo:
    """Return a palette with its pixels in the profile of a photograph, so that equal numbers mean equal colours.

    It is returned as it is where the profiles are equal, one of them is damaged, or it has 16 bits (which carry none).
    """
    if palette.icc == photo.icc or palette.depth == 16:
        return palette
    converted = convert(
        pillow("Image").fromarray(palette.pixels), palette.icc, photo.icc
    )
    if converted is None:
        return palette
    return dataclasses.replace(palette, pixels=np.array(converted), icc=photo.icc)
