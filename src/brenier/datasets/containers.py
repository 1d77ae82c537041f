"""Samples of any kind in, tensors inside, the same kind out; and what is wrong with them, by name.

Accepted are numpy arrays (memory-mapped ones are read in batches), torch tensors, pandas and polars frames, and
anything numpy turns into a numeric array without walking it element by element. Every fault is a `DataError` that names
the argument, the fault and the remedy.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from brenier.datasets.numeric import dense, names_of
from brenier.errors import DataError


class Frame(Protocol):
    """A table with named columns, such as those of pandas and polars."""

    @property
    def columns(self) -> Any:
        """The names of the columns."""
        ...

    def to_numpy(self) -> Any:
        """Return the values as an array."""
        ...


@dataclasses.dataclass(frozen=True)
class CheckedSamples:
    """Checked samples and the way back to their kind.

    Attributes:
        values: (n, d), a tensor of floating or integer type, or a memory-mapped array.
        original: what was given.
        columns: feature names of a frame, else None.
        name: the argument's name, for messages.
    """

    values: Tensor | np.memmap
    original: Any
    columns: tuple[str, ...] | None
    name: str

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """The floating type results come back in."""
        return _result_dtype(self.values.dtype)

    def rows(self, first: int, last: int) -> Tensor:
        """Return some consecutive rows as a tensor; those of a memory-mapped array are read, and checked, only now."""
        if isinstance(self.values, Tensor):
            return self.values[first:last]
        chunk = torch.as_tensor(dense(np.array(self.values[first:last]), self.name))
        check_finite(chunk, self.name, torch.arange(first, first + len(chunk)))
        return chunk

    def restore(self, moved: Tensor) -> Any:
        """Return moved (n, d) as the kind, precision and device given; whole numbers come back as float64.

        One number per row (n,) comes back as an array where a frame was given.
        """
        if isinstance(self.original, Tensor):
            return moved.to(self.original.device, _result_dtype(self.original.dtype))
        dtype = _result_dtype_name(self.values.dtype)
        array = moved.cpu().numpy().astype(dtype, copy=False)
        if self.columns is None or array.ndim == 1:
            return array
        if hasattr(self.original, "index"):  # pandas
            return type(self.original)(
                array, columns=self.original.columns, index=self.original.index
            )
        return type(self.original)(array, schema=list(self.original.columns))


# What a user may give as samples; what cannot be used is refused with a `DataError`.
TableLike: TypeAlias = ArrayLike | Tensor | Frame | CheckedSamples


def read(
    values: TableLike, name: str, dim: int | None = None, min_rows: int = 1
) -> CheckedSamples:
    """Return checked samples.

    Args:
        values: what the user gave, or `CheckedSamples`, which are given back.
        name: the argument's name, for messages.
        dim: features expected, or None.
        min_rows: fewest rows that make sense.

    Raises:
        DataError: for what is not a finite, dense, numeric (n, d) table with enough rows.
    """
    if isinstance(values, CheckedSamples):
        return values
    columns = _column_names_of(values)
    _check_names(values, name)
    table = dense(values, name)
    if table.ndim != 2:
        remedy = "reshape(n, -1), one row per sample"
        if table.ndim < 2:
            remedy = "reshape(-1, 1) for one feature or reshape(1, -1) for one sample"
        raise DataError(
            f"{name}: Expected 2D array, got {table.ndim}D array of shape {tuple(table.shape)} instead; rows are "
            f"samples. Reshape your data with {remedy}",
            argument=name,
        )
    n, d = table.shape
    if d == 0:
        raise DataError(
            f"{name}: 0 feature(s) (shape=({n}, {d})) while a minimum of 1 is required; select some columns",
            argument=name,
        )
    if n < min_rows:
        raise DataError(
            f"{name}: Found array with {n} sample(s) (shape=({n}, {d})) while a minimum of {min_rows} is required; "
            "give more samples",
            argument=name,
        )
    if dim is not None and d != dim:
        raise DataError(
            f"{name}: has {d} features, but {dim} are expected; give the columns used in fit",
            argument=name,
        )
    if not isinstance(table, np.memmap):
        check_finite(table, name)
    return CheckedSamples(table, values, columns, name)


def check_finite(table: Tensor, name: str, numbers: Tensor | None = None) -> None:
    """Raise a DataError that counts and locates values that are NaN or infinite.

    Args:
        table: (n, d).
        name: the argument's name.
        numbers: (n,), the rows' numbers in the argument where the table is only a part of it.
    """
    if not table.is_floating_point() or bool(torch.isfinite(table.sum())):
        return
    bad = ~torch.isfinite(table)
    if not bool(bad.any()):
        return  # the sum overflowed, not the values
    rows = int(bad.any(-1).sum())
    row, column = bad.nonzero()[0].tolist()
    of = f"{table.shape[0]} rows"
    if numbers is not None:
        of += " read"
        row = int(numbers[row])
    raise DataError(
        f"{name}: contains NaN or inf in {rows} of {of}, "
        f"the first at row {row}, column {column}; remove or impute those rows",
        argument=name,
    )


def check_tensors(min_rows: int = 1, paired: bool = False, **samples: Tensor) -> None:
    """Raise a DataError unless samples are finite (n, d) tensors with equal d, and equal n where paired."""
    (first, reference), *_ = samples.items()
    for name, given in samples.items():
        if given.ndim != 2 or len(given) < min_rows or given.shape[1] < 1:
            raise DataError(
                f"{name}: has shape {tuple(given.shape)}; give (n, d) samples as rows, n >= {min_rows}"
            )
        other_rows = paired and len(given) != len(reference)
        if given.shape[1] != reference.shape[1] or other_rows:
            fault = f"has shape {tuple(given.shape)}, but {first} has {tuple(reference.shape)}"
            raise DataError(
                f"{name}: {fault}; give {'the same rows' if paired else 'the same features'} of both"
            )
        check_finite(given, name)


def is_mapped(values: object) -> bool:
    """Say whether values is a memory-mapped array, which may be larger than memory."""
    return isinstance(values, np.memmap)


def _check_names(values: TableLike | None, name: str) -> None:
    """Raise where two columns of a frame have the same name."""
    names = Counter(names_of(values) or [])
    twice = [column for column, times in names.items() if times > 1]
    if twice:
        remedy = "give each a name of its own"
        if hasattr(values, "loc"):
            remedy += (
                f", or keep the first with {name}.loc[:, ~{name}.columns.duplicated()]"
            )
        raise DataError(
            f"{name}: has {names[twice[0]]} columns called {', '.join(map(repr, twice[:5]))}; {remedy}",
            argument=name,
        )


def _column_names_of(values: object) -> tuple[str, ...] | None:
    """Return the column names of a frame, None for anything else."""
    if hasattr(values, "to_numpy") and hasattr(values, "columns"):
        return tuple(map(str, values.columns))
    return None


def _result_dtype(dtype: torch.dtype | np.dtype) -> torch.dtype:
    """Return the floating type results come back in."""
    found: torch.dtype = getattr(torch, _result_dtype_name(dtype))
    return found


def _result_dtype_name(dtype: torch.dtype | np.dtype) -> str:
    """Return the name of the type results come back in: float32 for that and for halves, float64 for all others."""
    # The name numpy gives leaves out the byte order; torch's begins with the module.
    name = getattr(dtype, "name", str(dtype)).removeprefix("torch.")
    return "float32" if name in ("float32", "float16", "bfloat16") else "float64"
