"""Figures, each one PNG: how training went, how inner solves went, what the map does, how well it inverts.

Figures are objects that nobody else holds: pyplot and its global state are not touched. Colours are those of Okabe and
Ito, which colour-blind readers tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brenier.atomic import write_with
from brenier.errors import DataError

SOURCE, MOVED, TARGET = "#0072B2", "#D55E00", "#009E73"
GREY, LIGHT = "#555555", "#BBBBBB"
PALETTE = (SOURCE, MOVED, TARGET, "#E69F00", "#CC79A7", "#56B4E9", "#F0E442", "#000000", "#8C564B", "#7F7F7F")
MAX_POINTS = 2000
LINES = 200  # rows whose way is drawn
MOST_NAMED = 12  # classes that a legend holds
SMALLEST = 1e-17  # relative errors that are zero are drawn here

History = Sequence[dict[str, float]]


def loss_curve(history: History, path: str | Path) -> None:
    """Write J on held-out samples, with a band of one standard error, and on training batches, against steps.

    Args:
        history: rows of `OptimalTransport.history_`, at least one.
        path: where to write the PNG.

    Raises:
        DataError: where the history is empty or matplotlib is missing.
    """
    step, value, error = (_series(history, name) for name in ("step", "value", "standard_error"))
    figure, (axes,) = _figure(1, 7.0, 4.2)
    axes.plot(step, _series(history, "train_value"), color=LIGHT, lw=1.4, label="training batches")
    axes.fill_between(step, value - error, value + error, color=SOURCE, alpha=0.2, lw=0, label="± one standard error")
    axes.plot(step, value, color=SOURCE, lw=1.8, marker="o", ms=3, label="held-out samples")
    solved = np.where(_series(history, "held_out_unconverged") == 0, value, np.nan)
    if np.isfinite(solved).any():
        best = int(np.nanargmin(solved))
        axes.plot(
            step[best], value[best], "o", ms=9, mfc="none", mec=MOVED, mew=1.8, label=f"best, step {step[best]:.0f}"
        )
    axes.set(xlabel="training step", ylabel="J (cost units of the training coordinates)")
    axes.legend(frameon=False)
    _seconds_axis(axes, step, _series(history, "seconds"))
    _write(figure, path)


def inner_convergence(history: History, path: str | Path) -> None:
    """Write what inner solves cost, in evaluations per row, and how many rows they left unconverged, against steps.

    Args:
        history: rows of `OptimalTransport.history_`, at least one.
        path: where to write the PNG.

    Raises:
        DataError: where the history is empty or matplotlib is missing.
    """
    step = _series(history, "step")
    figure, (above, below) = _figure(2, 7.0, 4.8, rows=2, sharex=True, height_ratios=[2, 1])
    above.plot(step, _series(history, "evaluations"), color=SOURCE, lw=1.8, label="held-out samples, final tolerance")
    above.plot(step, _series(history, "inner_evaluations"), color=MOVED, lw=1.8, label="training batches")
    above.set(ylabel="gradients per row")
    above.set_ylim(bottom=0)
    above.legend(frameon=False)
    held_out, training = _series(history, "held_out_unconverged"), _series(history, "unconverged")
    below.plot(step, held_out, color=SOURCE, lw=1.8, drawstyle="steps-pre")
    below.plot(step, training, color=MOVED, lw=1.8, drawstyle="steps-pre")
    below.set(xlabel="training step", ylabel="unconverged rows")
    most = float(np.nanmax(np.concatenate([held_out, training])))
    below.set_ylim(0, max(1.0, 1.1 * most))
    below.yaxis.get_major_locator().set_params(integer=True)
    if not most:
        below.text(0.5, 0.5, "every row converged", ha="center", va="center", color=GREY, transform=below.transAxes)
    _write(figure, path)


def scatter(source: Any, target: Any, moved: Any, path: str | Path, names: Sequence[str] | None = None) -> None:
    """Write source, moved source and target side by side, at most 2,000 points each, in the same frame.

    One feature is drawn as histograms. Of more than two, the plane is spanned by the direction in which points are
    moved most and, across it, the one in which they spread most.

    Args:
        source: (n, d).
        target: (m, d).
        moved: (n, d), T(source), row by row.
        path: where to write the PNG.
        names: d names of features, or None.

    Raises:
        DataError: where shapes do not fit together or matplotlib is missing.
    """
    source, target, moved = (np.asarray(part, dtype=np.float64) for part in (source, target, moved))
    if source.shape != moved.shape or source.ndim != 2 or target.shape[1:] != source.shape[1:] or not len(target):
        raise DataError(
            f"source, target, moved: have shapes {source.shape}, {target.shape} and {moved.shape}; give (n, d), (m, d) "
            "and (n, d)"
        )
    source, moved, target = source[:MAX_POINTS], moved[:MAX_POINTS], target[:MAX_POINTS]
    names = [f"feature {i}" for i in range(source.shape[1])] if names is None else list(names)
    if source.shape[1] == 1:
        _histograms(source[:, 0], moved[:, 0], target[:, 0], names[0], path)
        return
    if source.shape[1] > 2:
        plane = _plane(source, moved, target)
        source, moved, target = source @ plane, moved @ plane, target @ plane
        names = ["along the largest displacement", "along the largest spread across it"]
    _clouds(source, moved, target, names, path)


def class_scatter(
    source: Any,
    target: Any,
    moved: Any,
    source_classes: Any,
    target_classes: Any,
    labels: Sequence[Any],
    path: str | Path,
) -> None:
    """Write source, moved source and target side by side, coloured by class, with lines that lead to what was moved.

    Of very many rows some are shown, evenly spaced.

    Args:
        source, moved: (n, d), T(source) row by row.
        target: (m, d).
        source_classes, target_classes: (n,), (m,), the number of each row's class.
        labels: of the classes.
        path: where to write the PNG.

    Raises:
        DataError: where matplotlib is missing.
    """
    source, moved, target = (np.asarray(part, dtype=np.float64) for part in (source, moved, target))
    if source.shape[1] != 2:
        padded = [np.pad(part, ((0, 0), (0, max(0, 2 - part.shape[1])))) for part in (source, moved, target)]
        plane = _plane(*padded) if source.shape[1] > 2 else np.eye(2)
        source, moved, target = (part @ plane for part in padded)
    low, high = _frame(np.concatenate([source, moved, target]))
    figure, panels = _figure(3, 10.0, 3.9, sharex=True, sharey=True)
    shown = (
        ("source", source, source_classes),
        ("moved source", moved, source_classes),
        ("target", target, target_classes),
    )
    for axes, (title, points, classes) in zip(panels, shown, strict=True):
        if title == "moved source":
            for row in range(0, len(source), len(source) // LINES + 1):
                axes.plot(*np.stack([source[row], moved[row]]).T, color=LIGHT, lw=0.5, zorder=0)
        every, classes = len(points) // MAX_POINTS + 1, np.asarray(classes)
        points, classes = points[::every], classes[::every]
        for k, label in enumerate(labels):
            axes.scatter(*points[classes == k].T, s=7.0, color=PALETTE[k % len(PALETTE)], alpha=0.6, lw=0, label=label)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set_title(title, fontsize=11)
        axes.set_box_aspect(1)
    if len(labels) <= MOST_NAMED:
        panels[0].legend(frameon=False, fontsize=8, markerscale=2)
    _write(figure, path)


def round_trip_histogram(errors: Any, path: str | Path) -> None:
    """Write the distribution of round-trip errors on a logarithmic scale, with its median.

    Args:
        errors: (n,), |T^{-1}(T(x)) - x| relative to the spread of x.
        path: where to write the PNG.

    Raises:
        DataError: where there is no finite error or matplotlib is missing.
    """
    values = np.asarray(errors, dtype=np.float64).ravel()
    values = np.maximum(values[np.isfinite(values)], SMALLEST)
    if not values.size:
        raise DataError("errors: holds no finite number; give the round-trip error of at least one row")
    low, high = math.floor(np.log10(values.min())), math.ceil(np.log10(values.max()))
    figure, (axes,) = _figure(1, 7.0, 3.6)
    axes.hist(values, bins=np.logspace(low, max(high, low + 1), 49), color=SOURCE)
    median = float(np.median(values))
    axes.axvline(median, color=MOVED, lw=1.8, label=f"median {median:.1e}")
    axes.set(xscale="log", xlabel="round-trip error / spread of the source", ylabel=f"rows (of {values.size:,})")
    axes.legend(frameon=False)
    _write(figure, path)


def _series(history: History, name: str) -> NDArray[np.float64]:
    if not history:
        raise DataError("history: is empty; fit the estimator first")
    return np.array([row[name] for row in history], dtype=np.float64)


def _seconds_axis(axes: Any, step: NDArray[np.float64], seconds: NDArray[np.float64]) -> None:
    """Label the top of a plot over steps with the seconds that training had taken by then."""
    inside = [tick for tick in axes.get_xticks() if step[0] <= tick <= step[-1]]
    if len(step) < 2 or len(inside) < 2:
        return
    top = axes.twiny()
    top.set_xlim(axes.get_xlim())
    digits = 0 if seconds[-1] >= 10 else 1
    top.set_xticks(inside, [f"{value:.{digits}f}" for value in np.interp(inside, step, seconds)])
    top.set_xlabel("seconds of training", color=GREY)
    top.tick_params(colors=GREY)
    top.spines[:].set_visible(False)


def _plane(source: NDArray[Any], moved: NDArray[Any], target: NDArray[Any]) -> NDArray[np.float64]:
    """Return two orthonormal directions (d, 2): of the largest displacement, and of the largest spread across it."""
    shift = moved - source
    pooled = np.concatenate([part - part.mean(0) for part in (source, target)])
    if np.abs(shift).max() <= 1e-9 * np.abs(pooled).max():
        shift = pooled
    first = np.linalg.svd(shift, full_matrices=False)[2][0]
    second = np.linalg.svd(pooled - np.outer(pooled @ first, first), full_matrices=False)[2][0]
    return np.stack([_positive(first), _positive(second)], axis=1)


def _positive(direction: NDArray[Any]) -> NDArray[Any]:
    """Return the direction or its opposite, whichever has a positive sum, so that figures do not flip by chance."""
    return direction if direction.sum() >= 0 else -direction


def _clouds(
    source: NDArray[Any], moved: NDArray[Any], target: NDArray[Any], names: Sequence[str], path: str | Path
) -> None:
    """Write three point clouds (n, 2) in one frame, which holds the middle of all of them."""
    everything = np.concatenate([source, moved, target])
    low, high = _frame(everything)
    figure, panels = _figure(3, 10.0, 3.9, sharex=True, sharey=True)
    size, alpha = (14.0, 0.7) if len(source) <= 500 else (7.0, 0.4)
    shown = (("source", source, SOURCE), ("moved source", moved, MOVED), ("target", target, TARGET))
    for axes, (title, points, colour) in zip(panels, shown, strict=True):
        if title == "moved source":
            axes.scatter(*target.T, s=size, color=LIGHT, alpha=0.5, lw=0)
            title = "moved source (target in grey)"
        axes.scatter(*points.T, s=size, color=colour, alpha=alpha, lw=0)
        axes.set(xlabel=names[0], xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set_title(title, fontsize=11)
        axes.set_box_aspect(1)
    panels[0].set(ylabel=names[1])
    outside = int(((everything < low) | (everything > high)).any(1).sum())
    if outside:
        figure.suptitle(f"{outside} points lie outside the frame", x=0.99, ha="right", fontsize=9, color=GREY)
    _write(figure, path)


def _frame(points: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the lower and upper corner of a frame around points (n, 2), square unless the axes differ too much."""
    low, high = points.min(0), points.max(0)
    inner_low, inner_high = np.percentile(points, [0.5, 99.5], axis=0)
    if ((high - low) > 3 * (inner_high - inner_low)).any():  # a few far points would shrink all others to a dot
        low, high = inner_low - (inner_high - inner_low) / 2, inner_high + (inner_high - inner_low) / 2
    half = np.maximum(0.53 * (high - low), 1e-12)
    if half.max() < 5 * half.min():
        half = np.full(2, half.max())
    return (low + high) / 2 - half, (low + high) / 2 + half


