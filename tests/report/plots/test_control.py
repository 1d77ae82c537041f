"""Figures of a policy of control: whatever its training and its trajectories look like."""

from pathlib import Path

import numpy as np
import pytest
from report.plots.drawn import check_drawn

from brenier import DataError
from brenier.report import plots
from brenier.report.plots.control import COURSES, Course, ValueSlice, line_colours

pytestmark = pytest.mark.filterwarnings("error")


def history(rows: int, **changes: float) -> list[dict[str, float]]:
    """A training record as the estimator keeps it."""
    return [
        {
            "step": 25 * i,
            "seconds": 0.7 * i,
            "value": 1000 / (i + 1) ** 2,
            "standard_error": 0.5,
            "train_cost": 1200 / (i + 1) ** 2 if i else float("nan"),
            "held_out_unconverged": 0.0,
            "unconverged": 0.0 if i else float("nan"),
            **changes,
        }
        for i in range(rows)
    ]


@pytest.mark.parametrize(
    ("rows", "changes"),
    [
        (1, {}),
        (9, {}),
        (9, {"held_out_unconverged": 0.2, "unconverged": 0.5}),
        (3, {"value": -1.0, "train_cost": -1.1}),
        (3, {"value": float("inf"), "standard_error": float("nan")}),
    ],
)
def test_training_is_drawn(
    rows: int, changes: dict[str, float], tmp_path: Path
) -> None:
    plots.control_training(history(rows, **changes), tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")


def test_no_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="history: is empty"):
        plots.control_training([], tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("count", [1, 3, 8])
def test_courses_are_drawn(count: int, tmp_path: Path) -> None:
    times, names = np.linspace(0, 1, 5), [f"z{i}" for i in range(2 * count)]
    values = np.random.default_rng(0).normal(size=(5, 2 * count))
    panel = Course("states", names, times, values, values + 0.1, held=True)
    plots.courses([panel] * count, "States", tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")


@pytest.mark.parametrize("held", [False, True])
def test_very_many_lines_are_drawn_as_bands(held: bool, tmp_path: Path) -> None:
    count = COURSES.max_lines + 1
    values = np.random.default_rng(0).normal(size=(5, count))
    names, times = [f"u{i}" for i in range(count)], np.linspace(0, 1, 5)
    panel = Course("controls", names, times, values, held=held)
    plots.courses([panel], "Controls", tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("states", [1, 2])
def test_slices_of_a_value_function_are_drawn(
    states: int, known: bool, tmp_path: Path
) -> None:
    line = np.linspace(-1, 1, 11)
    values = line**2 if states == 1 else np.add.outer(line**2, line)
    seen = np.zeros((4, states))
    each = ValueSlice(0.5, [line] * states, values, values if known else None, seen, seen, seen[0])  # fmt: skip
    plots.value_slices([each] * 3, ["a", "b"][:states], tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")


def test_a_constant_value_function_is_drawn(tmp_path: Path) -> None:
    line = np.linspace(-1, 1, 5)
    seen = np.zeros((4, 2))
    each = ValueSlice(0.0, [line] * 2, np.zeros((5, 5)), None, seen, seen, seen[0])
    plots.value_slices([each], ["a", "b"], tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")


def test_colours_of_lines_differ() -> None:
    for count in (1, COURSES.max_legend, 9, 10, 100):
        assert len(set(line_colours(count))) == count
