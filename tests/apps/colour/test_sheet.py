"""The contact sheet: where its panels stand, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFont

from brenier.apps.colour import Photo, contact_sheet
from brenier.apps.colour.sheet import SHEET, _fitted
from brenier.errors import DataError

RED, GREEN = (255, 0, 0), (0, 255, 0)
PANEL_WIDTH, MARGIN, LINE = SHEET.panel_width, SHEET.margin, SHEET.line
BACKGROUND = SHEET.background


def plain(
    colour: tuple[int, int, int], height: int = 20, width: int = 40
) -> np.ndarray:
    return np.broadcast_to(np.array(colour, dtype=np.uint8), (height, width, 3)).copy()


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.array(image)


def centre(
    sheet: np.ndarray, column: int, top: int = MARGIN, height: int = PANEL_WIDTH // 2
) -> tuple[int, ...]:
    left = MARGIN + column * (PANEL_WIDTH + MARGIN)
    return tuple(
        int(v) for v in sheet[top + LINE + height // 2, left + PANEL_WIDTH // 2]
    )


def test_panels_stand_in_columns_of_one_width(tmp_path: Path) -> None:
    panels = [("one", plain(RED)), ("two", plain(GREEN)), ("three", plain(RED, 40))]
    contact_sheet(panels, tmp_path / "sheet.png", columns=2)
    sheet = opened(tmp_path / "sheet.png")
    first, second = PANEL_WIDTH // 2 + LINE + MARGIN, PANEL_WIDTH + LINE + MARGIN
    assert sheet.shape == (
        MARGIN + first + second,
        MARGIN + 2 * (PANEL_WIDTH + MARGIN),
        3,
    )
    assert centre(sheet, 0) == RED
    assert centre(sheet, 1) == GREEN
    assert centre(sheet, 0, MARGIN + first, PANEL_WIDTH) == RED
    assert centre(sheet, 1, MARGIN + first, PANEL_WIDTH) == BACKGROUND
    assert tuple(sheet[0, 0]) == BACKGROUND
    assert (
        sheet[MARGIN : MARGIN + LINE, MARGIN : MARGIN + 60] != BACKGROUND
    ).any()  # a caption


def test_photographs_are_turned_upright_and_shown_over_grey(tmp_path: Path) -> None:
    block = Image.Exif()
    block[274] = 6
    alpha = np.full((20, 40), 255, dtype=np.uint8)
    alpha[:, :20] = 0  # the left half, which is the upper half once turned
    photo = Photo(plain(RED), alpha, exif=block.tobytes())
    contact_sheet([("turned", photo)], tmp_path / "sheet.png")
    sheet = opened(tmp_path / "sheet.png")
    assert sheet.shape[0] == 2 * MARGIN + LINE + 2 * PANEL_WIDTH
    assert tuple(sheet[MARGIN + LINE + 100, MARGIN + 100]) == BACKGROUND
    assert tuple(sheet[MARGIN + LINE + 2 * PANEL_WIDTH - 100, MARGIN + 100]) == RED


def test_sixteen_bits_and_one_pixel(tmp_path: Path) -> None:
    one = np.array([[[65535, 0, 0]]], dtype=np.uint16)
    contact_sheet([("one", one)], tmp_path / "sheet.png")
    assert centre(opened(tmp_path / "sheet.png"), 0, height=PANEL_WIDTH) == RED


def test_towers_are_bounded(tmp_path: Path) -> None:
    contact_sheet([("tower", plain(RED, 500, 1))], tmp_path / "sheet.png")
    assert (
        opened(tmp_path / "sheet.png").shape[0] == 2 * MARGIN + LINE + 4 * PANEL_WIDTH
    )


def test_long_captions_are_cut_and_lines_joined() -> None:
    font = ImageFont.load_default(SHEET.letters)
    assert _fitted("two\nlines", font) == "two lines"
    cut = _fitted("a very long caption " * 20, font)
    assert cut.endswith("...")
    assert 0.9 * PANEL_WIDTH < font.getlength(cut) <= PANEL_WIDTH


def test_sheets_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    with pytest.raises(DataError, match="0 panels"):
        contact_sheet([], path)
    with pytest.raises(DataError, match="0 columns"):
        contact_sheet([("one", plain(RED))], path, columns=0)
    wrongs: list[Any] = [
        np.zeros((2, 2), np.uint8),
        np.zeros((2, 2, 3)),
        np.zeros((0, 2, 3), np.uint8),
    ]
    for wrong in wrongs:
        with pytest.raises(DataError, match="panel 'wrong' is"):
            contact_sheet([("wrong", wrong)], path)
    assert not list(tmp_path.iterdir())


def test_an_unwritable_place_leaves_the_old_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="could not be written"):
        contact_sheet([("one", plain(RED))], tmp_path / "nowhere" / "sheet.png")
    path = tmp_path / "sheet.png"
    contact_sheet([("one", plain(RED))], path)
    old = path.read_bytes()

    def fails(*_: object) -> None:
        raise OSError("read-only")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(DataError, match="read-only"):
        contact_sheet([("one", plain(GREEN))], path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]
