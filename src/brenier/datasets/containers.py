"""Samples of any kind in, tensors inside, the same kind out; and what is wrong with them, by name.

Accepted are numpy arrays (memory-mapped ones are read in batches), torch tensors, pandas and polars frames, and
anything numpy turns into a numeric array. Every fault is a `DataError` that names the argument, the fault and the
remedy.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

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
        found: torch.dtype = _float_type(self.values.dtype)
        return found

    def rows(self, first: int, last: int) -> Tensor:
        """Return some consecutive rows as a tensor; those of a memory-mapped array are read, and checked, only now."""
        if isinstance(self.values, Tensor):
            return self.values[first:last]
        part = _tensor(np.array(self.values[first:last]))
        check_finite(part, self.name, torch.arange(first, first + len(part)))
        return part

    def restore(self, moved: Tensor) -> Any:
        """Return moved (n, d) as the kind, precision and device given; whole numbers come back as float64.

        One number per row (n,) comes back as an array where a frame was given.
        """
        if isinstance(self.original, Tensor):
            return moved.to(self.original.device, _float_type(self.original.dtype))
        array = (
            moved.cpu()
            .numpy()
            .astype(_float_type(self.values.dtype, array=True), copy=False)
        )
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
    columns = _columns(values)
    table = _table(values, name)
    if table.ndim != 2:
        remedy = "reshape(-1, 1) for one feature or reshape(1, -1) for one sample"
        raise DataError(
            f"{name}: Expected 2D array, got {table.ndim}D array of shape {tuple(table.shape)} instead; rows are "
            f"samples. Reshape your data with {remedy if table.ndim < 2 else 'reshape(n, -1), one row per sample'}",
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
    rows, (row, column) = int(bad.any(-1).sum()), bad.nonzero()[0].tolist()
    number = row if numbers is None else int(numbers[row])
    raise DataError(
        f"{name}: contains NaN or inf in {rows} of {table.shape[0]} rows{'' if numbers is None else ' read'}, "
        f"the first at row {number}, column {column}; remove or impute those rows",
        argument=name,
    )


def is_mapped(values: Any) -> bool:
    """Say whether values is a memory-mapped array, which may be larger than memory."""
    return isinstance(values, np.memmap)


def _table(values: Any, name: str) -> Any:
    """Return values as a dense real tensor, or as the memory-mapped array it is."""
    if values is None:
        raise DataError(
            f"{name}: Expected array-like (array or non-string sequence), got None; give an (n, d) array",
            argument=name,
        )
    if isinstance(values, Tensor):
        if values.layout != torch.strided:
            raise DataError(
                f"{name}: Sparse data was passed; give a dense tensor, for example {name}.to_dense()",
                argument=name,
            )
        if values.is_complex():
            raise DataError(
                f"{name}: Complex data not supported; give real features", argument=name
            )
        return values.detach()
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        raise DataError(
            f"{name}: Sparse data was passed; give a dense array, for example {name}.toarray()",
            argument=name,
        )
    try:
        array = (
            values.to_numpy() if hasattr(values, "to_numpy") else np.asanyarray(values)
        )
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{name}: is not a table of numbers ({error}); give an (n, d) array",
            argument=name,
        ) from error
    if np.ma.is_masked(array):
        raise DataError(
            f"{name}: has masked entries; remove or impute those rows, for example with filled()",
            argument=name,
        )
    if is_mapped(array) and array.dtype.kind in "fiub":
        return array
    return _tensor(_numeric(np.asarray(array), name))


def _numeric(array: np.ndarray, name: str) -> np.ndarray:
    """Return the array as real numbers."""
    if array.dtype.kind == "c":
        raise DataError(
            f"{name}: Complex data not supported; give real features", argument=name
        )
    if array.dtype.kind in "fiub":
        return array
    try:
        if array.dtype != object or any(
            isinstance(entry, str | bytes) for entry in array.flat
        ):
            raise TypeError("text and dates are not converted silently")
        return array.astype(np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{name}: has entries of type {array.dtype} that are not numbers ({error}); "
            "encode or drop text, dates, objects and missing values first",
            argument=name,
        ) from error


def _tensor(array: np.ndarray) -> Tensor:
    """Return a tensor of the array's values, sharing memory where torch can."""
    if array.dtype == np.longdouble or (
        array.dtype.kind == "u" and array.dtype.itemsize > 1
    ):
        array = array.astype(np.float64)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    return torch.from_numpy(array)


def _columns(values: Any) -> tuple[str, ...] | None:
    """Return the column names of a frame."""
    return (
        tuple(map(str, values.columns))
        if hasattr(values, "columns") and hasattr(values, "to_numpy")
        else None
    )


def _float_type(dtype: Any, array: bool = False) -> Any:
    """Return the floating type results come back in: the input's own, float64 for whole numbers, never a half."""
    name = getattr(dtype, "name", str(dtype)).removeprefix(
        "torch."
    )  # numpy's name leaves out the byte order
    name = {"float32": "float32", "float16": "float32", "bfloat16": "float32"}.get(
        name, "float64"
    )
    return np.dtype(name) if array else getattr(torch, name)
