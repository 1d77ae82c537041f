"""ICC profiles: used where they are needed, kept where they still fit."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from brenier.apps.colour import Photo, in_profile_of, read_photo

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def profile(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC version 2 profile of an output device."""
    white = struct.pack(">3l", 63190, 65536, 54061)  # D50
    description = b"desc" + struct.pack(">LL", 0, 2) + b"p\0" + b"\0" * 78
    all_tags = {
        b"desc": description,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": b"XYZ \0\0\0\0" + white,
        **tags,
    }
    start, table, body = 132 + 12 * len(all_tags), b"", b""
    for name, content in all_tags.items():
        table += name + struct.pack(">LL", start + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    kinds = struct.pack(
        ">L4sL4s4s4s12s4s",
        start + len(body),
        b"",
        0x02400000,
        b"prtr",
        space,
        connection,
        b"",
        b"acsp",
    )
    header = kinds.ljust(68, b"\0") + white
    return header.ljust(128, b"\0") + struct.pack(">L", len(all_tags)) + table + body


def linear_grey() -> bytes:
    return profile(b"GRAY", b"XYZ ", {b"kTRC": b"curv" + struct.pack(">LL", 0, 0)})


def black_only() -> bytes:
    """A press that prints black ink and leaves the other three out."""
    identity, unit = bytes(range(256)), (65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lab = b"".join(bytes([0 if corner & 1 else 255, 128, 128]) for corner in range(16))
    head = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + struct.pack(">9l", *unit)
    return profile(
        b"CMYK", b"Lab ", {b"A2B0": head + identity * 4 + lab + identity * 3}
    )


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_grey_is_converted_through_its_profile(mode: str, tmp_path: Path) -> None:
    image = Image.new("L", (3, 2), 55).convert(mode)  # linear light 55/255 is sRGB 128
    image.save(tmp_path / "grey.png", icc_profile=linear_grey())
    photo = read_photo(tmp_path / "grey.png")
    np.testing.assert_allclose(photo.pixels, 128, atol=1)
    assert photo.icc == b""
    assert (photo.alpha is None) == (mode == "L")


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_inks_are_converted_through_their_profile(suffix: str, tmp_path: Path) -> None:
    image = Image.new(
        "CMYK", (16, 16), (200, 100, 0, 128)
    )  # only the black is printed: lightness 50 is sRGB 118
    image.save(tmp_path / f"inks{suffix}", icc_profile=black_only())
    photo = read_photo(tmp_path / f"inks{suffix}")
    np.testing.assert_allclose(photo.pixels, 118, atol=3)
    assert (photo.icc, photo.mode) == (b"", "CMYK")


def test_a_palette_is_brought_into_the_profile_of_the_photograph() -> None:
    colours = np.array(
        [[[250, 20, 30], [10, 240, 20], [128, 128, 128]]], dtype=np.uint8
    )
    photo, palette = Photo(colours, icc=SRGB), Photo(colours, icc=swapped())
    brought = in_profile_of(palette, photo)
    assert brought.icc == SRGB
    np.testing.assert_allclose(brought.pixels, colours[..., [1, 0, 2]], atol=3)
    back = in_profile_of(brought, palette)
    np.testing.assert_allclose(back.pixels, colours, atol=3)


def swapped() -> bytes:
    """SRGB with the red and green primaries exchanged."""
    return (
        SRGB.replace(b"rXYZ", b"????")
        .replace(b"gXYZ", b"rXYZ")
        .replace(b"????", b"gXYZ")
    )


def test_a_palette_without_a_profile_is_srgb() -> None:
    colours = np.array([[[250, 20, 30]]], dtype=np.uint8)
    np.testing.assert_allclose(
        in_profile_of(Photo(colours), Photo(colours, icc=SRGB)).pixels, colours, atol=1
    )


def test_palettes_that_need_no_change_or_allow_none_are_left() -> None:
    plain = Photo(np.zeros((1, 1, 3), dtype=np.uint8))
    deep = Photo(np.zeros((1, 1, 3), dtype=np.uint16))
    assert in_profile_of(plain, plain) is plain
    assert in_profile_of(deep, Photo(plain.pixels, icc=SRGB)) is deep
    assert in_profile_of(plain, Photo(plain.pixels, icc=b"damaged")) is plain
