"""Tables on disk, `.csv` and `.parquet`, read and written by pandas, which is optional.

A `.csv` file may lack a header, and may be of another dialect (see `dialects`). Names are kept as they are written; a
first column without a name is an index, and no feature.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np

from brenier.datasets.conditions import label_text
from brenier.datasets.dialects import UNTOLD, CsvLayout, GivenDialect, find_layout
from brenier.datasets.reading import read_intact
from brenier.datasets.text_files import kind_of, open_text
from brenier.errors import DataError

INDEX_NAMES = ("", "Unnamed: 0")  # of a first column that is a row index


@dataclasses.dataclass(frozen=True)
class TableFile:
    """A table as a file holds it.

    Attributes:
        path: the file.
        frame: a pandas frame whose columns are numbered from 0.
        names: of the columns, exactly as written, or None where the file has none.
        layout: of a `.csv` file, else None.
    """

    path: Path
    frame: Any
    names: tuple[str, ...] | None
    layout: CsvLayout | None = None

    @property
    def decimal(self) -> str:
        """The decimal sign of numbers that are text."""
        return "." if self.layout is None else self.layout.dialect.decimal

    @property
    def index(self) -> int | None:
        """The number of the column that is a row index, if there is one."""
        first = (self.names or ("x",))[0] if self.frame.shape[1] else "x"
        return 0 if first in INDEX_NAMES and self.frame.shape[1] > 1 else None

    def place(self, name: str, argument: str = "columns") -> int:
        """Return the number of a column.

        Raises:
            DataError: where there is none of that name, or more than one.
        """
        names = self.names or tuple(map(str, range(self.frame.shape[1])))
        if name not in names:
            known = listed_names([each for each in names if each])
            raise DataError(
                f"{argument}: there is no {name!r} in {self.path}, which has {known}; name some of these"
            )
        if names.count(name) > 1:
            raise DataError(
                f"{argument}: {self.path} has {names.count(name)} columns called {name!r}; rename them in its header, "
                "so that each name stands for one column"
            )
        return names.index(name)

    def where(self, row: int) -> str:
        """Return where a row (from 0) stands, in words: the line of a `.csv` file."""
        if self.layout is None:
            return f"row {row} (counted from 0)"
        return f"line {self.layout.line_of(self.path, row)}"

    def numbers(self, places: Sequence[int]) -> np.ndarray:
        """Return some columns, by their numbers, as numbers: (n, d), float32 where all of them are single."""
        part = self.frame.iloc[:, list(places)]
        names = [str(dtype).lower() for dtype in part.dtypes]
        single = all(name in ("float32", "float16") for name in names)
        dtype = np.float32 if single else np.float64
        values: np.ndarray = part.to_numpy(dtype=dtype, na_value=np.nan)
        return values


def open_table(path: Path, given: GivenDialect = UNTOLD) -> TableFile:
    """Return the table in a `.csv` (compressed or not) or `.parquet` file.

    Args:
        path: the file.
        given: what is known of the dialect of a `.csv` file.

    Raises:
        DataError: for a file that is damaged or no such table, and where pandas or pyarrow is missing.
    """
    kind = kind_of(path)
    pandas = pandas_for(kind)

    def read(path: Path) -> TableFile:
        if kind == ".parquet":
            return _read_parquet(pandas, path)
        layout = find_layout(path, given)
        return TableFile(
            path,
            _read_csv(pandas, path, layout, low_memory=False),
            layout.names,
            layout,
        )

    return read_intact(path, read, f"an intact {kind} file of plain numbers", kind)


def read_csv_rows(
    path: Path,
    layout: CsvLayout,
    as_text: bool = True,
    places: Sequence[int] | None = None,
) -> Any:
    """Return rows of a `.csv` file as a pandas frame whose columns are numbered.

    Args:
        path: the file.
        layout: of the file.
        as_text: whether every field stays letter by letter as it is; else numbers are read to the last digit.
        places: which columns; None for all.
    """
    options: dict[str, object] = {"float_precision": "round_trip", "low_memory": False}
    if as_text:
        options = {"dtype": str, "keep_default_na": False, "usecols": places}
    return _read_csv(pandas_for(".csv"), path, layout, **options)


def csv_chunks(path: Path, layout: CsvLayout, rows: int) -> Iterator[Any]:
    """Yield the rows of a `.csv` file, some at a time, as pandas frames of text with numbered columns.

    Args:
        path: the file.
        layout: of the file.
        rows: of each frame but the last.
    """
    options = {"dtype": str, "keep_default_na": False, "chunksize": rows}
    with _open_csv(pandas_for(".csv"), path, layout, **options) as chunks:
        yield from chunks


def label_column_of(
    path: Path, name: str, given: GivenDialect = UNTOLD
) -> list[str | None]:
    """Return the labels in a column of a table as text, exactly as written; None where a field is empty.

    Args:
        path: the file.
        name: of the column.
        given: what is known of the dialect of a `.csv` file.

    Raises:
        DataError: where there is no such column, or it holds what is no name.
    """
    table = open_table(path, given)
    if table.names is None:
        raise DataError(
            f"--labels: {path} has no header; name its columns in a first line"
        )
    if name not in table.names:
        known = listed_names(table.names)
        raise DataError(
            f"--labels: there is no column {name!r} in {path}, which has {known}"
        )
    place = table.place(name, "--labels")
    if table.layout is not None:
        texts = read_csv_rows(path, table.layout, places=[place])
        return [text or None for text in texts[place].tolist()]
    return [label_text(value) for value in table.frame[place].tolist()]


def table_writer(
    kind: str, values: np.ndarray, names: list[str]
) -> Callable[[IO[bytes]], object]:
    """Return what writes values (n, d) as a table of this kind to an open file.

    Raises:
        DataError: where pandas or pyarrow is missing.
    """
    frame = pandas_for(kind).DataFrame(values, columns=names)
    if kind == ".csv":
        return lambda stream: frame.to_csv(stream, index=False)
    return lambda stream: frame.to_parquet(stream, engine="pyarrow", index=False)


def listed_names(names: Sequence[str], most: int = 30) -> str:
    """Return column names as messages show them, the first few of very many."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _read_parquet(pandas: ModuleType, path: Path) -> TableFile:
    """Return the table in a `.parquet` file; numbers kept as exact decimals become floating."""
    from pyarrow import parquet

    names = parquet.read_schema(path).names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}: has several columns called {twice[0]!r}; give each a name of its own"
        )
    frame = pandas.read_parquet(path, engine="pyarrow")
    columns = tuple(map(str, frame.columns))
    frame.columns = range(len(columns))
    for place, dtype in frame.dtypes.items():
        if (
            dtype.kind == "O"
            and pandas.api.types.infer_dtype(frame[place]) == "decimal"
        ):
            frame[place] = frame[place].astype(np.float64)
    return TableFile(path, frame, columns)


