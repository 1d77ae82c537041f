"""From any container to a dense tensor of real numbers; what is none is named by its column, row and value."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.datasets.cells import shown
from brenier.datasets.foreign import check_container, is_sparse
from brenier.errors import DataError

# What is never taken for a number, although some of it could be turned into one.
NO_NUMBERS = (
    str,
    bytes,
    complex,
    datetime.date,  # and datetime.datetime
    datetime.time,
    datetime.timedelta,
    np.datetime64,
    np.timedelta64,
)


@dataclasses.dataclass(frozen=True)
class Wording:
    """What messages say of entries that are no numbers.

    Attributes:
        fault: what is wrong; "{}" stands for the type of the entries.
        remedy: what to do.
    """

    fault: str = "has entries of type {} that are not numbers"
    remedy: str = "encode or drop text, dates, objects and missing values first"


FEATURES = Wording()
COVARIATES = Wording(
    "are not numbers",
    "give an array (n, p) of numbers (for dates say hours since the first), or labels instead",
)


def names_of(values: object) -> list[Any] | None:
    """Return the names of the columns of a frame, of pandas, polars, pyarrow and their like; else None."""
    if hasattr(values, "column_names") and hasattr(values, "column"):  # pyarrow
        return list(values.column_names)
    if hasattr(values, "to_numpy") and hasattr(values, "columns"):
        return list(values.columns)
    return None


def columns_of(values: Any) -> list[tuple[Any, Any]] | None:
    """Return the columns of a frame with their names, else None."""
    names = names_of(values)
    if names is None:
        return None
    if hasattr(values, "column_names"):
        return [(name, values.column(k)) for k, name in enumerate(names)]
    if hasattr(values, "iloc"):
        return [(name, values.iloc[:, k]) for k, name in enumerate(names)]
    return [(name, values[name]) for name in names]


def dense(values: object, name: str, wording: Wording = FEATURES) -> Tensor | np.memmap:
    """Return values as a dense real tensor, or as the memory-mapped array they are.

    Args:
        values: what a user gave.
        name: the argument's name.
        wording: of what messages say.

    Raises:
        DataError: for what is no array of real numbers, of any shape.
    """
    if values is None:
        raise DataError(
            f"{name}: Expected array-like (array or non-string sequence), got None; give an (n, d) array",
            argument=name,
        )
    if isinstance(values, Tensor):
        return _dense_tensor(values, name)
    if is_sparse(values):
        raise DataError(
            f"{name}: Sparse data was passed; give a dense array, for example {name}.toarray()",
            argument=name,
        )
    check_container(values, name)
    array = _array(values, name, wording)
    if np.ma.is_masked(array):
        raise DataError(
            f"{name}: has masked entries; remove or impute those rows, for example with filled()",
            argument=name,
        )
    if isinstance(array, np.memmap) and array.dtype.kind in "fiub":
        return array
    return _tensor(_real_array(np.asarray(array), values, name, wording))


def _dense_tensor(values: Tensor, name: str) -> Tensor:
    """Return a tensor that is dense and real, on a device that knows float64."""
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
    if values.device.type != "cpu":
        _check_double(values.device, name)
    return values.detach()


def _check_double(device: torch.device, name: str) -> None:
    """Raise where a device has no float64, in which moments and coordinates are computed."""
    try:
        torch.empty(0, dtype=torch.float64, device=device)
    except TypeError as error:
        raise DataError(
            f"{name}: lies on {device}, which has no float64 to compute moments in; give {name}.cpu()",
            argument=name,
        ) from error


def _array(values: object, name: str, wording: Wording) -> Any:
    """Return an array of whatever type."""
    to_numpy = getattr(values, "to_numpy", None)
    try:
        return np.asanyarray(values) if to_numpy is None else to_numpy()
    except Exception as error:  # containers raise errors of many kinds
        where = _first_odd(values, None)
        if where:
            raise _not_numbers(name, wording, "object", where) from error
        raise DataError(
            f"{name}: is not a table of numbers ({error}); give an (n, d) array",
            argument=name,
        ) from error


def _real_array(
    array: np.ndarray, values: object, name: str, wording: Wording
) -> np.ndarray:
    """Return an array, made of values, as real numbers."""
    # polars turns dates beside numbers into numbers.
    mixed = names_of(values) is not None and not hasattr(values, "iloc")
    where = (
        "" if array.dtype.kind in "fiub" and not mixed else _first_odd(values, array)
    )
    if array.dtype.kind in "fiub" and not where:
        return array
    if array.dtype.kind == "c" or (where and "complex" in where):
        place = f" ({where})" if where else ""
        raise DataError(
            f"{name}: Complex data not supported{place}; give real features",
            argument=name,
        )
    if array.dtype == object and not where:
        try:
            return array.astype(np.float64)
        except (ValueError, TypeError, OverflowError) as error:
            where = str(error)
    raise _not_numbers(name, wording, array.dtype, where)


def _not_numbers(name: str, wording: Wording, dtype: object, where: str) -> DataError:
    """Return the error that entries are no numbers."""
    return DataError(
        f"{name}: {wording.fault.format(dtype)} ({where}); {wording.remedy}",
        argument=name,
    )


def _first_odd(values: object, array: np.ndarray | None) -> str:
    """Return where the first entry is that is no number, and what it is; nothing where all are."""
    columns = columns_of(values)
    if columns is None:
        return "" if array is None else _first_odd_of_array(values, array)
    for name, column in columns:
        entries = _entries(column)
        found = next(_odd(entries, whole=True), None)
        if found is not None:
            return f"column {name!r}, row {found}: {_described(entries[found])}"
    return ""


def _entries(column: Any) -> np.ndarray:
    """Return the entries of a column, as objects unless all of them are numbers."""
    try:
        entries = np.asarray(column.to_numpy())
    except (ValueError, TypeError):  # pyarrow, of what is no plain number
        return np.asarray(column, dtype=object)
    gaps = hasattr(column, "isna") and bool(column.isna().any())
    if entries.dtype.kind in "fiub" and not (gaps and _is_nullable(column)):
        return entries
    try:
        return np.asarray(column, dtype=object)
    except (ValueError, TypeError):
        return entries


def _is_nullable(column: Any) -> bool:
    """Say whether a column has a mark for missing values other than NaN."""
    return not isinstance(column.dtype, np.dtype)


def _first_odd_of_array(values: object, array: np.ndarray) -> str:
    """Return where the first entry of an array is that is no number, and what it is; nothing where all are."""
    flat = array.ravel()
    found = next(_odd(flat, whole=True), None)
    if found is None:
        return ""
    what = _described(flat[found])
    if array.ndim == 0:
        return what
    place = np.unravel_index(found, array.shape)
    row = f"row {int(place[0])}"
    name = getattr(values, "name", None)  # of a series
    if array.ndim == 1 and isinstance(name, str) and name:
        row = f"column {name!r}, {row}"
    column = f", column {int(place[1])}" if array.ndim > 1 else ""
    return f"{row}{column}: {what}"


def _odd(entries: np.ndarray, whole: bool) -> Iterator[int]:
    """Yield the numbers of entries that are no numbers; of objects that are all true or false, every one."""
    if entries.dtype.kind in "fiub":
        return
    objects = entries.dtype == object
    flags = objects and whole and _all_flags(entries)
    for row, entry in enumerate(entries):
        if not objects or flags or not _is_plain_number(entry):
            yield row


def _all_flags(entries: np.ndarray) -> bool:
    """Say whether all objects are true or false, or missing, and some are there."""
    present = [entry for entry in entries if entry is not None]
    return bool(present) and all(isinstance(e, bool | np.bool_) for e in present)


def _is_plain_number(entry: object) -> bool:
    """Say whether an object is a number, or None, which becomes NaN."""
    if entry is None:
        return True
    if isinstance(entry, NO_NUMBERS):
        return False
    try:
        float(entry)  # type: ignore[arg-type]
    except (ValueError, TypeError, OverflowError):
        return False
    return True


def _described(entry: object) -> str:
    """Return an entry as messages show it, with its type."""
    if isinstance(entry, np.str_ | np.bytes_):
        entry = entry.item()
    what = str(entry) if isinstance(entry, np.datetime64) else shown(entry)
    return f"{what} is a {type(entry).__name__}"


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
