"""Labels as commands take them from files: columns of tables as text, exactly as written; arrays of .npz files."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TypeAlias

import numpy as np

from brenier.apps.cli.inputs import check_array
from brenier.datasets import (
    TABLES,
    UNTOLD,
    GivenDialect,
    Samples,
    alike_as_text,
    is_missing,
    kind_of,
    label_column_of,
    label_text,
    labels_named,
    open_table,
)
from brenier.errors import DataError

# The labels of all rows of a file; None where one is missing.
RowLabels: TypeAlias = list[Hashable]


def label_column(
    samples: Samples, name: str, dialect: GivenDialect = UNTOLD
) -> RowLabels:
    """Return the labels of a file's rows: a column of a table as text, or an array (n,) of a .npz file.

    Args:
        samples: of the file.
        name: of the column or array.
        dialect: what the user says of how a .csv file is written.

    Raises:
        DataError: where there are none of that name, or not one per row.
    """
    path, rows = samples.path, len(samples.values)
    kind = kind_of(path)
    if kind in TABLES:
        values: RowLabels = list(label_column_of(path, name, dialect))
    elif kind == ".npz":
        values = _of_archive(path, name)
    else:
        raise DataError(
            f"--labels: {path} holds one array and no labels; give a table, or a .npz file with both"
        )
    if len(values) != rows:
        raise DataError(
            f"--labels: {name!r} in {path} has {len(values)} labels for {rows} rows; give one per row"
        )
    return values


def both_labels(
    x: Samples, z: Samples, name: str, dialect: GivenDialect = UNTOLD
) -> tuple[RowLabels, RowLabels]:
    """Return the labels of both sides, of the same type: text wherever the files do not agree on another.

    Raises:
        DataError: where there are none of that name, not one per row, or one is missing.
    """
    first, second = (label_column(side, name, dialect) for side in (x, z))
    for side, labels in ((x, first), (z, second)):
        _check_filled(side, labels, name, dialect)
    if alike_as_text(set(first), set(second)) is not None:
        first = [label_text(each) for each in first]
        second = [label_text(each) for each in second]
    return first, second


def labels_of_model(
    samples: Samples, name: str, known: tuple[Hashable, ...], dialect: GivenDialect
) -> RowLabels:
    """Return the labels of a file's rows, those of a model's classes as the model calls them."""
    return labels_named(label_column(samples, name, dialect), known)


def _of_archive(path: Path, name: str) -> RowLabels:
    """Return an array of labels; what is neither number nor text becomes text."""
    with np.load(path, allow_pickle=False) as archive:
        check_array(path, archive.files, name)
        array = archive[name]
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"--labels: {name!r} in {path} has shape {array.shape}; give one label per row, (n,)"
        )
    if array.dtype.kind in "biuU":
        labels: RowLabels = array.tolist()
        return labels
    return [label_text(each) for each in array]


def _check_filled(
    samples: Samples, labels: RowLabels, name: str, dialect: GivenDialect
) -> None:
    """Raise where a label is missing, naming its line."""
    row = next((row for row, label in enumerate(labels) if is_missing(label)), None)
    if row is None:
        return
    where = f"row {row} (counted from 0)"
    if samples.layout is not None:
        where = open_table(samples.path, dialect).where(row)
    raise DataError(
        f"{samples.path}: the label in {where} is missing (column {name!r} is empty there); drop such rows, or name "
        "their class"
    )