def _read_csv(
    pandas: ModuleType, path: Path, layout: CsvLayout, **options: object
) -> Any:
    """Return the rows of a `.csv` file as a frame whose columns are numbered."""
    with _open_csv(pandas, path, layout, **options) as frame:
        return frame


@contextlib.contextmanager
def _open_csv(
    pandas: ModuleType, path: Path, layout: CsvLayout, **options: object
) -> Iterator[Any]:
    """Yield what pandas makes of the rows of a `.csv` file: a frame, or a reader of some rows at a time."""
    dialect = layout.dialect
    with open_text(path, dialect.encoding) as stream:
        for _ in range(layout.first_line):
            stream.readline()
        yield pandas.read_csv(
            stream,
            header=None,
            names=range(layout.width),
            sep=r"\s+" if dialect.delimiter == " " else dialect.delimiter,
            decimal=dialect.decimal,
            skipinitialspace=dialect.spaced,
            **options,
        )


def pandas_for(kind: str) -> ModuleType:
    """Return pandas, imported here because it is optional, as is what it needs for this kind of file.

    Raises:
        DataError: where one of them is missing.
    """
    try:
        import pandas

        if kind == ".parquet":
            import pyarrow  # noqa: F401
    except ImportError as error:
        raise DataError(
            f'{kind} files need {error.name}, which is missing; install it with pip install "brenier[files]"'
        ) from error
    return pandas
