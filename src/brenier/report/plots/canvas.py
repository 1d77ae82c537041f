"""What all figures share: colours, panels, the frame and the plane that points are drawn in, and how they are written.

Figures are objects of their own: pyplot and its global state are not touched. The first colours are those of Okabe and
Ito, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from brenier.atomic import write_with
from brenier.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Arguments of a function of matplotlib.
Style: TypeAlias = dict[str, Any]

SOURCE, MOVED, TARGET = "#0072B2", "#D55E00", "#009E73"
CLASS_COLOURS = (
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
GREY, LIGHT, GRID = "#555555", "#BBBBBB", "#EEEEEE"


@dataclasses.dataclass(frozen=True)
class CanvasSettings:
    """How figures are drawn, and which part of the plane they show.

    Attributes:
        dpi: pixels per inch of the PNG; 7 inches are then about 1,000 pixels.
        tail: percent of the points that may lie beyond either side of a frame for outliers.
        outlier_ratio: where the whole range is more than this many times the range without tails, a few distant points
            would shrink all others to a dot; the frame then holds the middle and a margin.
        half_width: of a frame, as a share of the range shown; a little more than one half leaves a border.
        max_aspect: frames whose sides differ by less than this factor become squares.
        still: displacements below this share of the largest coordinate are rounding errors, and give no direction.
    """

    dpi: int = 140
    tail: float = 0.5
    outlier_ratio: float = 3.0
    half_width: float = 0.53
    max_aspect: float = 5.0
    still: float = 1e-9


CANVAS = CanvasSettings()
MIN_HALF_WIDTH = 1e-12  # numerical floor: a frame around equal points has a width


def blank_figure(width: float, height: float) -> Figure:
    """Return a figure of so many inches without panels.

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
    return figure


def new_figure(
    panels: int,
    width: float,
    height: float,
    rows: int = 1,
    *,
    share_x: bool = False,
    share_y: bool = False,
    height_ratios: Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many inches and its panels, without frames on top and on the right.

    Raises:
        DataError: where matplotlib is missing.
    """
    figure = blank_figure(width, height)
    grid = figure.subplots(
        rows,
        panels // rows,
        squeeze=False,
        sharex=share_x,
        sharey=share_y,
        height_ratios=height_ratios,
    )
    axes_list = list(grid.ravel())
    for axes in axes_list:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color=GRID, lw=0.8)
        axes.set_axisbelow(True)
    return figure, axes_list


def write_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as a PNG, whole or not at all."""
    write_with(
        path, lambda temporary: figure.savefig(temporary, format="png", dpi=CANVAS.dpi)
    )


def frame_of(
    points: NDArray[np.floating],
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return the lower and upper corner of a frame around points (n, 2), square unless the axes differ too much."""
    low, high = points.min(0), points.max(0)
    tails = [CANVAS.tail, 100 - CANVAS.tail]
    inner_low, inner_high = np.percentile(points, tails, axis=0)
    inner_range = inner_high - inner_low
    if ((high - low) > CANVAS.outlier_ratio * inner_range).any():
        low = inner_low - inner_range / 2
        high = inner_high + inner_range / 2
    half = np.maximum(CANVAS.half_width * (high - low), MIN_HALF_WIDTH)
    if half.max() < CANVAS.max_aspect * half.min():
        half = np.full(2, half.max())
    centre = (low + high) / 2
    return centre - half, centre + half


def plane_of(
    source: NDArray[np.floating],
    moved: NDArray[np.floating],
    target: NDArray[np.floating],
) -> NDArray[np.floating]:
    """Return two orthonormal directions (d, 2) to project points on.

    They are the direction of the largest displacement, and of the largest spread across it. Where nothing moves, they
    are the two directions of the largest spread.

    Args:
        source, moved: (n, d), T(source) row by row.
        target: (m, d).
    """
    shift = moved - source
    centred = [side - side.mean(0) for side in (source, target)]
    pooled = np.concatenate(centred)
    if np.abs(shift).max() <= CANVAS.still * np.abs(pooled).max():
        shift = pooled
    first = _leading_direction(shift)
    second = _leading_direction(pooled - np.outer(pooled @ first, first))
    return np.stack([_with_positive_sum(first), _with_positive_sum(second)], axis=1)


def _leading_direction(rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the first right singular vector of rows (n, d): (d,)."""
    direction: NDArray[np.floating] = np.linalg.svd(rows, full_matrices=False)[2][0]
    return direction


def _with_positive_sum(direction: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the direction or its opposite, whichever has a positive sum, so that figures do not flip by chance."""
    return direction if direction.sum() >= 0 else -direction
