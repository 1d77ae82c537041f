"""`brenier evaluate`: how good a saved map is on given samples, beside doing nothing and beside the affine map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from brenier.apps.cli.classes import evaluate_classes
from brenier.apps.cli.console import NOTHING_CONVERGED, OK, note, print_json
from brenier.apps.cli.inputs import (
    check_dim,
    check_labels,
    features_of,
    labelled_rows,
    named,
    read_labels,
    read_pair,
    some_rows,
)
from brenier.estimators import OptimalTransport, load
from brenier.report import (
    PAGE,
    READING,
    Evaluation,
    Section,
    distance_section,
    figures_section,
    map_figures,
    markdown_table,
    measure,
    plain,
    text_table,
    write_report,
)

ROWS = 100_000  # of either side that are looked at, at most


def evaluate(
    model: Path,
    source: Path,
    target: Path,
    *,
    out: Path | None = None,
    as_json: bool = False,
    columns: Sequence[str] | None = None,
    source_key: str | None = None,
    target_key: str | None = None,
    labels: str | None = None,
    seed: int = 0,
) -> int:
    """Measure a saved map on the samples of two files; print the figures, and write a report on request.

    Args:
        model: the folder that `fit` wrote.
        source, target: .npy, .npz, .csv or .parquet files.
        labels: the column, or the array of .npz files, that holds class labels, for a model with classes.
        out: a folder for the report and its plots, or None.
        as_json: whether to print JSON.
        seed: of the rows, halves and directions that are drawn.
    """
    ot = load(model)
    names = features_of(ot)
    check_labels(ot, labels, model)
    x_file, z_file = read_pair(
        source, target, columns, source_key, target_key, names, labels
    )
    check_dim(x_file, ot.map_.dim, "the model has")
    title = f"{model} on {source.name} and {target.name}"
    if labels is not None:
        classes = [read_labels(s.path, labels, len(s.values)) for s in (x_file, z_file)]
        sides = [
            labelled_rows(s, c, ot.labels_ or (), ROWS, seed)
            for s, c in zip((x_file, z_file), classes, strict=True)
        ]
        return evaluate_classes(ot, sides[0], sides[1], out, as_json, seed, title)
    x, z = some_rows(x_file, ROWS, seed), some_rows(z_file, ROWS, seed + 1)
    with named(source, target):
        found = measure(ot.map_, x, z, seed)
    page = None if out is None else _write(out, found, ot, x, z, title)
    if as_json:
        print_json(plain(found))
    else:
        _print(found, page)
    return NOTHING_CONVERGED if found.trip.unconverged == len(found.trip.errors) else OK


def _print(found: Evaluation, page: Path | None) -> None:
    print(found.distance.statement())
    print(found.trip.statement())
    print(
        f"\nDistance to the target ({found.rows} rows of either side, {found.unit}):\n"
    )
    print(found.table(text_table))
    print(f"\n{READING}")
    if "sliced W2" not in next(iter(found.scores.values())):
        note('note: the sliced distance is left out: pip install "brenier[metrics]"')
    if page is not None:
        print(f"Report: {page}")


def _write(
    out: Path, found: Evaluation, ot: OptimalTransport, x: Tensor, z: Tensor, title: str
) -> Path:
    """Write the report and its plots."""
    out.mkdir(parents=True, exist_ok=True)
    figures = map_figures(ot.map_, x, z, found.trip, out, features_of(ot))
    comparison = f"{found.rows} rows of either side, {found.unit}.\n\n{found.table(markdown_table)}\n\n{READING}"
    sections = [
        distance_section(found.distance),
        Section("Round trip", found.trip.statement()),
        Section("Distance to the target", comparison),
        figures_section(figures),
    ]
    write_report(out / PAGE, f"Evaluation of {title}", sections)
    return out / PAGE