def _histograms(source: NDArray[Any], moved: NDArray[Any], target: NDArray[Any], name: str, path: str | Path) -> None:
    """Write the histograms of three samples of one feature (n,), over the same bins."""
    figure, (axes,) = _figure(1, 7.0, 3.9)
    bins = np.histogram_bin_edges(np.concatenate([source, moved, target]), bins=60)
    axes.hist(target, bins, density=True, color=TARGET, alpha=0.35, label="target")
    axes.hist(source, bins, density=True, histtype="step", color=SOURCE, lw=1.8, label="source")
    axes.hist(moved, bins, density=True, histtype="step", color=MOVED, lw=1.8, label="moved source")
    axes.set(xlabel=name, ylabel="density")
    axes.legend(frameon=False)
    _write(figure, path)


def _figure(panels: int, width: float, height: float, rows: int = 1, **options: Any) -> tuple[Any, Any]:
    """Return a figure and its panels, without frames on top and on the right.

    Raises:
        DataError: where matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DataError('plots need matplotlib, which is missing: pip install "brenier[plots]"') from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, panels // rows, squeeze=False, **options).ravel()
    for axes in grid:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#EEEEEE", lw=0.8)
        axes.set_axisbelow(True)
    return figure, grid


def _write(figure: Any, path: str | Path) -> None:
    write_with(path, lambda temporary: figure.savefig(temporary, format="png", dpi=140))
