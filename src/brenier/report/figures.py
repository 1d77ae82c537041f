"""The figures of a report, in the folder of its page: of training, of a map, of a map with classes."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch

from brenier.errors import DataWarning, warn
from brenier.report import plots
from brenier.report.page import Section
from brenier.report.plots.training import History
from brenier.transport.maps import ConditionalMap, RoundTrip, TransportMap

# The labels of the rows of x and of z.
LabelPair: TypeAlias = tuple[Sequence[Hashable], Sequence[Hashable]]


class ReportFigure(NamedTuple):
    """A figure in the folder of a report."""

    name: str
    caption: str


_ROUND_TRIP = ReportFigure("round-trip.png", "How well the map inverts.")


def figures_section(figures: Sequence[ReportFigure]) -> Section:
    """Return the section that shows figures, each under its caption."""
    return Section("Figures", "\n\n".join(shown_figures(figures)))


def shown_figures(figures: Sequence[ReportFigure]) -> list[str]:
    """Return figures as Markdown, each under its caption."""
    return [f"{caption}\n\n![{caption}]({name})" for name, caption in figures]


def training_figures(history: History, folder: Path) -> list[ReportFigure]:
    """Write the figures of a training record into a folder."""
    loss = ReportFigure(
        "loss.png", "The dual objective J while training: lower is better."
    )
    inner = ReportFigure("inner.png", "What the inner solves cost.")
    return write_figures(
        folder,
        {
            loss: functools.partial(plots.loss_curve, history),
            inner: functools.partial(plots.inner_convergence, history),
        },
    )


def map_figures(
    transport: TransportMap,
    x: torch.Tensor,
    z: torch.Tensor,
    trip: RoundTrip,
    folder: Path,
    names: Sequence[str] | None = None,
) -> list[ReportFigure]:
    """Write the figures of a map on source rows x (n, d) and target rows z (m, d) into a folder.

    Args:
        transport: the map.
        x, z: rows of either side; the first ones are drawn where there are many.
        trip: how well the map inverts.
        folder: where the figures go.
        names: d names of features, or None.
    """
    x, z = x[: plots.SCATTER.max_points], z[: plots.SCATTER.max_points]
    moved = transport(x)
    cloud = ReportFigure("scatter.png", "Source, moved source and target.")
    return write_figures(
        folder,
        {
            cloud: functools.partial(plots.scatter, x, z, moved, names=names),
            _ROUND_TRIP: functools.partial(plots.round_trip_histogram, trip.errors),
        },
    )


def class_figures(
    transport: ConditionalMap,
    x: torch.Tensor,
    z: torch.Tensor,
    labels: LabelPair,
    trip: RoundTrip,
    folder: Path,
) -> list[ReportFigure]:
    """Write the figures of a map with classes on labelled rows of either side into a folder; arguments as above."""
    moved = transport(x, labels[0])
    encode = transport.conditions.encode_index
    x_classes = encode(labels[0], "labels", len(x))
    z_classes = encode(labels[1], "labels", len(z))
    cloud = ReportFigure("scatter.png", "Source, moved source and target, by class.")

    def draw(path: Path) -> None:
        plots.class_scatter(x, z, moved, x_classes, z_classes, transport.labels, path)

    return write_figures(
        folder,
        {
            cloud: draw,
            _ROUND_TRIP: functools.partial(plots.round_trip_histogram, trip.errors),
        },
    )


def write_figures(
    folder: Path, drawings: dict[ReportFigure, Callable[..., None]]
) -> list[ReportFigure]:
    """Draw figures into a folder, each by its function of `path`, and return them; those that fail with a warning.

    Without matplotlib there are none.

    Raises:
        OSError: where the folder cannot be written.
    """
    if importlib.util.find_spec("matplotlib") is None:
        warn('the report has no plots: pip install "brenier[plots]"', DataWarning)
        return []
    drawn = []
    for figure, draw in drawings.items():
        try:
            draw(path=folder / figure.name)
            drawn.append(figure)
        except (OSError, Warning):
            raise
        except Exception as error:  # of matplotlib, or its fonts and backends
            fault = " ".join(f"{type(error).__name__}: {error}".split())
            warn(
                f"the report lacks {figure.name}, which cannot be drawn: {fault}",
                DataWarning,
            )
    return drawn
