"""Parts of a scan in the formats of Apache Arrow: `.parquet` by row group, Arrow IPC and feather by record batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from brenier.datasets.reading import read_intact
from brenier.datasets.scans.parts import Field
from brenier.datasets.scans.settings import ScanSettings
from brenier.errors import DataError

if TYPE_CHECKING:
    import pyarrow

ArrowTable: TypeAlias = "pyarrow.Table"
SINGLE = ("float", "halffloat", "int8", "uint8", "int16", "uint16", "bool")


@dataclasses.dataclass(frozen=True)
class ArrowFile:
    """What all files of Arrow's share: how their columns become numbers.

    Attributes:
        path: the file.
        fields: its columns.
        runs: rows of each row group or record batch.
        batch_rows: rows that are decoded at once of a slice.
    """

    path: Path
    fields: tuple[Field, ...]
    runs: tuple[int, ...]
    batch_rows: int = ScanSettings.batch_rows
    named = True
    seekable = False

    @property
    def where(self) -> str:
        """The path."""
        return str(self.path)

    def table(
        self, run: int, first: int, last: int, columns: Sequence[str]
    ) -> ArrowTable:
        """Return columns of rows first to last of a run."""
        raise NotImplementedError

    def numbers(
        self, run: int, first: int, last: int, columns: Sequence[str]
    ) -> NDArray[np.generic]:
        """Return some columns of rows first to last of a run, as numbers: (last - first, k)."""
        table = self._intact(run, first, last, columns)
        kinds = {field.name: field for field in self.fields}
        single = all(kinds[name].single for name in columns)
        dtype = np.float32 if single else np.float64
        found = np.empty((last - first, len(columns)), dtype=dtype)
        for place, name in enumerate(columns):
            column = table.column(name)
            self._check_full(column, name, run, first)
            if not kinds[name].dtype.startswith(("float", "double", "int", "uint")):
                column = column.cast("float64")  # decimals and booleans
            found[:, place] = column.to_numpy()
        del table, column
        _give_back_memory()
        return found

    def cells(self, run: int, first: int, last: int, column: str) -> list[Hashable]:
        """Return what is in a column of these rows."""
        found = self._intact(run, first, last, [column]).column(column)
        self._check_full(found, column, run, first)
        cells: list[Hashable] = found.to_pylist()
        return cells

    def _intact(
        self, run: int, first: int, last: int, columns: Sequence[str]
    ) -> ArrowTable:
        """Return columns of some rows, or say that the file is damaged."""
        return read_intact(
            self.path,
            lambda _: self.table(run, first, last, columns),
            kind=f"an intact {self.path.suffix} file",
        )

    def _check_full(
        self, column: pyarrow.ChunkedArray, name: str, run: int, first: int
    ) -> None:
        """Raise where a value of a column is missing."""
        if not column.null_count:
            return
        import pyarrow

        row = column.is_null().index(pyarrow.scalar(True)).as_py()
        number = sum(self.runs[:run]) + first + row
        raise DataError(
            f"{self.path}: column {name!r} has {column.null_count} missing values (null) in the {len(column):,} rows "
            f"read, the first in row {number} (counted from 0); remove or impute those rows"
        )


class ParquetPart(ArrowFile):
    """A `.parquet` file."""

    def table(
        self, run: int, first: int, last: int, columns: Sequence[str]
    ) -> ArrowTable:
        """Return columns of rows first to last of a row group; those behind are not decoded."""
        import pyarrow
        from pyarrow import parquet

        with parquet.ParquetFile(self.path) as file:
            if last - first == self.runs[run]:
                return file.read_row_group(run, columns=list(columns))
            batches, at = [], 0
            for batch in file.iter_batches(
                self.batch_rows, row_groups=[run], columns=list(columns)
            ):
                low, high = max(first, at), min(last, at + len(batch))
                if low < high:
                    batches.append(batch.slice(low - at, high - low))
                at += len(batch)
                if at >= last:
                    break
            return pyarrow.Table.from_batches(batches)


class IpcPart(ArrowFile):
    """An Arrow IPC file, or a feather file of the second version, which is the same."""

    def table(
        self, run: int, first: int, last: int, columns: Sequence[str]
    ) -> ArrowTable:
        """Return columns of rows first to last of a record batch."""
        import pyarrow

        names = [field.name for field in self.fields]
        options = pyarrow.ipc.IpcReadOptions(
            included_fields=[names.index(name) for name in columns]
        )
        with (
            pyarrow.memory_map(str(self.path)) as file,
            pyarrow.ipc.open_file(file, options=options) as reader,
        ):
            batch = reader.get_batch(run).slice(first, last - first)
            return pyarrow.Table.from_batches([batch])


def parquet_part(path: Path) -> ParquetPart:
    """Return the part of a scan that a `.parquet` file is.

    Raises:
        DataError: for a damaged file, or two columns of one name.
    """
    check_arrow()
    from pyarrow import parquet

    def read(path: Path) -> ParquetPart:
        with parquet.ParquetFile(path) as file:
            known = file.metadata
            groups = range(known.num_row_groups)
            rows = tuple(known.row_group(group).num_rows for group in groups)
            return ParquetPart(path, _schema_fields(file.schema_arrow, path), rows)

    return read_intact(path, read, kind="an intact .parquet file")


def ipc_part(path: Path) -> IpcPart:
    """Return the part of a scan that an Arrow IPC or feather file is.

    Raises:
        DataError: for a damaged file, one of Arrow's stream format, or two columns of one name.
    """
    check_arrow()
    import pyarrow

    def read(path: Path) -> IpcPart:
        options = pyarrow.ipc.IpcReadOptions(included_fields=[0])  # sizes alone
        with (
            pyarrow.memory_map(str(path)) as file,
            pyarrow.ipc.open_file(file) as whole,
            pyarrow.ipc.open_file(file, options=options) as reader,
        ):
            batches = range(reader.num_record_batches)
            rows = tuple(reader.get_batch(batch).num_rows for batch in batches)
            return IpcPart(path, _schema_fields(whole.schema, path), rows)

    remedy = "an intact file in Arrow's file format, not its stream format"
    return read_intact(path, read, remedy, "an Arrow IPC or feather file")


def _give_back_memory() -> None:
    """Have Arrow return what it has freed, which it would keep for later."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()


def check_arrow() -> None:
    """Raise where pyarrow is missing."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise DataError(
            f"parquet, Arrow and feather files need {error.name}, which is missing; install it with "
            'pip install "brenier[files]"'
        ) from error


def _schema_fields(schema: pyarrow.Schema, path: Path) -> tuple[Field, ...]:
    """Return the columns of a schema."""
    from pyarrow import types

    names = list(schema.names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}: has several columns called {twice[0]!r}; give each a name of its own"
        )
    kinds = (
        types.is_integer,
        types.is_floating,
        types.is_boolean,
        types.is_decimal,
    )
    return tuple(
        Field(
            field.name,
            str(field.type),
            any(is_kind(field.type) for is_kind in kinds),
            str(field.type) in SINGLE,
        )
        for field in schema
    )
