"""What a map with classes does to samples, coloured by class."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brenier.report.plots.canvas import (
    CLASS_COLOURS,
    LIGHT,
    frame_of,
    new_figure,
    plane_of,
    write_figure,
)
from brenier.report.plots.maps import SCATTER

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True)
class ClassScatterSettings:
    """How much of the samples a figure by class shows, in addition to `ScatterSettings.max_points`.

    Attributes:
        max_lines: rows whose displacement is drawn as a line; more would cover the points.
        max_legend: classes that the legend has room for; with more there is no legend.
    """

    max_lines: int = 200
    max_legend: int = 12


CLASS_SCATTER = ClassScatterSettings()


def class_scatter(
    source: ArrayLike,
    target: ArrayLike,
    moved: ArrayLike,
    source_classes: ArrayLike,
    target_classes: ArrayLike,
    labels: Sequence[Hashable],
    path: str | Path,
) -> None:
    """Write source, moved source and target side by side, coloured by class, with lines from source to moved points.

    Of very many rows some are shown, evenly spaced. Of more than two features, the plane is that of `scatter`.

    Args:
        source, moved: (n, d), T(source) row by row.
        target: (m, d).
        source_classes, target_classes: (n,), (m,), the number of each row's class.
        labels: of the classes.
        path: where to write the PNG.

    Raises:
        DataError: where matplotlib is missing.
    """
    sides = [np.asarray(points, dtype=np.float64) for points in (source, moved, target)]
    x, y, z = _in_a_plane(sides)
    low, high = frame_of(np.concatenate([x, y, z]))
    figure, panels = new_figure(3, 10.0, 3.9, share_x=True, share_y=True)
    x_classes, z_classes = np.asarray(source_classes), np.asarray(target_classes)
    _displacements(panels[1], x, y)
    _class_points(panels[0], x, x_classes, labels)
    _class_points(panels[1], y, x_classes, labels)
    _class_points(panels[2], z, z_classes, labels)
    titles = ("source", "moved source", "target")
    for axes, title in zip(panels, titles, strict=True):
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set_title(title, fontsize=11)
        axes.set_box_aspect(1)
    if len(labels) <= CLASS_SCATTER.max_legend:
        panels[0].legend(frameon=False, fontsize=8, markerscale=2)
    write_figure(figure, path)


def _in_a_plane(sides: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Return source, moved source and target (n, d) as points of a plane (n, 2); a single feature gets a zero."""
    dim = sides[0].shape[1]
    if dim == 2:
        return sides
    if dim == 1:
        return [np.pad(points, ((0, 0), (0, 1))) for points in sides]
    plane = plane_of(*sides)
    return [points @ plane for points in sides]


def _displacements(
    axes: Axes, source: NDArray[np.float64], moved: NDArray[np.float64]
) -> None:
    """Draw lines from some source points (n, 2), evenly spaced, to where they are moved (n, 2)."""
    step = len(source) // CLASS_SCATTER.max_lines + 1
    for row in range(0, len(source), step):
        first, second = np.stack([source[row], moved[row]]).T
        axes.plot(first, second, color=LIGHT, lw=0.5, zorder=0)


def _class_points(
    axes: Axes,
    points: NDArray[np.float64],
    classes: NDArray[np.generic],
    labels: Sequence[Hashable],
) -> None:
    """Draw some points (n, 2), evenly spaced, each class in a colour of its own as far as there are colours."""
    step = len(points) // SCATTER.max_points + 1
    points, classes = points[::step], classes[::step]
    for k, label in enumerate(labels):
        first, second = points[classes == k].T
        axes.scatter(
            first,
            second,
            s=7.0,
            color=CLASS_COLOURS[k % len(CLASS_COLOURS)],
            alpha=0.6,
            lw=0,
            label=label,
        )
