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
        return _result_dtype(self.values.dtype)

    def rows(self, first: int, last: int) -> Tensor:
        """Return some consecutive rows as a tensor; those of a memory-mapped array are read, and checked, only now."""
        if isinstance(self.values, Tensor):
            return self.values[first:last]
        chunk = _tensor(np.array(self.values[first:last]))
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
    table = _dense(values, name)
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


def is_mapped(values: object) -> bool:
    """Say whether values is a memory-mapped array, which may be larger than memory."""
    return isinstance(values, np.memmap)


def _dense(values: TableLike | None, name: str) -> Any:
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
                f"{name}: Complex data not supported; give real features",
                argument=name,
            )
        return values.detach()
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        raise DataError(
            f"{name}: Sparse data was passed; give a dense array, for example {name}.toarray()",
            argument=name,
        )
    to_numpy = getattr(values, "to_numpy", None)
    try:
        array = np.asanyarray(values) if to_numpy is None else to_numpy()
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
            f"{name}: Complex data not supported; give real features",
            argument=name,
        )
    if array.dtype.kind in "fiub":
        return array
    try:
        texts = (isinstance(entry, str | bytes) for entry in array.flat)
        if array.dtype != object or any(texts):
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
    unsigned = array.dtype.kind == "u" and array.dtype.itemsize > 1
    if array.dtype == np.longdouble or unsigned:  # types torch has not, or hardly
        array = array.astype(np.float64)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    return torch.from_numpy(array)


def _column_names_of(values: object) -> tuple[str, ...] | None:
    """Return the column names of a frame, None for anything else."""
    if hasattr(values, "columns") and hasattr(values, "to_numpy"):
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
