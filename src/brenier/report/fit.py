"""Reports: one Markdown page per fit or evaluation, with its figures beside it; written whole or not at all."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brenier.errors import DataWarning, warn
from brenier.estimators import OptimalTransport
from brenier.report import plots
from brenier.report.page import PAGE, Section, write_report
from brenier.report.tables import class_table, markdown_table
from brenier.transport.maps import (
    ConditionalMap,
    Distance,
    RoundTrip,
    TransportMap,
    round_trip,
)

EXCERPT = 12  # rows of the training table that are shown


def fit_report(
    folder: Path,
    title: str,
    ot: OptimalTransport,
    x: torch.Tensor,
    z: torch.Tensor,
    extra: Sequence[Section] = (),
    labels: tuple[Sequence[Any], Sequence[Any]] | None = None,
) -> Path:
    """Write the report of a fitted estimator, its figures drawn from source rows x (n, d) and target rows z (m, d).

    Args:
        folder: where the page and its figures go; made where there is none.
        title: of the page.
        extra: sections to put before the figures.
        labels: of the rows of x and of z, where the map has classes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names, figures = (
        getattr(ot, "feature_names_in_", None),
        training_figures(ot.history_, folder),
    )
    if labels is None:
        trip = round_trip(ot.map_, x)
        figures += map_figures(ot.map_, x, z, trip, folder, names)
        distance = distance_section(ot.map_.held_out_distance)
    else:
        trip = round_trip(ot.map_, x, labels[0])
        figures += class_figures(ot.map_, x, z, labels, trip, folder)
        distance = Section("Distance within each class", class_table(ot.map_))
    settings = {
        name: value
        for name, value in ot.get_params().items()
        if value is not None and name != "verbose"
    }
    sections = [
        distance,
        Section("Round trip", trip.statement()),
        *extra,
        training_section(ot.history_, ot.diagnostics_["stopped"]),
        settings_section({**settings, "selected": ot.diagnostics_["selected"]}),
        figures_section(figures),
    ]
    write_report(folder / PAGE, title, sections)
    return folder / PAGE


def settings_section(settings: Mapping[str, Any], heading: str = "Settings") -> Section:
    """Return a table of names and values."""
    return Section(
        heading,
        markdown_table(["setting", "value"], list(settings.items()))
        if settings
        else "",
    )


def distance_section(distance: Distance | None) -> Section:
    """Return what may be claimed about the distance, as a list."""
    if distance is None:
        return Section("Distance", "")
    return Section(
        "Distance", "\n".join(f"* {line}" for line in distance.statement().splitlines())
    )


def training_section(history: Sequence[Mapping[str, float]], stopped: str) -> Section:
    """Return an excerpt of the training record: evenly spaced evaluations, the first and the last among them."""
    if not history:
        return Section("Training", "")
    columns = {
        "step": "step",
        "seconds": "seconds",
        "value": "held-out J",
        "standard_error": "± one s.e.",
        "train_value": "training J",
        "evaluations": "gradients per row",
        "held_out_unconverged": "unconverged",
        "learning_rate": "learning rate",
    }
    picked = sorted({round(i) for i in np.linspace(0, len(history) - 1, EXCERPT)})
    table = markdown_table(
        list(columns.values()),
        [[history[i].get(name) for name in columns] for i in picked],
    )
    last = history[-1]
    return Section(
        "Training",
        f"{last['step']:.0f} steps in {last['seconds']:.1f} s; stopped: {stopped}; {last['setbacks']:.0f} setbacks. "
        f"{len(picked)} of {len(history)} evaluations:\n\n{table}",
    )


def figures_section(figures: Sequence[tuple[str, str]]) -> Section:
    """Return figures, given as (file name, caption), each under its caption."""
    return Section(
        "Figures",
        "\n\n".join(f"{caption}\n\n![{caption}]({name})" for name, caption in figures),
    )


def training_figures(
    history: Sequence[dict[str, float]], folder: Path
) -> list[tuple[str, str]]:
    """Write the figures of a training record; return their names and captions."""
    return _drawn(
        folder,
        (
            "loss.png",
            "The dual objective J while training: lower is better.",
            lambda p: plots.loss_curve(history, p),
        ),
        (
            "inner.png",
            "What the inner solves cost.",
            lambda p: plots.inner_convergence(history, p),
        ),
    )


def map_figures(
    transport: TransportMap,
    x: torch.Tensor,
    z: torch.Tensor,
    trip: RoundTrip,
    folder: Path,
    names: Sequence[str] | None = None,
) -> list[tuple[str, str]]:
    """Write the figures of a map on source rows x (n, d) and target rows z (m, d); return names and captions."""
    x, z = x[: plots.MAX_POINTS], z[: plots.MAX_POINTS]
    moved = transport(x)
    return _drawn(
        folder,
        (
            "scatter.png",
            "Source, moved source and target.",
            lambda p: plots.scatter(x, z, moved, p, names),
        ),
        (
            "round-trip.png",
            "How well the map inverts.",
            lambda p: plots.round_trip_histogram(trip.errors, p),
        ),
    )


def class_figures(
    transport: ConditionalMap,
    x: torch.Tensor,
    z: torch.Tensor,
    labels: tuple[Sequence[Any], Sequence[Any]],
    trip: RoundTrip,
    folder: Path,
) -> list[tuple[str, str]]:
    """Write the figures of a map with classes on labelled rows of either side; return names and captions."""
    keys, moved = transport.conditions.encode_index, transport(x, labels[0])
    classes = keys(labels[0], "labels", len(x)), keys(labels[1], "labels", len(z))
    return _drawn(
        folder,
        (
            "scatter.png",
            "Source, moved source and target, by class.",
            lambda p: plots.class_scatter(x, z, moved, *classes, transport.labels, p),
        ),
        (
            "round-trip.png",
            "How well the map inverts.",
            lambda p: plots.round_trip_histogram(trip.errors, p),
        ),
    )


def _drawn(
    folder: Path, *figures: tuple[str, str, Callable[[Path], None]]
) -> list[tuple[str, str]]:
    """Draw figures into a folder; without matplotlib there are none, and a warning says so."""
    if importlib.util.find_spec("matplotlib") is None:
        warn('the report has no plots: pip install "brenier[plots]"', DataWarning)
        return []
    for name, _, draw in figures:
        draw(folder / name)
    return [(name, caption) for name, caption, _ in figures]
