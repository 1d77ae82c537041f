"""Labels and covariates: what a condition is given as, checked, one per row.

A condition is either a class, named by a hashable label, or a vector of numbers, its covariates. Labels come in any
sequence (lists, arrays, columns of frames) and go on as Python's own types, so that the same label compares equal
whichever container it came in. Covariates become a float64 tensor (n, p). A value that is missing is refused, and every
fault is a `DataError` that names the argument, the row and the remedy.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

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
    given = _as_python(values)
    if isinstance(given, str | bytes) or not hasattr(given, "__iter__"):
        raise DataError(
            f"{name}: must be a sequence of labels, one per row, got {given!r}",
            argument=name,
        )
    labels = list(given)
    if len(labels) != rows:
        raise DataError(
            f"{name}: has {len(labels)} labels for {rows} rows; give one label per row, in their order",
            argument=name,
        )
    for row, label in enumerate(labels):
        if label is None or label != label:
            raise DataError(
                f"{name}: the label of row {row} is missing ({label}); drop such rows, or name their class",
                argument=name,
            )
        if not isinstance(label, Hashable):
            raise DataError(
                f"{name}: the label of row {row} is a {type(label).__name__}, which is not hashable; give numbers, "
                "strings or tuples, one per row",
                argument=name,
            )
    return labels


def _as_python(values: object) -> Any:
    """Return a list of Python's own types where the container makes one, else the values themselves."""
    for convert in ("tolist", "to_list"):  # of numpy, pandas and torch; of polars
        if hasattr(values, convert):
            return getattr(values, convert)()
    return values


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
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name}: are not numbers ({error}); give an array (n, p), or labels instead",
            argument=name,
        ) from error
    if p is not None and array.size == p and array.shape[:1] != (rows,):
        array = np.broadcast_to(array.reshape(1, p), (rows, p))  # one row's, for all
    if array.ndim == 1:
        array = array[:, None]
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
