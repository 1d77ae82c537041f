"""Grading a photograph from the command line: both ways, with a report."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from apps.colour.photographs import pixels

from brenier import load
from brenier.apps.cli import main
from brenier.apps.colour import Photo


@pytest.mark.slow
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
