"""`brenier evaluate` of a map with classes: every class beside doing nothing and beside its own affine map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from brenier.apps.cli.console import NOTHING_CONVERGED, OK, note, print_json
from brenier.datasets import grouped
from brenier.errors import DataError
from brenier.estimators import OptimalTransport
from brenier.report import (
    PAGE,
    READING,
    Evaluation,
    Section,
    class_figures,
    figures_section,
    markdown_table,
    measure,
    plain,
    text_table,
    write_report,
)
from brenier.transport.maps import RoundTrip

METRIC = "energy distance"  # needs no other package
Rows = tuple[Tensor, list[Any]]  # (n, d), and their labels


def evaluate_classes(
    ot: OptimalTransport,
    source: Rows,
    target: Rows,
    out: Path | None,
    as_json: bool,
    seed: int,
    title: str,
) -> int:
    """Measure a map with classes on labelled rows; print a line per class, and write a report on request."""
    found = _measured(ot, source, target, seed)
    errors = np.concatenate([each.trip.errors for each in found.values()])
    trip = RoundTrip(errors, sum(each.trip.unconverged for each in found.values()))
    page = None if out is None else _write(out, ot, source, target, found, trip, title)
    if as_json:
        print_json(
            {
                "classes": [
                    {"label": label, **plain(each)} for label, each in found.items()
                ]
            }
        )
    else:
        print(text_table(*_table(found)))
        print(
            f"\n{trip.statement()}\n\nThe last four columns are the {METRIC}. {READING}"
        )
        if page is not None:
            print(f"Report: {page}")
    return NOTHING_CONVERGED if trip.unconverged == len(trip.errors) else OK


def _measured(
    ot: OptimalTransport, source: Rows, target: Rows, seed: int
) -> dict[Any, Evaluation]:
    """Return what the map does in every class that has rows enough on both sides; name the others."""
    found, few = {}, []
    groups = [grouped(labels) for _, labels in (source, target)]
    for label in ot.labels_ or ():
        x, z = (
            side[0][mine.get(label, [])]
            for side, mine in zip((source, target), groups, strict=True)
        )
        if len(x) < 2 or len(z) < 4:
            few.append(label)
        else:
            found[label] = measure(ot.map_.at(label), x, z, seed)
    if few:
        note(f"note: too few rows of {', '.join(map(repr, few))} to measure them")
    if not found:
        raise DataError(
            "--labels: no class of the model has at least 2 source and 4 target rows; give more"
        )
    return found


def _table(
    found: dict[Any, Evaluation],
) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
    """Return a row per class, and the means in the last."""
    compared = list(next(iter(found.values())).scores)
    rows: list[list[Any]] = []
    for label, each in found.items():
        scores = [each.scores[name][METRIC] for name in compared]
        rows.append(
            [
                str(label),
                each.rows,
                each.distance.w2,
                float(np.median(each.trip.errors)),
                *scores,
            ]
        )
    means = np.mean([row[2:] for row in rows], axis=0).tolist()
    rows.append(["mean", sum(row[1] for row in rows), *means])
    return ["class", "rows", "W2", "round trip", *compared], rows


def _write(
    out: Path,
    ot: OptimalTransport,
    source: Rows,
    target: Rows,
    found: dict[Any, Evaluation],
    trip: RoundTrip,
    title: str,
) -> Path:
    """Write the report and its plots."""
    out.mkdir(parents=True, exist_ok=True)
    (x, x_labels), (z, z_labels) = source, target
    figures = class_figures(ot.map_, x, z, (x_labels, z_labels), trip, out)
    comparison = f"The last four columns are the {METRIC}.\n\n{markdown_table(*_table(found))}\n\n{READING}"
    sections = [
        Section("Classes", comparison),
        Section("Round trip", trip.statement()),
        figures_section(figures),
    ]
    write_report(out / PAGE, f"Evaluation of {title}", sections)
    return out / PAGE
