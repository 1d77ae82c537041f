"""Reading and writing photographs of every mode, and what must survive the way through."""

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from brenier.apps.colour import Photo, read_photo, write_photo
from brenier.apps.colour.decoding import without_thumbnail
from brenier.apps.colour.photo import pillow, upright
from brenier.errors import DataError, DataWarning

ORIENTATION, MAKE, EXPOSURE = 274, 271, 33434
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def picture(
    mode: str = "RGB", size: tuple[int, int] = (7, 5), seed: int = 0
) -> Image.Image:
    width, height = size
    noise = np.random.default_rng(seed).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    )
    return Image.fromarray(noise).convert(mode)


def seen(path: Path) -> np.ndarray:
    """The picture as a viewer shows it."""
    with Image.open(path) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def exif(orientation: int = 6) -> Image.Exif:
    block = Image.Exif()
    block[ORIENTATION], block[MAKE] = orientation, "Maker"
    block.get_ifd(34665)[EXPOSURE] = 0.25
    return block


# ---- modes


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_opaque_modes_become_the_same_rgb(
    mode: str, suffix: str, tmp_path: Path
) -> None:
    path, image = tmp_path / f"picture{suffix}", picture(mode)
    image.save(path)
    photo = read_photo(path)
    np.testing.assert_array_equal(photo.pixels, np.array(image.convert("RGB")))
    assert (photo.depth, photo.alpha, photo.mode) == (8, None, mode)
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.flags.writeable


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_alpha_survives(mode: str, suffix: str, tmp_path: Path) -> None:
    image = picture(mode)
    alpha = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7
    image.putalpha(Image.fromarray(alpha))
    source, target = tmp_path / "source.png", tmp_path / f"target{suffix}"
    image.save(source)
    photo = read_photo(source)
    np.testing.assert_array_equal(photo.alpha, alpha)
    write_photo(target, photo, photo.pixels)
    np.testing.assert_array_equal(read_photo(target).alpha, alpha)


@pytest.mark.parametrize(
    "key", [3, bytes([255, 0, 128] + [255] * 253)], ids=["index", "table"]
)
def test_transparent_palette(key: int | bytes, tmp_path: Path) -> None:
    image = picture().quantize(8)
    image.save(tmp_path / "palette.png", transparency=key)
    photo = read_photo(tmp_path / "palette.png")
    table = (
        np.frombuffer(key, np.uint8)
        if isinstance(key, bytes)
        else np.where(np.arange(256) == key, 0, 255)
    )
    np.testing.assert_array_equal(photo.alpha, table[np.array(image)])
    np.testing.assert_array_equal(photo.pixels, np.array(image.convert("RGB")))


def test_transparent_colour_of_an_rgb_file(tmp_path: Path) -> None:
    image = picture()
    image.save(tmp_path / "key.png", transparency=image.getpixel((2, 1)))
    alpha = read_photo(tmp_path / "key.png").alpha
    assert alpha is not None
    assert alpha[1, 2] == 0
    assert (alpha == 0).sum() == 1


def test_cmyk_without_a_profile(tmp_path: Path) -> None:
    image = picture("CMYK")
    image.save(tmp_path / "cmyk.tif")
    np.testing.assert_array_equal(
        read_photo(tmp_path / "cmyk.tif").pixels, np.array(image.convert("RGB"))
    )


@pytest.mark.parametrize(
    "profile", [b"damaged", b"0" * 16 + b"CMYK" + b"0" * 200, SRGB]
)
def test_cmyk_with_a_profile_of_no_use(profile: bytes, tmp_path: Path) -> None:
    image = picture("CMYK")
    image.save(tmp_path / "cmyk.tif", icc_profile=profile)
    photo = read_photo(tmp_path / "cmyk.tif")
    np.testing.assert_array_equal(photo.pixels, np.array(image.convert("RGB")))
    assert photo.icc == b""


def test_sixteen_bit_grey_keeps_its_bits(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 65536, (5, 7)).astype(np.uint16)
    for suffix in (".png", ".tif"):
        source, target = tmp_path / f"source{suffix}", tmp_path / f"target{suffix}"
        Image.fromarray(grey).save(source)
        photo = read_photo(source)
        assert (photo.depth, photo.levels) == (16, 65535)
        np.testing.assert_array_equal(photo.pixels, grey[..., None].repeat(3, -1))
        write_photo(target, photo, photo.pixels)
        np.testing.assert_array_equal(read_photo(target).pixels, photo.pixels)


def test_sixteen_bit_grey_with_a_transparent_level(tmp_path: Path) -> None:
    grey = np.arange(35, dtype=np.uint16).reshape(5, 7) * 1000
    Image.fromarray(grey).save(tmp_path / "key.png", transparency=3000)
    photo = read_photo(tmp_path / "key.png")
    assert photo.alpha is not None
    assert np.argwhere(photo.alpha == 0).tolist() == [[0, 3]]


