"""What a map does to samples, by class as well, and how well it inverts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brenier.errors import DataError
from brenier.report.plots.canvas import (
    GREY,
    LIGHT,
    MOVED,
    PALETTE,
    SOURCE,
    TARGET,
    frame_of,
    new_figure,
    plane_of,
    write,
)

MAX_POINTS = 2000
LINES = 200  # rows whose way is drawn
MOST_NAMED = 12  # classes that a legend holds
SMALLEST = 1e-17  # relative errors that are zero are drawn here


def scatter(
    source: Any,
    target: Any,
    moved: Any,
    path: str | Path,
    names: Sequence[str] | None = None,
) -> None:
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
    source, target, moved = (
        np.asarray(part, dtype=np.float64) for part in (source, target, moved)
    )
    if (
        source.shape != moved.shape
        or source.ndim != 2
        or target.shape[1:] != source.shape[1:]
        or not len(target)
    ):
        raise DataError(
            f"source, target, moved: have shapes {source.shape}, {target.shape} and {moved.shape}; give (n, d), (m, d) "
            "and (n, d)"
        )
    source, moved, target = source[:MAX_POINTS], moved[:MAX_POINTS], target[:MAX_POINTS]
    names = (
        [f"feature {i}" for i in range(source.shape[1])]
        if names is None
        else list(names)
    )
    if source.shape[1] == 1:
        _histograms(source[:, 0], moved[:, 0], target[:, 0], names[0], path)
        return
    if source.shape[1] > 2:
        plane = plane_of(source, moved, target)
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
    source, moved, target = (
        np.asarray(part, dtype=np.float64) for part in (source, moved, target)
    )
    if source.shape[1] != 2:
        padded = [
            np.pad(part, ((0, 0), (0, max(0, 2 - part.shape[1]))))
            for part in (source, moved, target)
        ]
        plane = plane_of(*padded) if source.shape[1] > 2 else np.eye(2)
        source, moved, target = (part @ plane for part in padded)
    low, high = frame_of(np.concatenate([source, moved, target]))
    figure, panels = new_figure(3, 10.0, 3.9, sharex=True, sharey=True)
    shown = (
        ("source", source, source_classes),
        ("moved source", moved, source_classes),
        ("target", target, target_classes),
    )
    for axes, (title, points, classes) in zip(panels, shown, strict=True):
        if title == "moved source":
            for row in range(0, len(source), len(source) // LINES + 1):
                axes.plot(
                    *np.stack([source[row], moved[row]]).T,
                    color=LIGHT,
                    lw=0.5,
                    zorder=0,
                )
        every, classes = len(points) // MAX_POINTS + 1, np.asarray(classes)
        points, classes = points[::every], classes[::every]
        for k, label in enumerate(labels):
            axes.scatter(
                *points[classes == k].T,
                s=7.0,
                color=PALETTE[k % len(PALETTE)],
                alpha=0.6,
                lw=0,
                label=label,
            )
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set_title(title, fontsize=11)
        axes.set_box_aspect(1)
    if len(labels) <= MOST_NAMED:
        panels[0].legend(frameon=False, fontsize=8, markerscale=2)
    write(figure, path)


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
        raise DataError(
            "errors: holds no finite number; give the round-trip error of at least one row"
        )
    low, high = math.floor(np.log10(values.min())), math.ceil(np.log10(values.max()))
    figure, (axes,) = new_figure(1, 7.0, 3.6)
    axes.hist(values, bins=np.logspace(low, max(high, low + 1), 49), color=SOURCE)
    median = float(np.median(values))
    axes.axvline(median, color=MOVED, lw=1.8, label=f"median {median:.1e}")
    axes.set(
        xscale="log",
        xlabel="round-trip error / spread of the source",
        ylabel=f"rows (of {values.size:,})",
    )
    axes.legend(frameon=False)
    write(figure, path)


def _clouds(
    source: NDArray[Any],
    moved: NDArray[Any],
    target: NDArray[Any],
    names: Sequence[str],
    path: str | Path,
) -> None:
    """Write three point clouds (n, 2) in one frame, which holds the middle of all of them."""
    everything = np.concatenate([source, moved, target])
    low, high = frame_of(everything)
    figure, panels = new_figure(3, 10.0, 3.9, sharex=True, sharey=True)
    size, alpha = (14.0, 0.7) if len(source) <= 500 else (7.0, 0.4)
    shown = (
        ("source", source, SOURCE),
        ("moved source", moved, MOVED),
        ("target", target, TARGET),
    )
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
        figure.suptitle(
            f"{outside} points lie outside the frame",
            x=0.99,
            ha="right",
            fontsize=9,
            color=GREY,
        )
    write(figure, path)


def _histograms(
    source: NDArray[Any],
    moved: NDArray[Any],
    target: NDArray[Any],
    name: str,
    path: str | Path,
) -> None:
    """Write the histograms of three samples of one feature (n,), over the same bins."""
    figure, (axes,) = new_figure(1, 7.0, 3.9)
    bins = np.histogram_bin_edges(np.concatenate([source, moved, target]), bins=60)
    axes.hist(target, bins, density=True, color=TARGET, alpha=0.35, label="target")
    axes.hist(
        source,
        bins,
        density=True,
        histtype="step",
        color=SOURCE,
        lw=1.8,
        label="source",
    )
    axes.hist(
        moved,
        bins,
        density=True,
        histtype="step",
        color=MOVED,
        lw=1.8,
        label="moved source",
    )
    axes.set(xlabel=name, ylabel="density")
    axes.legend(frameon=False)
    write(figure, path)
