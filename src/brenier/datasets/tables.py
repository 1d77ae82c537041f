"""Tables on disk, `.csv` and `.parquet`, read and written by pandas, which is optional.

A `.csv` file may lack a header: a first row of numbers is a sample, unless it is 0, 1, 2, ... as pandas calls columns
without names. A first column without a name is an index, and not read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from brenier.datasets.containers import Frame
from brenier.datasets.reading import read_intact
from brenier.errors import DataError


def read_frame(path: Path) -> tuple[Any, bool]:
    """Return the frame of a `.csv` or `.parquet` file, its columns named by strings, and whether the file names them.

    Raises:
        DataError: for a damaged file, and where pandas or pyarrow is missing.
    """
    kind = path.suffix.lower()
    pandas = _pandas(kind)

    def read(path: Path) -> tuple[Any, bool]:
        if kind == ".parquet":
            return pandas.read_parquet(path, engine="pyarrow"), True
        return _read_csv(pandas, path)

    remedy = f"an intact {kind} file of plain numbers"
    frame, named = read_intact(path, read, remedy, kind)
    frame.columns = [str(name) for name in frame.columns]
    return frame, named


def read_numeric_columns(
    path: Path, columns: Sequence[str] | None
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Return the numbers in a table (n, d), and the names of its columns if it has any.

    Args:
        path: a `.csv` or `.parquet` file.
        columns: which columns, in which order; None for all that are numeric.

    Raises:
        DataError: for a damaged file, for columns that are not there or not numeric, and where pandas is missing.
    """
    frame, named = read_frame(path)
    is_numeric = _pandas(path.suffix.lower()).api.types.is_numeric_dtype
    numeric = [name for name in frame.columns if is_numeric(frame[name])]
    if columns is None and not numeric:
        raise DataError(
            f"{path}: none of its columns is numeric ({_column_names(frame)}); encode them as numbers"
        )
    chosen = numeric if columns is None else columns
    chosen = [chosen] if isinstance(chosen, str) else list(chosen)
    for name in chosen:
        if name not in frame.columns:
            raise DataError(
                f"columns: there is no {name!r} in {path}, which has {_column_names(frame)}; name some of these"
            )
        if name not in numeric:
            raise DataError(
                f"columns: {name!r} in {path} holds {frame[name].dtype}; encode it as numbers"
            )
    part = frame[chosen]
    single = all(str(dtype).lower() in ("float32", "float16") for dtype in part.dtypes)
    values = part.to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)
    return values, tuple(chosen) if named else None


def table_writer(
    kind: str, values: np.ndarray, names: list[str]
) -> Callable[[BinaryIO], object]:
    """Return what writes values (n, d) as a table of this kind to an open file.

    Raises:
        DataError: where pandas or pyarrow is missing.
    """
    frame = _pandas(kind).DataFrame(values, columns=names)
    if kind == ".csv":
        return lambda stream: frame.to_csv(stream, index=False)
    return lambda stream: frame.to_parquet(stream, engine="pyarrow", index=False)


def _read_csv(pandas: ModuleType, path: Path) -> tuple[Any, bool]:
    """Return the frame of a `.csv` file, and whether it has a header."""
    first = pandas.read_csv(path, header=None, nrows=1)
    numbers = all(map(pandas.api.types.is_numeric_dtype, first.dtypes))
    # Columns without names are called 0, 1, 2, ... by pandas, and an index before them has no name.
    labels = first.iloc[0].dropna().tolist()
    counted = labels == list(range(len(labels)))
    named = not numbers or (counted and bool(first.iloc[0, 1:].notna().all()))
    header = 0 if named else None
    frame = pandas.read_csv(path, header=header, low_memory=False)
    if not frame.index.equals(pandas.RangeIndex(len(frame))):
        raise ValueError("rows have more fields than the header")
    if str(frame.columns[0]) == "Unnamed: 0":
        frame = frame.iloc[:, 1:]
    return frame, named


def _column_names(frame: Frame, most: int = 30) -> str:
    """Return the column names of a frame as messages show them, the first few of very many."""
    names = list(frame.columns)
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _pandas(kind: str) -> ModuleType:
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