def test_sixteen_bit_colour_is_reduced_with_a_warning(tmp_path: Path) -> None:
    write_deep_png(
        tmp_path / "deep.png", np.array([[[65535, 0, 32896]]], dtype=np.uint16)
    )
    with pytest.warns(DataWarning, match="16-bit colours are read with 8 bits"):
        photo = read_photo(tmp_path / "deep.png")
    assert photo.pixels.tolist() == [[[255, 0, 128]]]


def write_deep_png(path: Path, pixels: np.ndarray) -> None:
    """A 16-bit RGB PNG, which Pillow reads but does not write."""
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">L", len(body))
            + name
            + body
            + struct.pack(">L", zlib.crc32(name + body))
        )

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">LLBBBBB", width, height, 16, 2, 0, 0, 0)
    body = (
        chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_coloured_sixteen_bits_are_written_with_eight(tmp_path: Path) -> None:
    photo = Photo(
        np.random.default_rng(0).integers(0, 65536, (5, 7, 3)).astype(np.uint16)
    )
    with pytest.warns(DataWarning, match="reduced from 16 to 8 bits"):
        write_photo(tmp_path / "out.png", photo, photo.pixels)
    np.testing.assert_allclose(
        read_photo(tmp_path / "out.png").pixels, photo.pixels / 257, atol=1
    )


def test_integers_and_floats_beyond_sixteen_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 70000]], dtype=np.int32)).save(
        tmp_path / "integers.tif"
    )
    Image.fromarray(np.array([[0.0, 1.0]], dtype=np.float32)).save(
        tmp_path / "floats.tif"
    )
    with pytest.raises(DataError, match="beyond 16 bits"):
        read_photo(tmp_path / "integers.tif")
    with pytest.raises(DataError, match="floating-point"):
        read_photo(tmp_path / "floats.tif")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_one_pixel(suffix: str, tmp_path: Path) -> None:
    photo = Photo(np.array([[[10, 200, 30]]], dtype=np.uint8))
    write_photo(tmp_path / f"one{suffix}", photo, photo.pixels)
    np.testing.assert_allclose(
        read_photo(tmp_path / f"one{suffix}").pixels, photo.pixels, atol=4
    )


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    first, second = picture("L"), picture("L", seed=1)
    first.save(tmp_path / "moving.gif", save_all=True, append_images=[second])
    with pytest.warns(DataWarning, match="first of 2 frames"):
        photo = read_photo(tmp_path / "moving.gif")
    np.testing.assert_array_equal(photo.pixels[..., 0], np.array(first))


# ---- what a file carries beside its pixels


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("source", "target"),
    [(".jpg", ".jpg"), (".png", ".tif"), (".webp", ".png"), (".tif", ".jpg")],
)
def test_every_orientation_looks_the_same_way_up(
    source: str, target: str, orientation: int, tmp_path: Path
) -> None:
    before, after = tmp_path / f"before{source}", tmp_path / f"after{target}"
    corner = np.zeros((16, 24, 3), dtype=np.uint8)
    corner[:6, :12] = 255  # tells all eight apart
    Image.fromarray(corner).save(before, exif=exif(orientation))
    photo = read_photo(before)
    write_photo(after, photo, photo.pixels)
    np.testing.assert_allclose(seen(after), seen(before), atol=60)
    np.testing.assert_allclose(
        upright(photo.pixels, photo.orientation), seen(before), atol=60
    )
    if source != ".tif":  # Pillow turns these itself
        assert photo.orientation == orientation
        np.testing.assert_allclose(photo.pixels, corner, atol=60)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_and_profile_survive(suffix: str, tmp_path: Path) -> None:
    picture().save(tmp_path / "before.jpg", exif=exif(), icc_profile=SRGB)
    photo = read_photo(tmp_path / "before.jpg")
    write_photo(tmp_path / f"after{suffix}", photo, photo.pixels)
    with Image.open(tmp_path / f"after{suffix}") as image:
        block = image.getexif()
        assert block[ORIENTATION] == 6
        assert block[MAKE] == "Maker"
        assert float(block.get_ifd(34665)[EXPOSURE]) == 0.25
        assert image.info["icc_profile"] == SRGB


def test_descriptive_tags_of_a_tiff_survive(tmp_path: Path) -> None:
    picture().save(tmp_path / "before.tif", exif=exif(1), compression="tiff_lzw")
    photo = read_photo(tmp_path / "before.tif")
    write_photo(tmp_path / "after.jpg", photo, photo.pixels)
    with Image.open(tmp_path / "after.jpg") as image:
        assert image.getexif()[MAKE] == "Maker"
        assert 259 not in image.getexif()  # compression, which tells of the old file


