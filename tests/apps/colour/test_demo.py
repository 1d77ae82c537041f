"""The demonstration: everything it promises is there."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from apps.colour.photographs import pixels

from brenier.apps.cli import main


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
