"""Grading photographs: the map between palettes, the command and the demonstration."""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from brenier import DataError, load
from brenier.apps.cli import main
from brenier.apps.colour import Photo
from brenier.apps.colour.palette import sample_palette

RNG = np.random.default_rng(0)


def picture(path: str, tint: tuple[int, int, int]) -> Photo:
    """A small photograph of one smooth gradient, in a file."""
    ramp = np.linspace(0, 100, 48 * 48).reshape(48, 48, 1)
    pixels = np.clip(
        ramp + np.array(tint) + RNG.normal(size=(48, 48, 3)), 0, 255
    ).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return Photo(pixels)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Photo, Photo]:
    """A blue and a red photograph, in the working folder."""
    monkeypatch.chdir(tmp_path)
    return picture("blue.png", (20, 40, 120)), picture("red.png", (140, 60, 30))


def pixels(path: str | Path) -> np.ndarray:
    """The pixels of a picture."""
    return np.asarray(Image.open(path)).astype(float)


def test_a_palette_holds_common_colours_back() -> None:
    plain = np.full((100, 100, 3), 200, np.uint8)
    plain[:10] = RNG.integers(0, 256, (10, 100, 3))
    shares = []
    for evenness in (0.0, 0.5, 1.0):
        colours = sample_palette(Photo(plain), 2000, 0, "srgb", evenness)
        assert colours.shape == (2000, 3)
        shares.append(float((np.abs(colours - 200 / 255).max(1) < 0.01).mean()))
    assert shares[0] > 0.85
    assert 0.05 < shares[1] < 0.2
    assert shares[2] < 0.02


def test_a_palette_is_drawn_by_its_seed(photos: tuple[Photo, Photo]) -> None:
    first, again, other = (
        sample_palette(photos[0], 100, seed, "oklab", 0.8) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(DataError, match=r"evenness: is 1\.5"):
        sample_palette(photos[0], 100, 0, "oklab", 1.5)


def test_colour_grades_both_ways_and_reports(
    photos: tuple[Photo, Photo], capsys: Any
) -> None:
    threads = torch.get_num_threads()
    words = [
        "colour",
        "blue.png",
        "red.png",
        "--out",
        "o.png",
        "--max-steps",
        "10",
        "--quiet",
    ]
    assert (
        main(
            [
                *words,
                "--inverse-out",
                "back.png",
                "--model",
                "model",
                "--report",
                "report",
            ]
        )
        == 0
    )
    assert torch.get_num_threads() == threads
    out = capsys.readouterr().out
    for name in ("o.png", "back.png"):
        assert re.search(
            rf"^{name}: clipped pixels [\d.]+%, distinct colours \d+ -> \d+, ",
            out,
            re.MULTILINE,
        )
    blue, red = pixels("blue.png").mean((0, 1)), pixels("red.png").mean((0, 1))
    np.testing.assert_allclose(pixels("o.png").mean((0, 1)), red, atol=12)
    np.testing.assert_allclose(pixels("back.png").mean((0, 1)), blue, atol=12)
    assert load("model").map_.dim == 3
    page = Path("report/report.md").read_text(encoding="utf-8")
    assert all(
        Path("report", name).exists() for name in re.findall(r"\]\((\S+)\)", page)
    )
    capsys.readouterr()
    assert main([*words, "--strength", "0"]) == 0
    np.testing.assert_allclose(pixels("o.png"), pixels("blue.png"), atol=1)


def read_demo(folder: Path) -> dict[str, tuple[float, int, int, float]]:
    """What the report of the demonstration says of every picture: clipped share, colours before, after, stretch."""
    page = (folder / "report.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"\| (\S+\.png) \| ([\d.]+)% \| (\d+) -> (\d+) \| ([\d.]+) \|", page
    )
    return {
        name: (float(share) / 100, int(before), int(after), float(s))
        for name, share, before, after, s in rows
    }


def check_demo(folder: Path, out: str) -> None:
    """Everything the demonstration promises is there."""
    page = (folder / "report.md").read_text(encoding="utf-8")
    assert all((folder / name).exists() for name in re.findall(r"\]\((\S+)\)", page))
    for told in (
        "W2 = ",
        "Round trip",
        "unconverged",
        "clipped",
        "distinct colours",
        "seconds",
    ):
        assert told in page
    assert read_demo(folder).keys() == {
        "graded.png",
        "halfway.png",
        "inverse.png",
        "halfway-back.png",
    }
    assert pixels(folder / "pagoda.png").shape == pixels(folder / "graded.png").shape
    assert f"Look at {folder / 'sheet.png'}" in out


def test_demo_in_a_hurry(tmp_path: Path, capsys: Any) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo"), "--quick", "--quiet"]) == 0
    check_demo(tmp_path / "demo", capsys.readouterr().out)


@pytest.mark.slow
def test_demo_makes_a_grade_to_keep(tmp_path: Path, capsys: Any) -> None:
    began = time.process_time()
    assert main(["demo", "--out", str(tmp_path), "--quiet"]) == 0
    assert time.process_time() - began < 180
    check_demo(tmp_path, capsys.readouterr().out)
    for clipped, before, after, stretch in read_demo(tmp_path).values():
        assert clipped < 0.05
        assert after > 0.9 * before
        assert stretch < 6
