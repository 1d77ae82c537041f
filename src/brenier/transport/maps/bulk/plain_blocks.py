"""Text tables and arrays, read and written in blocks."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from brenier.atomic import replacing
from brenier.datasets import CsvLayout, csv_chunks, open_binary
from brenier.errors import DataError
from brenier.transport.maps.bulk.blocks import BLOCKS, Write

if TYPE_CHECKING:
    import pyarrow


@dataclasses.dataclass(frozen=True)
class CsvBlocks:
    """A `.csv` file, compressed or not; other columns stay letter by letter as they are."""

    path: Path
    layout: CsvLayout
    rows: int | None = None

    @property
    def decimal(self) -> str:
        """The sign before a fraction."""
        return self.layout.dialect.decimal

    @property
    def named(self) -> bool:
        """Whether the file has a header."""
        return self.layout.names is not None

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns, all of them text."""
        import pyarrow

        names = self.layout.names or tuple(map(str, range(self.layout.width)))
        return pyarrow.schema([(name, pyarrow.string()) for name in names])

    def blocks(self, size: int) -> Iterator[pyarrow.Table]:
        """Yield all rows in their order as text, `size` at a time."""
        import pyarrow

        for frame in csv_chunks(self.path, self.layout, size):
            columns = [pyarrow.array(frame[place], pyarrow.string()) for place in frame]
            yield pyarrow.Table.from_arrays(columns, schema=self.schema)

    @contextlib.contextmanager
    def writer(
        self, temporary: Path, target: Path, schema: pyarrow.Schema, status: bool
    ) -> Iterator[Write]:
        """Yield what adds rows to a file in the dialect of this one, with a header where this one has it."""
        dialect = self.layout.dialect
        options = {"index": False, "sep": dialect.delimiter, "decimal": dialect.decimal}
        numbers = list(map(str, range(len(schema))))
        names = list(schema.names) if self.named else False
        with open_binary(temporary, "wb", target) as stream:
            text = io.TextIOWrapper(stream, encoding=dialect.encoding, newline="")
            schema.empty_table().to_pandas().to_csv(text, header=names, **options)
            yield (
                lambda table: (
                    table.rename_columns(numbers)
                    .to_pandas()
                    .to_csv(text, header=False, **options)
                )
            )
            text.flush()
            text.detach()


@dataclasses.dataclass(frozen=True)
class ArrayBlocks:
    """A `.npy` file of an array (n, d)."""

    path: Path
    named: bool = False
    decimal: None = None

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self._array())

    @property
    def schema(self) -> pyarrow.Schema:
        """The d columns."""
        import pyarrow

        array = self._array()
        if array.ndim != 2 or array.dtype.kind not in "biuf":
            raise DataError(
                f"{self.path}: holds {array.dtype} of shape {array.shape}; give (n, d) real numbers, rows are samples"
            )
        kind = pyarrow.from_numpy_dtype(array.dtype.newbyteorder("="))
        return pyarrow.schema([(str(k), kind) for k in range(array.shape[1])])

    def blocks(self, size: int) -> Iterator[pyarrow.Table]:
        """Yield all rows in their order, `size` at a time."""
        import pyarrow

        array, schema = self._array(), self.schema
        for first in range(0, len(array), size):
            rows = np.array(array[first : first + size], array.dtype.newbyteorder("="))
            columns = [pyarrow.array(column) for column in np.ascontiguousarray(rows.T)]
            yield pyarrow.Table.from_arrays(columns, schema=schema)

    @contextlib.contextmanager
    def writer(
        self, temporary: Path, target: Path, schema: pyarrow.Schema, status: bool
    ) -> Iterator[Write]:
        """Yield what adds rows to an array, and beside it, in a file of its own, the status of each."""
        d, n = len(self.schema), self.rows
        kind = np.dtype(schema.field(0).type.to_pandas_dtype())
        with contextlib.ExitStack() as stack:
            moved = stack.enter_context(temporary.open("wb"))
            _write_header(moved, kind, (n, d))
            if status:
                beside = target.with_name(target.name + BLOCKS.status_suffix)
                path = stack.enter_context(replacing(beside))
                codes = stack.enter_context(path.open("wb"))
                _write_header(codes, np.dtype(np.int8), (n,))

            def write(table: pyarrow.Table) -> None:
                columns = [table.column(k).to_numpy() for k in range(d)]
                moved.write(np.column_stack(columns).astype(kind).tobytes())
                if status:
                    column = table.column(d).combine_chunks()
                    codes.write(column.indices.to_numpy().tobytes())

            yield write

    def _array(self) -> np.ndarray:
        """Return the array, read where it is used."""
        array: np.ndarray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return array


def _write_header(stream: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Write what stands in a `.npy` file in front of its values."""
    descr = np.lib.format.dtype_to_descr(dtype)
    told = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(stream, told)
