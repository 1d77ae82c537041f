"""Samples on disk: `.npy` and `.npz` arrays, `.csv` and `.parquet` tables; rows are samples.

Reading never runs code from a file: arrays of Python objects are refused. Writing is atomic: a file is complete or it
is not there. Tables carry column names, arrays do not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from brenier.atomic import replacing
from brenier.errors import DataError

ARRAYS, TABLES = (".npy", ".npz"), (".csv", ".parquet")


@dataclasses.dataclass(frozen=True)
class Samples:
    """What a file holds.

    Attributes:
        values: (n, d), an array, or a read-only memory map that is read where it is used.
        columns: names of the d features, or None.
        path: the file.
    """

    values: NDArray[Any]
    columns: tuple[str, ...] | None
    path: Path


def read_samples(
    path: str | Path,
    columns: Sequence[str] | None = None,
    key: str | None = None,
    mmap: bool = True,
) -> Samples:
    """Return the samples in a file.

    Args:
        path: a `.npy`, `.npz`, `.csv` or `.parquet` file. A `.csv` file may lack a header; a first row of numbers is
            a sample, unless it is 0, 1, 2, ...; a first column without a name is an index, and left out.
        columns: which columns of a table, in which order; None for all that are numeric.
        key: which array of a `.npz` file; None if it has one.
        mmap: leave a `.npy` file on disk and read rows when they are used.

    Raises:
        DataError: for a path, a kind of file or contents that cannot be used, and where pandas or pyarrow is missing.
    """
    path = Path(path)
    kind = _kind(path)
    if columns is not None and kind in ARRAYS:
        raise DataError(
            f"columns: were given, but {path} has no column names; leave them out, or give a table"
        )
    if key is not None and kind != ".npz":
        raise DataError(
            f"key: was given, but {path} holds one array or table; leave it out"
        )
    if not path.is_file():
        raise DataError(
            f"{path}: {'is a folder' if path.is_dir() else 'does not exist'}; give the path of a file"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty; give a file with samples")
    if kind in TABLES:
        values, names = _read_table(path, columns)
        return Samples(_checked(values, path), names, path)
    values = _reading(
        path, lambda: _read_npy(path, mmap) if kind == ".npy" else _read_npz(path, key)
    )
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
    kind = _kind(path)
    array = _checked(np.asarray(values), "values")
    names = (
        [f"x{i}" for i in range(array.shape[1])]
        if columns is None
        else [str(name) for name in columns]
    )
    if len(set(names)) != array.shape[1] or len(names) != array.shape[1]:
        raise DataError(
            f"columns: are {names} for {array.shape[1]} features; give each a name of its own"
        )
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the path of a file")
    if not path.parent.is_dir():
        raise DataError(
            f"{path}: the folder {path.parent} does not exist; create it first"
        )
    write = _writer(kind, array, names)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        write(stream)


def _kind(path: Path) -> str:
    """Return the suffix that says how to read a file."""
    kind = path.suffix.lower()
    if kind not in ARRAYS + TABLES:
        raise DataError(
            f"{path}: is of no known kind; give a file that ends in {', '.join(ARRAYS + TABLES)}"
        )
    return kind


def _checked(values: NDArray[Any], name: object) -> NDArray[Any]:
    """Return values in this machine's byte order, or raise a DataError unless they are (n, d) real numbers."""
    if values.dtype.kind not in "biuf":
        raise DataError(
            f"{name}: holds {values.dtype}, not real numbers; save them as float32 or float64"
        )
    if values.ndim != 2:
        hint = (
            "reshape to (-1, 1) if there is one feature"
            if values.ndim < 2
            else "flatten each sample"
        )
        raise DataError(
            f"{name}: has shape {values.shape}; give (n, d), rows are samples: {hint}"
        )
    if values.size == 0:
        raise DataError(
            f"{name}: has shape {values.shape}, no samples; give at least one row and one column"
        )
    return (
        values
        if values.dtype.isnative
        else values.astype(values.dtype.newbyteorder("="))
    )


