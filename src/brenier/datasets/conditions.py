"""Labels and covariates of rows, checked."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brenier.errors import DataError

# What a user may give as labels: one for each row, or one for all rows.
LabelsLike: TypeAlias = Hashable | Iterable[Hashable]


def read_labels(values: Any, name: str, rows: int) -> list[Hashable]:
    """Return one hashable label per row, as Python's own types where there are such.

    Raises:
        DataError: where they are none, are missing for a row, or are not as many as the rows.
    """
    for convert in ("tolist", "to_list"):  # of numpy, pandas and torch; of polars
        if hasattr(values, convert):
            values = getattr(values, convert)()
            break
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise DataError(
            f"{name}: must be a sequence of labels, one per row, got {values!r}",
            argument=name,
        )
    labels = list(values)
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


def grouped(labels: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    """Return the rows of every label, in the order of first appearance."""
    groups: dict[Hashable, list[int]] = {}
    for row, label in enumerate(labels):
        groups.setdefault(label, []).append(row)
    return groups


def is_single(values: Any) -> bool:
    """Say whether a value is one label, meant for all rows."""
    return (
        isinstance(values, str | bytes | tuple)
        or not hasattr(values, "__iter__")
        or getattr(values, "ndim", 1) == 0
    )


def listed(labels: Sequence[Hashable], most: int = 5) -> str:
    """Return labels as messages show them."""
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(map(repr, labels[:most])) + more


def read_covariates(values: Any, name: str, rows: int, p: int | None = None) -> Tensor:
    """Return covariates of some rows in float64: (rows, p).

    Raises:
        DataError: for values that are not finite numbers of such a shape.
    """
    try:
        array: NDArray[Any] = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name}: are not numbers ({error}); give an array (n, p), or labels instead",
            argument=name,
        ) from error
    if (
        p is not None and array.size == p and array.shape[:1] != (rows,)
    ):  # one row's, meant for all
        array = np.broadcast_to(array.reshape(1, p), (rows, p))
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or len(array) != rows or (p is not None and array.shape[1] != p):
        expected = f"({rows}, {'p' if p is None else p})"
        raise DataError(
            f"{name}: have shape {array.shape} for {rows} rows; give {expected}, a line per row",
            argument=name,
        )
    if not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise DataError(
            f"{name}: hold NaN or inf, first in row {row}; drop or impute such rows",
            argument=name,
        )
    return torch.from_numpy(np.array(array))
