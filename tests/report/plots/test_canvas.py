"""What all figures share: the plane, the frame, and how they are written."""

import sys
from pathlib import Path

import numpy as np
import pytest

from brenier import DataError
from brenier.report import plots
from brenier.report.plots.canvas import frame_of, plane_of

RNG = np.random.default_rng(0)


def test_the_plane_shows_the_displacement() -> None:
    source = RNG.normal(size=(500, 6)) * [1, 1, 1, 5, 1, 1]
    moved = source + np.array([0, 9, 0, 0, 0, 0])
    plane = plane_of(source, moved, moved)
    np.testing.assert_allclose(plane.T @ plane, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(plane[:, 0], [0, 1, 0, 0, 0, 0], atol=1e-9)
    assert plane[3, 1] > 0.9


def test_a_frame_holds_the_middle_and_is_square() -> None:
    points = RNG.normal(size=(1000, 2))
    low, high = frame_of(points)
    assert (points >= low).all()
    assert (points <= high).all()
    assert high[0] - low[0] == pytest.approx(high[1] - low[1])
    points[0] = 1e6
    low, high = frame_of(points)
    assert (high - low).max() < 20


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    for name in "ab":
        plots.round_trip_histogram([1e-3, 1e-2], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_pyplot_is_not_needed_and_matplotlib_missed_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    plots.round_trip_histogram([1e-3], tmp_path / "a.png")
    for name in ("matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError, match=r"brenier\[plots\]"):
        plots.round_trip_histogram([1e-3], tmp_path / "b.png")
