"""Labels and covariates: what a condition is given as, checked, one per row.

A condition is either a class, named by a hashable label, or a vector of numbers, its covariates. Labels come in any
sequence (lists, arrays, columns of frames) and go on as Python's own types, so that the same label compares equal
whichever container it came in; labels in one column, (n, 1), are flattened. Covariates become a float64 tensor (n, p).
A value that is missing is refused, and every fault is a `DataError` that names the argument, the row and the remedy.
"""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from brenier.datasets.cells import shown
from brenier.datasets.numeric import COVARIATES, columns_of, dense
from brenier.errors import DataError

# What a user may give as labels: one for each row, or one for all rows.
LabelsLike: TypeAlias = Hashable | Iterable[Hashable]


def read_labels(values: LabelsLike, name: str, rows: int) -> list[Hashable]:
    """Return one hashable label per row, as Python's own types where there are such.

    Args:
        values: a sequence of labels of any kind.
        name: the argument's name, for messages.
        rows: how many rows there are.

    Raises:
        DataError: for what is no sequence, for a label that is missing or not hashable, or where there are not as many
            labels as rows.
    """
    _check_sequence(values, name)
    labels = [_own_type(label) for label in _flat(values, name, rows)]
    if len(labels) != rows:
        raise DataError(
            f"{name}: has {len(labels)} labels for {rows} rows; give one label per row, in their order",
            argument=name,
        )
    for row, label in enumerate(labels):
        if is_missing(label):
            raise DataError(
                f"{name}: the label of row {row} is missing ({label}); drop such rows, or name their class",
                argument=name,
            )
        if not _is_hashable(label):
            raise DataError(
                f"{name}: the label of row {row} is a {type(label).__name__}, which is not hashable; give numbers, "
                "strings or tuples, one per row",
                argument=name,
            )
    return labels


def is_missing(label: object) -> bool:
    """Say whether a label stands for a missing value: None, NaN, and what pandas has for them."""
    if label is None or type(label).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(label, tuple):
        return any(map(is_missing, label))
    return isinstance(label, float | decimal.Decimal) and label != label


def label_text(label: object) -> str | None:
    """Return a label as it stands in a table of text, None for a missing one.

    Whole numbers have no decimals, dates are written as ISO 8601 does, those at midnight without the time.

    Raises:
        DataError: for what is no name, such as a list.
    """
    label = _own_type(label)
    if is_missing(label):
        return None
    if isinstance(label, bytes):
        return label.decode(errors="backslashreplace")
    if isinstance(label, datetime.datetime) and label.tzinfo is None:
        midnight = label.time() == datetime.time() and not getattr(
            label, "nanosecond", 0
        )
        return str(label.date() if midnight else label)
    if isinstance(label, float | decimal.Decimal) and math.isfinite(label):
        return str(int(label) if label == int(label) else label)
    if not isinstance(label, Hashable) or isinstance(label, tuple | frozenset):
        raise DataError(
            f"--labels: {shown(label)} is a {type(label).__name__} and no name; give one number or text per row"
        )
    return str(label)


def alike_as_text(
    labels: Iterable[Hashable], others: Iterable[Hashable]
) -> tuple[Hashable, Hashable] | None:
    """Return the first two labels, one of each, that differ although they read the same, such as 1 and "1"."""
    texts = {_spelling(other): other for other in others}
    for label in labels:
        other = texts.get(_spelling(label), label)
        if other != label:
            return label, other
    return None


def labels_named(
    labels: Iterable[Hashable], known: Iterable[Hashable]
) -> list[Hashable]:
    """Return labels as they are called in a model, where they read like one of its classes; others as they are.

    Args:
        labels: read from a file, None where one is missing.
        known: the classes, of any type.
    """
    classes = dict.fromkeys(known)
    by_text = {_spelling(label): label for label in classes}
    found: list[Hashable] = []
    for label in labels:
        own = label is None or label in classes
        found.append(label if own else by_text.get(_spelling(label), label))
    return found


def _spelling(label: Hashable) -> str:
    """Return how a label reads; a label of several parts reads as Python writes it."""
    if isinstance(label, tuple | frozenset):
        return repr(label)
    return label_text(label) or ""


def _check_sequence(values: object, name: str) -> None:
    """Raise unless values are a sequence of labels."""
    if isinstance(values, set | frozenset | Mapping):
        raise DataError(
            f"{name}: must be a sequence of labels, one per row, got a {type(values).__name__}, which has no order; "
            "give a list",
            argument=name,
        )
    listable = ("__iter__", "to_numpy", "column_names")
    if isinstance(values, str | bytes) or not any(
        hasattr(values, method) for method in listable
    ):
        simple = isinstance(values, str | bytes | int | float)
        got = shown(values) if simple else f"a {type(values).__name__}"
        raise DataError(
            f"{name}: must be a sequence of labels, one per row, got {got}",
            argument=name,
        )