def _read_npy(path: Path, mmap: bool) -> NDArray[Any]:
    """Return the array of a `.npy` file."""
    if mmap:
        return np.lib.format.open_memmap(path, mode="r")
    with path.open("rb") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _read_npz(path: Path, key: str | None) -> NDArray[Any]:
    """Return one array of a `.npz` file."""
    with path.open("rb") as stream:
        archive = np.load(stream, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("it is a .npy file")
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


def _reading(path: Path, read: Callable[[], Any]) -> Any:
    """Return read(), its errors told as a DataError."""
    try:
        return read()
    except DataError:
        raise
    except Exception as error:  # damaged files raise errors of many kinds
        kind, reason = path.suffix.lower(), str(error) or type(error).__name__
        raise DataError(
            f"{path}: cannot be read as {kind} ({reason}); give an intact {kind} file of plain numbers"
        ) from error


def read_frame(path: Path) -> tuple[Any, bool]:
    """Return the frame of a `.csv` or `.parquet` file, its columns named by strings, and whether the file names them.

    Raises:
        DataError: for a damaged file, and where pandas or pyarrow is missing.
    """
    pandas = _pandas(path.suffix.lower())
    if path.suffix.lower() == ".parquet":
        frame, named = (
            _reading(path, lambda: pandas.read_parquet(path, engine="pyarrow")),
            True,
        )
    else:
        frame, named = _reading(path, lambda: _read_csv(pandas, path))
    frame.columns = [str(name) for name in frame.columns]
    return frame, named


def _read_table(
    path: Path, columns: Sequence[str] | None
) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return the numbers in a table (n, d), and the names of its columns if it has any."""
    frame, named = read_frame(path)
    pandas = _pandas(path.suffix.lower())
    numeric = [
        name for name in frame.columns if pandas.api.types.is_numeric_dtype(frame[name])
    ]
    if columns is None and not numeric:
        raise DataError(
            f"{path}: none of its columns is numeric ({_listed(frame)}); encode them as numbers"
        )
    chosen = (
        numeric
        if columns is None
        else [columns]
        if isinstance(columns, str)
        else list(columns)
    )
    for name in chosen:
        if name not in frame.columns:
            raise DataError(
                f"columns: there is no {name!r} in {path}, which has {_listed(frame)}; name some of these"
            )
        if name not in numeric:
            raise DataError(
                f"columns: {name!r} in {path} holds {frame[name].dtype}; encode it as numbers"
            )
    part = frame[chosen]
    single = all(str(dtype).lower() in ("float32", "float16") for dtype in part.dtypes)
    values = part.to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)
    return values, tuple(chosen) if named else None


def _read_csv(pandas: Any, path: Path) -> tuple[Any, bool]:
    """Return the frame of a `.csv` file, and whether it has a header."""
    first = pandas.read_csv(path, header=None, nrows=1)
    numbers = all(map(pandas.api.types.is_numeric_dtype, first.dtypes))
    # Columns without names are called 0, 1, 2, ... by pandas, and an index before them has no name.
    labels = first.iloc[0].dropna().tolist()
    named = not numbers or (
        labels == list(range(len(labels))) and bool(first.iloc[0, 1:].notna().all())
    )
    header = 0 if named else None
    frame = pandas.read_csv(path, header=header, low_memory=False)
    if not frame.index.equals(pandas.RangeIndex(len(frame))):
        raise ValueError("rows have more fields than the header")
    return (
        frame.iloc[:, 1:] if str(frame.columns[0]) == "Unnamed: 0" else frame
    ), named


def _listed(frame: Any) -> str:
    """Return the column names of a frame, the first few of very many."""
    names = list(frame.columns)
    return ", ".join(names[:30]) + (
        f" and {len(names) - 30} more" if len(names) > 30 else ""
    )


def _writer(
    kind: str, values: NDArray[Any], names: list[str]
) -> Callable[[BinaryIO], object]:
    """Return what writes values to an open file."""
    if kind == ".npy":
        return lambda stream: np.save(stream, values, allow_pickle=False)
    if kind == ".npz":
        return lambda stream: np.savez(stream, values=values)
    frame = _pandas(kind).DataFrame(values, columns=names)
    if kind == ".csv":
        return lambda stream: frame.to_csv(stream, index=False)
    return lambda stream: frame.to_parquet(stream, engine="pyarrow", index=False)


def _pandas(kind: str) -> Any:
    """Return pandas, imported here because it is optional, as is what it needs for this kind of file."""
    try:
        import pandas

        if kind == ".parquet":
            import pyarrow  # noqa: F401
    except ImportError as error:
        raise DataError(
            f'{kind} files need {error.name}, which is missing; install it with pip install "brenier[files]"'
        ) from error
    return pandas