def test_the_thumbnail_of_the_old_colours_is_forgotten(tmp_path: Path) -> None:
    block = exif().tobytes()[6:]
    order: Literal["little", "big"] = "little" if block[:2] == b"II" else "big"
    start = int.from_bytes(block[4:8], order)
    entries = int.from_bytes(block[start : start + 2], order)
    pointer = start + 2 + 12 * entries
    linked = (
        block[:pointer]
        + len(block).to_bytes(4, order)
        + block[pointer + 4 :]
        + block[start:]
    )
    kept = Image.Exif()
    kept.load(linked)
    assert kept._info is not None
    assert kept._info.next != 0
    kept.load(without_thumbnail(b"Exif\0\0" + linked))
    assert kept._info.next == 0
    assert kept[MAKE] == "Maker"


def test_a_damaged_exif_block_is_left_as_it_is() -> None:
    assert without_thumbnail(b"Exif\0\0II*\0") == b"Exif\0\0II*\0"


def test_a_damaged_grey_profile_is_dropped(tmp_path: Path) -> None:
    picture("L").save(
        tmp_path / "grey.png", icc_profile=b"\0" * 16 + b"GRAY" + b"\0" * 200
    )
    photo = read_photo(tmp_path / "grey.png")
    assert photo.icc == b""
    np.testing.assert_array_equal(photo.pixels, np.array(picture("L").convert("RGB")))


# ---- files that cannot be read or written


def test_missing_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    missing, text, cut = (
        tmp_path / "missing.png",
        tmp_path / "text.png",
        tmp_path / "cut.jpg",
    )
    text.write_text("not a picture")
    picture(size=(64, 64)).save(tmp_path / "whole.jpg")
    cut.write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    with pytest.raises(DataError, match=r"missing\.png: there is no such file"):
        read_photo(missing)
    for path in (text, cut, tmp_path):
        with pytest.raises(
            DataError, match=f"{path.name}: not a picture that can be read"
        ):
            read_photo(path)


def test_huge_files_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(size=(30, 20)).save(tmp_path / "huge.png")
    with pytest.raises(
        DataError, match="30 x 20 pixels are more than the limit of 599"
    ):
        read_photo(tmp_path / "huge.png", max_pixels=599)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    assert (
        read_photo(tmp_path / "huge.png", max_pixels=600).width == 30
    )  # no warning of Pillow's
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(DataError, match="max_pixels"):
        read_photo(tmp_path / "huge.png")


def test_unknown_suffixes_and_other_pixels_are_refused(tmp_path: Path) -> None:
    photo = Photo(np.zeros((2, 3, 3), dtype=np.uint8))
    with pytest.raises(DataError, match=r"'\.bmp'; use one of \.jpg"):
        write_photo(tmp_path / "out.bmp", photo, photo.pixels)
    with pytest.raises(DataError, match="same shape and depth"):
        write_photo(tmp_path / "out.png", photo, photo.pixels[:1])
    with pytest.raises(DataError, match="same shape and depth"):
        write_photo(tmp_path / "out.png", photo, photo.pixels.astype(np.uint16))


def test_jpeg_refuses_transparency_but_not_an_opaque_alpha(tmp_path: Path) -> None:
    alpha = np.full((2, 3), 255, dtype=np.uint8)
    photo = Photo(np.zeros((2, 3, 3), dtype=np.uint8), alpha)
    write_photo(tmp_path / "out.jpg", photo, photo.pixels)
    alpha[0, 0] = 254
    with pytest.raises(DataError, match=r"out\.jpg: JPEG cannot hold .* write a \.png"):
        write_photo(tmp_path / "out.jpg", photo, photo.pixels)


def test_a_failing_save_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, photo = tmp_path / "out.png", Photo(np.zeros((2, 3, 3), dtype=np.uint8))
    path.write_bytes(b"old")

    def fails(self: Image.Image, target: Path, **options: object) -> None:
        Path(target).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fails)
    with pytest.raises(
        DataError, match=r"out\.png: could not be written \(disk full\)"
    ):
        write_photo(path, photo, photo.pixels)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    photo = Photo(np.zeros((2, 3, 3), dtype=np.uint8))
    with pytest.raises(DataError, match=r"out\.png: could not be written"):
        write_photo(tmp_path / "nowhere" / "out.png", photo, photo.pixels)


def test_a_picture_too_large_for_its_format_is_named(tmp_path: Path) -> None:
    photo = Photo(np.zeros((1, 70_000, 3), dtype=np.uint8))
    with pytest.raises(DataError, match="what JPEG can hold"):
        write_photo(tmp_path / "out.jpg", photo, photo.pixels)
    assert not list(tmp_path.iterdir())


def test_missing_pillow_names_the_extra() -> None:
    with pytest.raises(DataError, match=r"brenier\[images\]"):
        pillow("NoSuchModule")


def test_warnings_turned_into_errors_stay_warnings(tmp_path: Path) -> None:
    picture("L").save(
        tmp_path / "moving.gif", save_all=True, append_images=[picture("L", seed=1)]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataWarning):
            read_photo(tmp_path / "moving.gif")
