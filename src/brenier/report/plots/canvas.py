"""What all figures share: colours, panels, the frame and the plane that points are drawn in, and how they are written.

Figures are objects that nobody else holds: pyplot and its global state are not touched. Colours are those of Okabe and
Ito, which colour-blind readers tell apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brenier.atomic import write_with
from brenier.errors import DataError

SOURCE, MOVED, TARGET = "#0072B2", "#D55E00", "#009E73"
PALETTE = (
    SOURCE,
    MOVED,
    TARGET,
    "#E69F00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#000000",
    "#8C564B",
    "#7F7F7F",
)
GREY, LIGHT = "#555555", "#BBBBBB"


def new_figure(
    panels: int, width: float, height: float, rows: int = 1, **options: Any
) -> tuple[Any, Any]:
    """Return a figure and its panels, without frames on top and on the right.

    Raises:
        DataError: where matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DataError(
            'plots need matplotlib, which is missing: pip install "brenier[plots]"'
        ) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, panels // rows, squeeze=False, **options).ravel()
    for axes in grid:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#EEEEEE", lw=0.8)
        axes.set_axisbelow(True)
    return figure, grid


def write(figure: Any, path: str | Path) -> None:
    """Write a figure as a PNG, whole or not at all."""
    write_with(path, lambda temporary: figure.savefig(temporary, format="png", dpi=140))


def frame_of(points: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the lower and upper corner of a frame around points (n, 2), square unless the axes differ too much."""
    low, high = points.min(0), points.max(0)
    inner_low, inner_high = np.percentile(points, [0.5, 99.5], axis=0)
    if (
        (high - low) > 3 * (inner_high - inner_low)
    ).any():  # a few far points would shrink all others to a dot
        low, high = (
            inner_low - (inner_high - inner_low) / 2,
            inner_high + (inner_high - inner_low) / 2,
        )
    half = np.maximum(0.53 * (high - low), 1e-12)
    if half.max() < 5 * half.min():
        half = np.full(2, half.max())
    return (low + high) / 2 - half, (low + high) / 2 + half


def plane_of(
    source: NDArray[Any], moved: NDArray[Any], target: NDArray[Any]
) -> NDArray[np.float64]:
    """Return two orthonormal directions (d, 2): of the largest displacement, and of the largest spread across it."""
    shift = moved - source
    pooled = np.concatenate([part - part.mean(0) for part in (source, target)])
    if np.abs(shift).max() <= 1e-9 * np.abs(pooled).max():
        shift = pooled
    first = np.linalg.svd(shift, full_matrices=False)[2][0]
    second = np.linalg.svd(
        pooled - np.outer(pooled @ first, first), full_matrices=False
    )[2][0]
    return np.stack([_positive(first), _positive(second)], axis=1)


def _positive(direction: NDArray[Any]) -> NDArray[Any]:
    """Return the direction or its opposite, whichever has a positive sum, so that figures do not flip by chance."""
    return direction if direction.sum() >= 0 else -direction
