"""Figures: every one is a PNG of something, whatever the samples look like."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brenier import DataError
from brenier.report import plots
from brenier.report.plots.canvas import plane_of

RNG = np.random.default_rng(0)


def history(rows: int, **changes: float) -> list[dict[str, float]]:
    """A training record as the estimator keeps it."""
    return [
        {
            "step": 50 * i,
            "seconds": 0.7 * i,
            "value": -1 + 1 / (i + 1),
            "standard_error": 0.02,
            "evaluations": 5.0 + i,
            "held_out_unconverged": 0,
            "train_value": -0.9 + 1 / (i + 1) if i else float("nan"),
            "inner_evaluations": 3.0 + i if i else float("nan"),
            "unconverged": 0,
            **changes,
        }
        for i in range(rows)
    ]


def drawn(path: Path) -> np.ndarray:
    """The pixels of a figure that shows something."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        pixels = np.asarray(image.convert("L"))
    assert min(pixels.shape) > 200
    assert pixels.std() > 5
    return pixels


@pytest.mark.parametrize("draw", [plots.loss_curve, plots.inner_convergence])
@pytest.mark.parametrize("rows", [1, 2, 40])
def test_training_figures(draw: Callable[..., None], rows: int, tmp_path: Path) -> None:
    draw(history(rows), tmp_path / "a.png")
    drawn(tmp_path / "a.png")


@pytest.mark.parametrize("draw", [plots.loss_curve, plots.inner_convergence])
def test_training_figures_of_trouble(draw: Callable[..., None], tmp_path: Path) -> None:
    draw(
        history(5, held_out_unconverged=7, unconverged=90, standard_error=float("inf")),
        tmp_path / "a.png",
    )
    drawn(tmp_path / "a.png")
    with pytest.raises(DataError, match="history: is empty"):
        draw([], tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize("d", [1, 2, 3, 60])
@pytest.mark.parametrize("n", [1, 40, 2500])
def test_scatter_of_any_dimension(d: int, n: int, tmp_path: Path) -> None:
    source, target = RNG.normal(size=(n, d)), RNG.standard_cauchy(size=(n + 3, d))
    plots.scatter(source, target, 2 * source + 1, tmp_path / "a.png")
    drawn(tmp_path / "a.png")


@pytest.mark.parametrize("d", [1, 2, 4])
def test_scatter_of_points_that_neither_differ_nor_move(d: int, tmp_path: Path) -> None:
    plots.scatter(
        np.ones((9, d)),
        np.ones((9, d)),
        np.ones((9, d)),
        tmp_path / "a.png",
        ["a", "b", "c", "d"][:d],
    )
    drawn(tmp_path / "a.png")


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


def test_the_plane_shows_the_displacement() -> None:
    source = RNG.normal(size=(500, 6)) * [1, 1, 1, 5, 1, 1]
    moved = source + np.array([0, 9, 0, 0, 0, 0])
    plane = plane_of(source, moved, moved)
    np.testing.assert_allclose(plane.T @ plane, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(plane[:, 0], [0, 1, 0, 0, 0, 0], atol=1e-9)
    assert plane[3, 1] > 0.9


@pytest.mark.parametrize(
    "errors", [[0.0, 0.0], [1e-6], 10 ** RNG.normal(size=999), [1e-9, np.nan, np.inf]]
)
def test_round_trip_histogram(errors: Any, tmp_path: Path) -> None:
    plots.round_trip_histogram(errors, tmp_path / "a.png")
    drawn(tmp_path / "a.png")


def test_round_trip_histogram_needs_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="errors: holds no finite number"):
        plots.round_trip_histogram([np.nan], tmp_path / "a.png")


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