def _flat(values: Any, name: str, rows: int) -> list[Any]:
    """Return labels as a list of Python's own types where the container makes one; one column is flattened."""
    columns = columns_of(values)
    if columns is not None:
        if len(columns) != 1:
            named = ", ".join(shown(column) for column, _ in columns[:5])
            raise DataError(
                f"{name}: has {len(columns)} columns ({named}); give one column of labels, such as frame['kind']",
                argument=name,
            )
        values = columns[0][1]
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple) and len(shape) > 1 and hasattr(values, "reshape"):
        _check_one_column(tuple(shape), name)
        values = values.reshape(-1)
    found = _as_list(values)
    ragged = [entry for entry in found if isinstance(entry, list | np.ndarray)]
    if ragged and len(ragged) == len(found):
        widths = {np.size(entry) for entry in ragged}
        if widths == {1}:
            return [_as_list(np.ravel(np.asarray(entry)))[0] for entry in found]
        if len(widths) == 1 and len(found) == rows:
            _check_one_column((rows, widths.pop()), name)
    return found


def _check_one_column(shape: tuple[int, ...], name: str) -> None:
    """Raise where labels are of more than one column."""
    if np.prod(shape[1:]) != 1:
        raise DataError(
            f"{name}: have shape {shape}; give one label per row, (n,), such as one column, or .ravel() of it",
            argument=name,
        )


def _as_list(values: Any) -> list[Any]:
    """Return a list of Python's own types where the container makes one, else of its entries."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        days = np.datetime_data(values.dtype)[0] in ("Y", "M", "W", "D")
        values = values.astype("M8[D]" if days else "M8[us]")  # finer ones become ints
    for convert in (
        "tolist",
        "to_list",
        "to_pylist",
    ):  # numpy and pandas; polars; pyarrow
        if hasattr(values, convert):
            return list(getattr(values, convert)())
    if hasattr(values, "to_numpy"):
        return list(values.to_numpy().tolist())
    return list(values)


def _own_type(label: Any) -> Any:
    """Return a number or text of numpy as Python's own type, anything else as it is."""
    if isinstance(label, np.datetime64):
        return _as_list(np.array([label]))[0]
    scalar = isinstance(label, np.generic | np.ndarray | Tensor) and label.ndim == 0
    return label.item() if scalar else label


def _is_hashable(label: object) -> bool:
    try:
        hash(label)
    except TypeError:
        return False
    return True


def grouped(labels: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    """Return the rows of every label, in the order of first appearance."""
    groups: dict[Hashable, list[int]] = {}
    for row, label in enumerate(labels):
        groups.setdefault(label, []).append(row)
    return groups


def is_single(values: object) -> bool:
    """Say whether a value is one label, meant for all rows."""
    if isinstance(values, str | bytes | tuple) or not hasattr(values, "__iter__"):
        return True
    return getattr(values, "ndim", 1) == 0


def label_numbers(
    values: object, known: Sequence[Hashable], name: str, rows: int
) -> list[int]:
    """Return the numbers of the classes that labels name, one for each of some rows.

    Args:
        values: a sequence of labels, or one label for all rows.
        known: the classes that the map was fitted on, in their order.
        name: the argument's name, for messages.
        rows: how many there are.

    Raises:
        DataError: where a label is unknown, or there are more or fewer labels than rows.
    """
    numbers = {label: k for k, label in enumerate(known)}
    labels = [values] * rows if is_single(values) else values
    given = read_labels(labels, name, rows)
    unknown = {label: None for label in given if label not in numbers}
    if unknown:
        remedy = "give one of those, or fit again with samples of it on both sides"
        alike = alike_as_text(unknown, known)
        if alike is not None:
            label, own = alike
            remedy = f"{label!r} is a {type(label).__name__}, give the {type(own).__name__} {own!r}"
        raise DataError(
            f"{name}: {listed(tuple(unknown))} not among the classes that the map was fitted on "
            f"({listed(known)}); {remedy}"
        )
    return [numbers[label] for label in given]


def listed(labels: Sequence[Hashable], most: int = 5) -> str:
    """Return labels as messages show them, the first few of very many."""
    shown = ", ".join(map(repr, labels[:most]))
    return f"{shown} and {len(labels) - most} more" if len(labels) > most else shown


def read_covariates(
    values: object, name: str, rows: int, p: int | None = None
) -> Tensor:
    """Return the covariates of some rows in float64: (rows, p).

    Args:
        values: (rows, p), or (rows,) where p is one; or, if p is known, those of one row (p,), meant for all.
        name: the argument's name, for messages.
        rows: how many rows there are.
        p: covariates expected, or None.

    Raises:
        DataError: for values that are not finite numbers of such a shape.
    """
    found = dense(values, name, COVARIATES)
    if isinstance(found, Tensor):
        found = found.double().cpu()
    array = np.asarray(found, dtype=np.float64)
    if p is not None and array.size == p and array.shape[:1] != (rows,):
        array = np.broadcast_to(array.reshape(1, p), (rows, p))  # one row's, for all
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim == 2 and array.shape[1] == 0:
        raise DataError(
            f"{name}: have shape {array.shape}, no covariates; give at least one column, or None",
            argument=name,
        )
    fits = array.ndim == 2 and len(array) == rows
    if fits and p is not None:
        fits = array.shape[1] == p
    if not fits:
        expected = f"({rows}, {'p' if p is None else p})"
        raise DataError(
            f"{name}: have shape {array.shape} for {rows} rows; give {expected}, a line per row",
            argument=name,
        )
    finite = np.isfinite(array)
    if not finite.all():
        row = int(np.argwhere(~finite)[0][0])
        raise DataError(
            f"{name}: hold NaN or inf, first in row {row}; drop or impute such rows",
            argument=name,
        )
    return torch.from_numpy(np.array(array))
