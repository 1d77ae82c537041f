"""Figures of training: whatever the record looks like."""

from collections.abc import Callable
from pathlib import Path

import pytest
from report.plots.drawn import check_drawn

from brenier import DataError
from brenier.report import plots


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


@pytest.mark.parametrize("draw", [plots.loss_curve, plots.inner_convergence])
@pytest.mark.parametrize("rows", [1, 2, 40])
def test_training_figures(draw: Callable[..., None], rows: int, tmp_path: Path) -> None:
    draw(history(rows), tmp_path / "a.png")
    check_drawn(tmp_path / "a.png")


@pytest.mark.parametrize("draw", [plots.loss_curve, plots.inner_convergence])
def test_training_figures_of_trouble(draw: Callable[..., None], tmp_path: Path) -> None:
    draw(
        history(5, held_out_unconverged=7, unconverged=90, standard_error=float("inf")),
        tmp_path / "a.png",
    )
    check_drawn(tmp_path / "a.png")
    with pytest.raises(DataError, match="history: is empty"):
        draw([], tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()
