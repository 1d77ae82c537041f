"""The report of a fit: its distance, its round trip, its training and its settings, with figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from brenier.estimators import OptimalTransport
from brenier.report.figures import (
    LabelPair,
    class_figures,
    figures_section,
    map_figures,
    training_figures,
)
from brenier.report.page import PAGE, Section, write_report
from brenier.report.plots.training import History
from brenier.report.regions import regions_section
from brenier.report.tables import class_table, markdown_table
from brenier.transport.maps import Certificate, Distance, round_trip

Entry = TypeVar("Entry")


@dataclasses.dataclass(frozen=True)
class ReportSettings:
    """How much of a fit its report looks at.

    Attributes:
        max_rows: rows of either side that figures and the round trip are made of, at most; enough for a 99th
            percentile, and an inverse of so many rows takes seconds.
        max_evaluations: rows of the training table, at most: evenly spaced, the first and the last among them.
    """

    max_rows: int = 8192
    max_evaluations: int = 12


REPORT = ReportSettings()
FIT_COLUMNS = {
    "step": "step",
    "seconds": "seconds",
    "value": "held-out J",
    "standard_error": "± one s.e.",
    "train_value": "training J",
    "evaluations": "gradients per row",
    "held_out_unconverged": "unconverged",
    "learning_rate": "learning rate",
}


def fit_report(
    folder: Path,
    title: str,
    ot: OptimalTransport,
    x: torch.Tensor,
    z: torch.Tensor,
    extra: Sequence[Section] = (),
    labels: LabelPair | None = None,
) -> Path:
    """Write the report of a fitted estimator, its figures drawn from source rows x (n, d) and target rows z (m, d).

    Args:
        folder: where the page and its figures go; made where there is none.
        title: of the page.
        ot: the estimator.
        x, z: samples of either side, in float64.
        extra: sections to put before the figures.
        labels: of the rows of x and of z, where the map has classes.

    Returns:
        The path of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = training_figures(ot.history_, folder)
    if labels is None:
        names = getattr(ot, "feature_names_in_", None)
        trip = round_trip(ot.map_, x)
        figures += map_figures(ot.map_, x, z, trip, folder, names)
        distance = distance_section(ot.map_.held_out_distance)
    else:
        trip = round_trip(ot.map_, x, labels[0])
        figures += class_figures(ot.map_, x, z, labels, trip, folder)
        distance = Section("Distance within each class", class_table(ot.map_))
    sections = [
        distance,
        certificate_section(ot.certificate_),
        Section("Weights", worth_of(ot.diagnostics_)),
        Section("Round trip", trip.statement()),
        regions_section(ot.map_, x, z, trip, labels),
        *extra,
        training_section(ot.history_, ot.diagnostics_["stopped"]),
        settings_section(_settings_of(ot)),
        figures_section(figures),
    ]
    write_report(folder / PAGE, title, sections)
    return folder / PAGE


def worth_of(diagnostics: Mapping[str, Any]) -> str:
    """Return in a sentence what the weights of a fit make its rows worth; nothing where there were none."""
    found = diagnostics.get("effective_rows", {})
    sides = [f"{side} rows are worth {worth:,.1f}" for side, worth in found.items()]
    return f"By their weights the {' and the '.join(sides)} rows." if sides else ""


def settings_section(
    settings: Mapping[str, object], heading: str = "Settings"
) -> Section:
    """Return a table of names and values; without any the section is empty."""
    if not settings:
        return Section(heading, "")
    return Section(
        heading, markdown_table(["setting", "value"], list(settings.items()))
    )


def distance_section(distance: Distance | None) -> Section:
    """Return what may be claimed about the distance, as a list; empty where nothing was measured."""
    return _listed_section("Distance", distance)


def _listed_section(heading: str, found: Distance | Certificate | None) -> Section:
    """Return what something states, as a list of its lines; empty where there is nothing."""
    lines = [] if found is None else found.statement().splitlines()
    return Section(heading, "\n".join(f"* {line.strip()}" for line in lines))


def certificate_section(certificate: Certificate | None) -> Section:
    """Return what is certified of a map, as a list; empty where nothing was."""
    return _listed_section("Certificate", certificate)


def training_section(
    history: History, stopped: str, columns: Mapping[str, str] = FIT_COLUMNS
) -> Section:
    """Return an excerpt of the training record: evenly spaced evaluations, the first and the last among them.

    Args:
        history: rows of `OptimalTransport.history_`; the section is empty where there are none.
        stopped: why training stopped.
        columns: what of the record is told, with its headings.
    """
    if not history:
        return Section("Training", "")
    places = np.linspace(0, len(history) - 1, REPORT.max_evaluations)
    picked = sorted({round(place) for place in places})
    rows = [[history[i].get(name) for name in columns] for i in picked]
    table = markdown_table(list(columns.values()), rows)
    last = with_current_names(history[-1])
    rollbacks = last.get("rollbacks", 0)
    return Section(
        "Training",
        f"{last['step']:.0f} steps in {last['seconds']:.1f} s; stopped: {stopped}; {rollbacks:.0f} rollbacks. "
        f"{len(picked)} of {len(history)} evaluations:\n\n{table}",
    )


def with_current_names(record: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return a row of the training record, or diagnostics, in today's words: version 0.1 called rollbacks setbacks."""
    renamed = {"setbacks": "rollbacks"}
    return {renamed.get(name, name): value for name, value in record.items()}


def _settings_of(ot: OptimalTransport) -> dict[str, object]:
    """Return the parameters of a fitted estimator that were given a value, and which map was selected."""
    given = {
        name: value for name, value in ot.get_params().items() if value is not None
    }
    given.pop("verbose", None)
    return {**given, "selected": ot.diagnostics_["selected"]}
