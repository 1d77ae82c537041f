"""`brenier evaluate`: how good a saved map is on given samples, compared with doing nothing and with the affine map."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from brenier.apps.cli.classes import evaluate_classes
from brenier.apps.cli.console import ExitCode, convergence_code, note, print_json
from brenier.apps.cli.inputs import (
    Wanted,
    rename_arguments,
)
from brenier.apps.cli.labels import labels_of_model
from brenier.apps.cli.models import features_of, read_pair_for
from brenier.apps.cli.rows import (
    known_numbers,
    labelled_rows,
    random_numbers,
    rows_at,
)
from brenier.apps.cli.weights import weight_names, weights_at
from brenier.datasets import GivenDialect
from brenier.estimators import OptimalTransport, load
from brenier.report import (
    EVALUATION_FOOTNOTE,
    PAGE,
    MapEvaluation,
    Section,
    distance_section,
    figures_section,
    map_figures,
    markdown_table,
    measure,
    regions_section,
    text_table,
    to_json,
    write_report,
)


@dataclasses.dataclass(frozen=True)
class EvaluateSettings:
    """What the command looks at.

    Attributes:
        max_rows: rows of either side, at most: the standard errors are small with fewer, and the inverse of so many
            takes minutes at worst.
    """

    max_rows: int = 100_000


EVALUATE = EvaluateSettings()


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
    weight: str | None = None,
    source_weight: str | None = None,
    target_weight: str | None = None,
    delimiter: str | None = None,
    decimal: str | None = None,
    seed: int = 0,
) -> ExitCode:
    """Measure a saved map on the samples of two files; print the figures, and write a report on request.

    Args:
        model: the folder that `fit` wrote.
        source, target: .npy, .npz, .csv or .parquet files.
        out: a folder for the report and its plots, or None.
        as_json: whether to print JSON.
        columns: the features of tables, in the order of the fit.
        source_key, target_key: which array of .npz files.
        labels: the column, or the array of .npz files, that holds class labels, for a model with classes.
        weight, source_weight, target_weight: the column, or the array, of the weights of rows, of both files or of one.
        delimiter, decimal: signs between the fields of .csv files, and before fractions; None to find them out.
        seed: of the rows, halves and directions that are drawn.
    """
    ot = load(model)
    dialect = GivenDialect(delimiter, decimal)
    named = weight_names(weight, source_weight, target_weight)
    wanted = Wanted(columns, labels, dialect, features_of(ot), named)
    keys = source_key, target_key
    x_file, z_file, weights = read_pair_for(ot, model, (source, target), keys, wanted)
    title = f"{model} on {source.name} and {target.name}"
    n, known = EVALUATE.max_rows, ot.labels_ or ()
    if labels is not None:
        x_labels = labels_of_model(x_file, labels, known, dialect)
        z_labels = labels_of_model(z_file, labels, known, dialect)
        x_rows = labelled_rows(x_file, x_labels, known, n, seed)
        z_rows = labelled_rows(z_file, z_labels, known, n, seed)
        numbers = [known_numbers(own, known, n, seed) for own in (x_labels, z_labels)]
        own = weights_at(weights[0], numbers[0]), weights_at(weights[1], numbers[1])
        with rename_arguments(source, target):
            return evaluate_classes(ot, x_rows, z_rows, out, as_json, seed, title, own)
    of_x, of_z = random_numbers(x_file, n, seed), random_numbers(z_file, n, seed + 1)
    x, z = rows_at(x_file, of_x), rows_at(z_file, of_z)
    own = weights_at(weights[0], of_x), weights_at(weights[1], of_z)
    with rename_arguments(source, target):
        found = measure(ot.map_, x, z, seed, own)
    page = None
    try:
        if out is not None:
            page = _write_evaluation(out, found, ot, x, z, title)
    finally:  # the figures are known, whatever becomes of the page
        if as_json:
            print_json(to_json(found))
        else:
            _print_evaluation(found, page)
    return convergence_code(found.trip.unconverged, len(found.trip.errors))


def _print_evaluation(found: MapEvaluation, page: Path | None) -> None:
    """Print an evaluation for people."""
    print(found.distance.statement())
    print(found.trip.statement())
    print(
        f"\nDistance to the target ({found.rows} rows of either side, {found.unit}):\n"
    )
    print(found.table(text_table))
    print(f"\n{EVALUATION_FOOTNOTE}")
    if "sliced W2" not in next(iter(found.scores.values())):
        note('note: the sliced distance is left out: pip install "brenier[metrics]"')
    if page is not None:
        print(f"Report: {page}")


def _write_evaluation(
    out: Path,
    found: MapEvaluation,
    ot: OptimalTransport,
    x: Tensor,
    z: Tensor,
    title: str,
) -> Path:
    """Write the report of an evaluation and its figures into a folder; return the path of the page."""
    out.mkdir(parents=True, exist_ok=True)
    figures = map_figures(ot.map_, x, z, found.trip, out, features_of(ot))
    table = found.table(markdown_table)
    comparison = f"{found.rows} rows of either side, {found.unit}.\n\n{table}\n\n{EVALUATION_FOOTNOTE}"
    sections = [
        distance_section(found.distance),
        Section("Round trip", found.trip.statement()),
        Section("Distance to the target", comparison),
        regions_section(ot.map_, x, z, found.trip),
        figures_section(figures),
    ]
    write_report(out / PAGE, f"Evaluation of {title}", sections)
    return out / PAGE
