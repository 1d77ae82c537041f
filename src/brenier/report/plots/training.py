"""How training went, and what its inner solves cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from brenier.errors import DataError
from brenier.report.plots.canvas import (
    GREY,
    LIGHT,
    MOVED,
    SOURCE,
    new_figure,
    write_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The training record: one dictionary per evaluation, `OptimalTransport.history_`.
History: TypeAlias = Sequence[Mapping[str, float]]


def loss_curve(history: History, path: str | Path) -> None:
    """Write J on held-out samples, with a band of one standard error, and on training batches, against steps.

    Args:
        history: rows of `OptimalTransport.history_`, at least one.
        path: where to write the PNG.

    Raises:
        DataError: where the history is empty or matplotlib is missing.
    """
    step = series(history, "step")
    value = series(history, "value")
    error = series(history, "standard_error")
    figure, (axes,) = new_figure(1, 7.0, 4.2)
    axes.plot(
        step,
        series(history, "train_value"),
        color=LIGHT,
        lw=1.4,
        label="training batches",
    )
    axes.fill_between(
        step,
        value - error,
        value + error,
        color=SOURCE,
        alpha=0.2,
        lw=0,
        label="± one standard error",
    )
    axes.plot(
        step, value, color=SOURCE, lw=1.8, marker="o", ms=3, label="held-out samples"
    )
    # The best value among evaluations whose inner problems all converged: only those count for selection.
    solved = np.where(series(history, "held_out_unconverged") == 0, value, np.nan)
    if np.isfinite(solved).any():
        best = int(np.nanargmin(solved))
        axes.plot(
            step[best],
            value[best],
            "o",
            ms=9,
            mfc="none",
            mec=MOVED,
            mew=1.8,
            label=f"best, step {step[best]:.0f}",
        )
    axes.set(
        xlabel="training step", ylabel="J (cost units of the training coordinates)"
    )
    axes.legend(frameon=False)
    seconds_axis(axes, step, series(history, "seconds"))
    write_figure(figure, path)


def inner_convergence(history: History, path: str | Path) -> None:
    """Write what inner solves cost, in evaluations per row, and how many rows they left unconverged, against steps.

    Args:
        history: rows of `OptimalTransport.history_`, at least one.
        path: where to write the PNG.

    Raises:
        DataError: where the history is empty or matplotlib is missing.
    """
    step = series(history, "step")
    figure, (above, below) = new_figure(
        2, 7.0, 4.8, rows=2, share_x=True, height_ratios=[2, 1]
    )
    above.plot(
        step,
        series(history, "evaluations"),
        color=SOURCE,
        lw=1.8,
        label="held-out samples, final tolerance",
    )
    above.plot(
        step,
        series(history, "inner_evaluations"),
        color=MOVED,
        lw=1.8,
        label="training batches",
    )
    above.set(ylabel="gradients per row")
    above.set_ylim(bottom=0)
    above.legend(frameon=False)
    held_out = series(history, "held_out_unconverged")
    training = series(history, "unconverged")
    below.plot(step, held_out, color=SOURCE, lw=1.8, drawstyle="steps-pre")
    below.plot(step, training, color=MOVED, lw=1.8, drawstyle="steps-pre")
    below.set(xlabel="training step", ylabel="unconverged rows")
    most = float(np.nanmax(np.concatenate([held_out, training])))
    below.set_ylim(0, max(1.0, 1.1 * most))
    below.locator_params(axis="y", integer=True)
    if not most:
        below.text(
            0.5,
            0.5,
            "every row converged",
            ha="center",
            va="center",
            color=GREY,
            transform=below.transAxes,
        )
    write_figure(figure, path)


def series(history: History, name: str) -> NDArray[np.float64]:
    """Return one figure of every evaluation: (evaluations,)."""
    if not history:
        raise DataError("history: is empty; fit the estimator first")
    return np.array([row[name] for row in history], dtype=np.float64)


def seconds_axis(
    axes: Axes, step: NDArray[np.float64], seconds: NDArray[np.float64]
) -> None:
    """Label the top of a plot over steps with the seconds that training had taken by then."""
    inside = [tick for tick in axes.get_xticks() if step[0] <= tick <= step[-1]]
    if len(step) < 2 or len(inside) < 2:
        return
    top = axes.twiny()
    top.set_xlim(axes.get_xlim())
    digits = 0 if seconds[-1] >= 10 else 1
    times = np.interp(inside, step, seconds)
    top.set_xticks(inside, [f"{time:.{digits}f}" for time in times])
    top.set_xlabel("seconds of training", color=GREY)
    top.tick_params(colors=GREY)
    top.spines[:].set_visible(False)
