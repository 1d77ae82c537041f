"""What a map does to samples, and how well it inverts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brenier.errors import DataError
from brenier.report.plots.canvas import (
    GREY,
    LIGHT,
    MOVED,
    SOURCE,
    TARGET,
    frame_of,
    new_figure,
    plane_of,
    write_figure,
)


@dataclasses.dataclass(frozen=True)
class ScatterSettings:
    """How much of the samples a figure shows.

    Attributes:
        max_points: rows of either side that are drawn; more would hide each other.
        few_points: up to so many, points are drawn larger and less transparent.
        bins: of the histograms of a single feature.
    """

    max_points: int = 2000
    few_points: int = 500
    bins: int = 60


SCATTER = ScatterSettings()
MIN_ERROR = 1e-17  # numerical floor: errors of zero have a place on a logarithmic axis


def scatter(
    source: ArrayLike,
    target: ArrayLike,
    moved: ArrayLike,
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
    x = np.asarray(source, dtype=np.float64)
    z = np.asarray(target, dtype=np.float64)
    y = np.asarray(moved, dtype=np.float64)
    fits = x.shape == y.shape and x.ndim == 2 and z.shape[1:] == x.shape[1:]
    if not fits or not len(z):
        raise DataError(
            f"source, target, moved: have shapes {x.shape}, {z.shape} and {y.shape}; give (n, d), (m, d) "
            "and (n, d)"
        )
    most = SCATTER.max_points
    x, y, z = x[:most], y[:most], z[:most]
    dim = x.shape[1]
    if names is None:
        names = [f"feature {i}" for i in range(dim)]
    if dim == 1:
        _histograms(x[:, 0], y[:, 0], z[:, 0], names[0], path)
        return
    if dim > 2:
        plane = plane_of(x, y, z)
        x, y, z = x @ plane, y @ plane, z @ plane
        names = ["along the largest displacement", "along the largest spread across it"]
    _clouds(x, y, z, names, path)


def round_trip_histogram(errors: ArrayLike, path: str | Path) -> None:
    """Write the distribution of round-trip errors on a logarithmic scale, with its median.

    Args:
        errors: (n,), |T^{-1}(T(x)) - x| relative to the spread of x.
        path: where to write the PNG.

    Raises:
        DataError: where there is no finite error or matplotlib is missing.
    """
    values = np.asarray(errors, dtype=np.float64).ravel()
    values = np.maximum(values[np.isfinite(values)], MIN_ERROR)
    if not values.size:
        raise DataError(
            "errors: holds no finite number; give the round-trip error of at least one row"
        )
    low = math.floor(np.log10(values.min()))
    high = math.ceil(np.log10(values.max()))
    edges = np.logspace(low, max(high, low + 1), 49)
    figure, (axes,) = new_figure(1, 7.0, 3.6)
    axes.hist(values, bins=edges.tolist(), color=SOURCE)
    median = float(np.median(values))
    axes.axvline(median, color=MOVED, lw=1.8, label=f"median {median:.1e}")
    axes.set(
        xscale="log",
        xlabel="round-trip error / spread of the source",
        ylabel=f"rows (of {values.size:,})",
    )
    axes.legend(frameon=False)
    write_figure(figure, path)


def _clouds(
    source: NDArray[np.floating],
    moved: NDArray[np.floating],
    target: NDArray[np.floating],
    names: Sequence[str],
    path: str | Path,
) -> None:
    """Write three point clouds (n, 2) in one frame, which holds the middle of all of them."""
    everything = np.concatenate([source, moved, target])
    low, high = frame_of(everything)
    figure, panels = new_figure(3, 10.0, 3.9, share_x=True, share_y=True)
    few = len(source) <= SCATTER.few_points
    size, alpha = (14.0, 0.7) if few else (7.0, 0.4)
    clouds = (
        ("source", source, SOURCE),
        ("moved source (target in grey)", moved, MOVED),
        ("target", target, TARGET),
    )
    for axes, (title, points, colour) in zip(panels, clouds, strict=True):
        if points is moved:
            axes.scatter(
                target[:, 0], target[:, 1], s=size, color=LIGHT, alpha=0.5, lw=0
            )
        axes.scatter(
            points[:, 0], points[:, 1], s=size, color=colour, alpha=alpha, lw=0
        )
        axes.set(xlabel=names[0], xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set_title(title, fontsize=11)
        axes.set_box_aspect(1)
    panels[0].set(ylabel=names[1])
    beyond = (everything < low) | (everything > high)
    outside = int(beyond.any(1).sum())
    if outside:
        figure.suptitle(
            f"{outside} points lie outside the frame",
            x=0.99,
            ha="right",
            fontsize=9,
            color=GREY,
        )
    write_figure(figure, path)


def _histograms(
    source: NDArray[np.floating],
    moved: NDArray[np.floating],
    target: NDArray[np.floating],
    name: str,
    path: str | Path,
) -> None:
    """Write the histograms of three samples of one feature (n,), over the same bins."""
    everything = np.concatenate([source, moved, target])
    edges = np.histogram_bin_edges(everything, bins=SCATTER.bins).tolist()
    figure, (axes,) = new_figure(1, 7.0, 3.9)
    axes.hist(target, edges, density=True, color=TARGET, alpha=0.35, label="target")
    lines = (("source", source, SOURCE), ("moved source", moved, MOVED))
    for label, values, colour in lines:
        axes.hist(
            values,
            edges,
            density=True,
            histtype="step",
            color=colour,
            lw=1.8,
            label=label,
        )
    axes.set(xlabel=name, ylabel="density")
    axes.legend(frameon=False)
    write_figure(figure, path)
