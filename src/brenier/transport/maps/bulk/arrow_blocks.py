"""Parquet and Arrow files, read and written in blocks."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from brenier.transport.maps.bulk.blocks import BLOCKS, Write

if TYPE_CHECKING:
    import pyarrow


class Writer(Protocol):
    """What writes tables, and is to be closed."""

    def write_table(self, table: pyarrow.Table) -> None:
        """Write a table."""
        ...

    def close(self) -> None:
        """Write what belongs to the end of the file."""
        ...


@dataclasses.dataclass(frozen=True)
class ParquetBlocks:
    """A `.parquet` file."""

    path: Path
    named: bool = True
    decimal: None = None

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns and their types."""
        from pyarrow import parquet

        return parquet.read_schema(self.path)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        from pyarrow import parquet

        return int(parquet.read_metadata(self.path).num_rows)

    def blocks(self, size: int) -> Iterator[pyarrow.Table]:
        """Yield all rows in their order, `size` at a time; of a row group of any size only some are in memory."""
        from pyarrow import parquet

        reader = {"pre_buffer": False, "buffer_size": BLOCKS.buffer}
        with parquet.ParquetFile(self.path, **reader) as opened:
            batches = opened.iter_batches(size, use_threads=False)
            yield from _of_size(batches, self.schema, size)

    @contextlib.contextmanager
    def writer(
        self, temporary: Path, target: Path, schema: pyarrow.Schema, status: bool
    ) -> Iterator[Write]:
        """Yield what adds rows to a file compressed as this one; floating numbers, hardly ever alike, as they are."""
        from pyarrow import parquet, types

        many = [field.name for field in schema if not types.is_floating(field.type)]
        options = {"compression": self._compression(), "use_dictionary": many}
        with (
            _closed_after(
                parquet.ParquetWriter(temporary, schema, **options)
            ) as opened,
            _written_together(opened.write_table) as write,
        ):
            yield write

    def _compression(self) -> str:
        """Return the compression of the first column of the file."""
        from pyarrow import parquet

        told = parquet.read_metadata(self.path)
        if not told.num_row_groups or not told.num_columns:
            return "snappy"
        name = str(told.row_group(0).column(0).compression).lower()
        return {"uncompressed": "none"}.get(name, name)


@dataclasses.dataclass(frozen=True)
class ArrowBlocks:
    """An Arrow file, which version 2 of feather is too."""

    path: Path
    named: bool = True
    decimal: None = None
    rows: int | None = None

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns and their types."""
        from pyarrow import OSFile, ipc

        with OSFile(str(self.path)) as stream, ipc.open_file(stream) as opened:
            return opened.schema

    def blocks(self, size: int) -> Iterator[pyarrow.Table]:
        """Yield all rows in their order, `size` at a time; a whole batch of the file is in memory."""
        from pyarrow import OSFile, ipc

        with OSFile(str(self.path)) as stream, ipc.open_file(stream) as opened:
            batches = map(opened.get_batch, range(opened.num_record_batches))
            yield from _of_size(batches, self.schema, size)

    @contextlib.contextmanager
    def writer(
        self, temporary: Path, target: Path, schema: pyarrow.Schema, status: bool
    ) -> Iterator[Write]:
        """Yield what adds rows to a file, compressed where it is called .feather, as these usually are."""
        from pyarrow import OSFile, ipc

        packed = "lz4" if target.suffix.lower() == ".feather" else None
        options = ipc.IpcWriteOptions(compression=packed)
        with OSFile(str(temporary), "wb") as stream:
            writer = ipc.new_file(stream, schema, options=options)
            with _closed_after(writer) as opened:
                yield opened.write_table


def _of_size(
    batches: Iterator[pyarrow.RecordBatch], schema: pyarrow.Schema, size: int
) -> Iterator[pyarrow.Table]:
    """Yield the rows of batches of any sizes, `size` at a time."""
    import pyarrow

    waiting = schema.empty_table()
    for batch in batches:
        more = pyarrow.Table.from_batches([batch], schema=schema)
        waiting = pyarrow.concat_tables([waiting, more]) if waiting.num_rows else more
        while waiting.num_rows >= size:
            yield waiting.slice(0, size).combine_chunks()
            waiting = waiting.slice(size)
    if waiting.num_rows:
        yield waiting.combine_chunks()


@contextlib.contextmanager
def _closed_after(opened: Writer) -> Iterator[Writer]:
    """Yield what is open, and close it; what fails is told rather than that it cannot be closed then."""
    try:
        yield opened
    except BaseException:
        with contextlib.suppress(Exception):
            opened.close()
        raise
    opened.close()


@contextlib.contextmanager
def _written_together(write: Write) -> Iterator[Write]:
    """Yield what collects blocks, and writes many of them together."""
    import pyarrow

    waiting = list[pyarrow.Table]()

    def add(table: pyarrow.Table) -> None:
        waiting.append(table)
        if sum(each.nbytes for each in waiting) >= BLOCKS.group_bytes:
            flush()

    def flush() -> None:
        if waiting:
            write(pyarrow.concat_tables(waiting).combine_chunks())
            waiting.clear()

    yield add
    flush()
