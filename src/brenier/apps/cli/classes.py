"""`brenier evaluate` of a map with classes: every class compared with doing nothing and with its own affine map."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from brenier.apps.cli.console import ExitCode, convergence_code, note, print_json
from brenier.apps.cli.rows import LabelledRows
from brenier.datasets import grouped
from brenier.errors import DataError
from brenier.estimators import OptimalTransport
from brenier.report import (
    EVALUATION,
    EVALUATION_FOOTNOTE,
    PAGE,
    MapEvaluation,
    Section,
    TableRows,
    class_figures,
    figures_section,
    has_enough_rows,
    markdown_table,
    measure,
    text_table,
    to_json,
    write_report,
)
from brenier.transport.maps import RoundTrip

COMPARED_METRIC = "energy distance"  # needs no optional package


def evaluate_classes(
    ot: OptimalTransport,
    source: LabelledRows,
    target: LabelledRows,
    out: Path | None,
    as_json: bool,
    seed: int,
    title: str,
    weights: tuple[Tensor | None, Tensor | None] = (None, None),
) -> ExitCode:
    """Measure a map with classes on labelled rows; print a line per class, and write a report on request."""
    found = _measure_classes(ot, source, target, seed, weights)
    errors = np.concatenate([each.trip.errors for each in found.values()])
    unconverged = sum(each.trip.unconverged for each in found.values())
    first = next(iter(found.values())).trip
    trip = dataclasses.replace(first, errors=errors, unconverged=unconverged)
    page = None
    if out is not None:
        page = _write_classes(out, ot, source, target, found, trip, title)
    if as_json:
        classes = [{"label": name, **to_json(each)} for name, each in found.items()]
        print_json({"classes": classes})
    else:
        print(text_table(*_scores_by_class(found)))
        print(
            f"\n{trip.statement()}\n\nThe last four columns are the {COMPARED_METRIC}. {EVALUATION_FOOTNOTE}"
        )
        if page is not None:
            print(f"Report: {page}")
    return convergence_code(unconverged, len(errors))


def _measure_classes(
    ot: OptimalTransport,
    source: LabelledRows,
    target: LabelledRows,
    seed: int,
    weights: tuple[Tensor | None, Tensor | None],
) -> dict[Hashable, MapEvaluation]:
    """Return what the map does in every class that has enough rows on both sides; note which have not."""
    found: dict[Hashable, MapEvaluation] = {}
    too_few = []
    x_rows, z_rows = grouped(source[1]), grouped(target[1])
    for label in ot.labels_ or ():
        of_x, of_z = x_rows.get(label, []), z_rows.get(label, [])
        x, z = source[0][of_x], target[0][of_z]
        own = (
            None if weights[0] is None else weights[0][of_x],
            None if weights[1] is None else weights[1][of_z],
        )
        if has_enough_rows(x, z):
            found[label] = measure(ot.map_.at(label), x, z, seed, own)
        else:
            too_few.append(label)
    if too_few:
        note(f"note: too few rows of {', '.join(map(repr, too_few))} to measure them")
    if not found:
        raise DataError(
            f"--labels: no class of the model has at least {EVALUATION.min_source} source and "
            f"{EVALUATION.min_target} target rows; give more"
        )
    return found


def _scores_by_class(
    found: Mapping[Hashable, MapEvaluation],
) -> tuple[list[str], TableRows]:
    """Return the header and the rows of a table: a row per class, and the means in the last."""
    compared = list(next(iter(found.values())).scores)
    names = [str(label) for label in found]
    counts = [each.rows for each in found.values()]
    figures = []
    for each in found.values():
        scores = [each.scores[name][COMPARED_METRIC] for name in compared]
        median = float(np.median(each.trip.errors))
        figures.append([each.distance.w2, median, each.trip.missed, *scores])
    means = np.mean(figures, axis=0).tolist()
    rows: list[list[object]] = []
    for name, count, numbers in zip(names, counts, figures, strict=True):
        rows.append([name, count, *numbers])
    rows.append(["mean", sum(counts), *means])
    return ["class", "rows", "W2", "round trip", "missed", *compared], rows


def _write_classes(
    out: Path,
    ot: OptimalTransport,
    source: LabelledRows,
    target: LabelledRows,
    found: Mapping[Hashable, MapEvaluation],
    trip: RoundTrip,
    title: str,
) -> Path:
    """Write the report of an evaluation by class and its figures into a folder; return the path of the page."""
    out.mkdir(parents=True, exist_ok=True)
    (x, x_labels), (z, z_labels) = source, target
    figures = class_figures(ot.map_, x, z, (x_labels, z_labels), trip, out)
    table = markdown_table(*_scores_by_class(found))
    comparison = f"The last four columns are the {COMPARED_METRIC}.\n\n{table}\n\n{EVALUATION_FOOTNOTE}"
    sections = [
        Section("Classes", comparison),
        Section("Round trip", trip.statement()),
        figures_section(figures),
    ]
    write_report(out / PAGE, f"Evaluation of {title}", sections)
    return out / PAGE
