"""Figures of maps: every one is a PNG of something, whatever the samples look like."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.plots.drawn import check_drawn

from brenier import DataError
from brenier.report import plots

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("d", [1, 2, 3, 60])
@pytest.mark.parametrize("n", [1, 40, 2500])
def test_scatter_of_any_dimension(d: int, n: int, tmp_path: Path) -> None:
    source, target = RNG.normal(size=(n, d)), RNG.standard_cauchy(size=(n + 3, d))
    plots.scatter(source, target, 2 * source + 1, tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")


@pytest.mark.parametrize("d", [1, 2, 4])
def test_scatter_of_points_that_neither_differ_nor_move(d: int, tmp_path: Path) -> None:
    plots.scatter(
        np.ones((9, d)),
        np.ones((9, d)),
        np.ones((9, d)),
        tmp_path / "a.png",
        ["a", "b", "c", "d"][:d],
    )
    check_drawn(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("shapes"),
    [((5, 2), (5, 3), (5, 2)), ((5, 2), (5, 2), (4, 2)), ((5, 2), (0, 2), (5, 2))],
)
def test_scatter_needs_samples_that_fit_together(
    shapes: tuple[tuple[int, int], ...], tmp_path: Path
) -> None:
    source, target, moved = map(np.zeros, shapes)
    with pytest.raises(DataError, match="source, target, moved: have shapes"):
        plots.scatter(source, target, moved, tmp_path / "a.png")


@pytest.mark.parametrize(
    "errors", [[0.0, 0.0], [1e-6], 10 ** RNG.normal(size=999), [1e-9, np.nan, np.inf]]
)
def test_round_trip_histogram(errors: Any, tmp_path: Path) -> None:
    plots.round_trip_histogram(errors, tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")


def test_round_trip_histogram_needs_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="errors: holds no finite number"):
        plots.round_trip_histogram([np.nan], tmp_path / "a.png")
