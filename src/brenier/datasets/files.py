"""Samples on disk: `.npy` and `.npz` arrays, `.csv` and `.parquet` tables; rows are samples.

Reading never runs code from a file: arrays of Python objects are refused. Writing is atomic: a file is complete or it
is not there. Tables carry column names, arrays do not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brenier.atomic import replacing
from brenier.datasets.columns import choose_columns
from brenier.datasets.dialects import UNTOLD, CsvLayout, GivenDialect
from brenier.datasets.reading import open_npz, read_intact
from brenier.datasets.tables import open_table, table_writer
from brenier.datasets.text_files import kind_of, open_binary
from brenier.errors import DataError

ARRAYS, TABLES = (".npy", ".npz"), (".csv", ".parquet")


@dataclasses.dataclass(frozen=True)
class Samples:
    """What a file holds.

    Attributes:
        values: (n, d), an array, or a read-only memory map that is read where it is used.
        columns: names of the d features, or None.
        path: the file.
        left_out: the other columns of a table and why they are no features, where nobody named the features.
        layout: of a `.csv` file, else None.
        named: whether the features were named, by the user or a model.
    """

    values: NDArray[Any]
    columns: tuple[str, ...] | None
    path: Path
    left_out: tuple[tuple[str, str], ...] = ()
    layout: CsvLayout | None = None
    named: bool = False


def read_samples(
    path: str | Path,
    columns: Sequence[str] | None = None,
    key: str | None = None,
    mmap: bool = True,
    *,
    labels: str | None = None,
    weight: str | None = None,
    features: Sequence[str] | None = None,
    dialect: GivenDialect = UNTOLD,
) -> Samples:
    """Return the samples in a file.

    Args:
        path: a `.npy`, `.npz`, `.csv` (also `.csv.gz`, `.bz2`, `.xz`, `.zst`) or `.parquet` file. A `.csv` file may
            lack a header; a first row of numbers is a sample, unless it is 0, 1, 2, ...; a first column without a
            name is an index, and left out.
        columns: which columns of a table, in which order; None for all that are numeric.
        key: which array of a `.npz` file; None if it has one.
        mmap: leave a `.npy` file on disk and read rows when they are used.
        labels, weight: the columns that hold labels and weights, which are no features unless `columns` names them.
        features: those of a model, taken from a table with names where `columns` is None.
        dialect: what is known of how a `.csv` file is written; the rest is told from the file.

    Raises:
        DataError: for a path, a kind of file or contents that cannot be used, for a column that is numbers but for a
            few cells, and where pandas or pyarrow is missing.
    """
    path = Path(path)
    kind = file_kind(path)
    if columns is not None and kind in ARRAYS:
        raise DataError(
            f"columns: were given, but {path} has no column names; leave them out, or give a table"
        )
    if key is not None and kind != ".npz":
        raise DataError(
            f"key: was given, but {path} holds one array or table; leave it out"
        )
    check_file(path)
    if kind in TABLES:
        table = open_table(path, dialect)
        if weight is not None:
            table.place(weight, "weight")
        others = {labels: "the labels", weight: "the weights"}
        chosen = choose_columns(table, columns, others, features)
        names = table.names
        if names is not None:
            names = tuple(names[place] for place in chosen.places)
        values = _checked(table.numbers(chosen.places), path)
        return Samples(values, names, path, chosen.left_out, table.layout, chosen.named)
    read = (
        partial(_read_npy, mmap=mmap) if kind == ".npy" else partial(_read_npz, key=key)
    )
    values = read_intact(path, read, f"an intact {kind} file of plain numbers", kind)
    return Samples(_checked(values, path), None, path)


def write_samples(
    path: str | Path, values: ArrayLike, columns: Sequence[str] | None = None
) -> None:
    """Write samples to a file, whole or not at all; a file of that name is replaced.

    Args:
        path: ends in `.npy`, `.npz` (the array is called "values"), `.csv` or `.parquet`.
        values: (n, d).
        columns: d names, which only tables keep; None for x0, x1, ...

    Raises:
        DataError: for a path or values that cannot be used, and where pandas or pyarrow is missing.
    """
    path = Path(path)
    kind = file_kind(path)
    array = _checked(np.asarray(values), "values")
    d = array.shape[1]
    names = [f"x{i}" for i in range(d)]
    if columns is not None:
        names = [str(name) for name in columns]
    if len(set(names)) != d or len(names) != d:
        raise DataError(
            f"columns: are {names} for {d} features; give each a name of its own"
        )
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the path of a file")
    if not path.parent.is_dir():
        raise DataError(
            f"{path}: the folder {path.parent} does not exist; create it first"
        )
    write = (
        table_writer(kind, array, names)
        if kind in TABLES
        else _array_writer(kind, array)
    )
    with replacing(path) as temporary, open_binary(temporary, "wb", path) as stream:
        write(stream)


def check_file(path: Path) -> None:
    """Raise a DataError unless a path is that of a file that holds something."""
    if not path.is_file():
        raise DataError(
            f"{path}: {'is a folder' if path.is_dir() else 'does not exist'}; give the path of a file"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty; give a file with samples")


def file_kind(path: Path) -> str:
    """Return the suffix that says how to read a file, in lower case and without that of its compression.

    Raises:
        DataError: for a kind of file that cannot be read.
    """
    kind = kind_of(path)
    if kind not in ARRAYS + TABLES:
        raise DataError(
            f"{path}: is of no known kind; give a file that ends in {', '.join(ARRAYS + TABLES)}"
        )
    return kind


def _checked(values: np.ndarray, name: object) -> np.ndarray:
    """Return values in this machine's byte order, or raise a DataError unless they are (n, d) real numbers."""
    if values.dtype.kind not in "biuf":
        raise DataError(
            f"{name}: holds {values.dtype}, not real numbers; save them as float32 or float64"
        )
    if values.ndim != 2:
        hint = "flatten each sample"
        if values.ndim < 2:
            hint = "reshape to (-1, 1) if there is one feature"
        raise DataError(
            f"{name}: has shape {values.shape}; give (n, d), rows are samples: {hint}"
        )
    if values.size == 0:
        raise DataError(
            f"{name}: has shape {values.shape}, no samples; give at least one row and one column"
        )
    if values.dtype.isnative:
        return values
    return values.astype(values.dtype.newbyteorder("="))


def _read_npy(path: Path, mmap: bool) -> np.ndarray:
    """Return the array of a `.npy` file."""
    if mmap:
        return np.lib.format.open_memmap(path, mode="r")
    with path.open("rb") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _read_npz(path: Path, key: str | None) -> np.ndarray:
    """Return one array of a `.npz` file."""
    with open_npz(path) as archive:
        keys = ", ".join(archive.files) or "nothing"
        if key is None and len(archive.files) != 1:
            raise DataError(
                f"key: is not given, and {path} holds {keys}; name one array"
            )
        chosen = archive.files[0] if key is None else key
        if chosen not in archive.files:
            raise DataError(
                f"key: there is no array {key!r} in {path}, which holds {keys}; name one of these"
            )
        return archive[chosen]


def _array_writer(kind: str, values: np.ndarray) -> Callable[[IO[bytes]], object]:
    """Return what writes values as an array of this kind to an open file."""
    if kind == ".npy":
        return lambda stream: np.save(stream, values, allow_pickle=False)
    return lambda stream: np.savez(stream, values=values)
