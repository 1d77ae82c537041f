"""One file through a map: read in blocks, moved, and written whole or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from brenier.atomic import replacing
from brenier.datasets import UNTOLD, GivenDialect
from brenier.errors import DataError
from brenier.transport.maps.bulk.blocks import BlockFile, block_rows
from brenier.transport.maps.bulk.columns import TableColumns, columns_of_file
from brenier.transport.maps.bulk.model import PackedModel
from brenier.transport.maps.bulk.moving import (
    MovedBlock,
    RowBlock,
    move_block,
    rows_per_batch,
)
from brenier.transport.maps.bulk.opening import open_blocks
from brenier.transport.maps.bulk.orders import (
    STATUS_NAMES,
    BulkMap,
    BulkOrders,
    RowStatus,
)
from brenier.transport.maps.bulk.sources import SourceFile

if TYPE_CHECKING:
    import pyarrow

# Blocks of a file, each with its rows, and the same with the rows moved, in the same order.
Pending: TypeAlias = "Iterator[tuple[pyarrow.Table, RowBlock]]"
Done: TypeAlias = "Iterator[tuple[pyarrow.Table, MovedBlock]]"
Through: TypeAlias = Callable[[Pending], Done]


@dataclasses.dataclass(frozen=True)
class BulkJob:
    """What every worker of a run knows.

    Attributes:
        model: the map.
        orders: what is done with rows.
        dialect: what the user says of how .csv files are written.
    """

    model: PackedModel
    orders: BulkOrders
    dialect: GivenDialect = UNTOLD

    def move(self, block: RowBlock) -> MovedBlock:
        """Return some rows moved."""
        return move_block(self.model.map(), self.orders, block)

    def columns(self, path: Path, opened: BlockFile) -> TableColumns:
        """Return which columns of a file are what, checked."""
        return columns_of_file(
            path,
            opened.schema,
            self.model.map(),
            self.orders,
            self.model.features,
            named=opened.named,
            decimal=opened.decimal,
        )

    def here(self, pending: Pending) -> Done:
        """Move blocks in this process."""
        for table, block in pending:
            yield table, self.move(block)


@dataclasses.dataclass(frozen=True)
class FileCounts:
    """What became of the rows of a file, or of many.

    Attributes:
        rows: that were read.
        converged, unconverged, invalid, unknown: how many ended so, see `RowStatus`.
    """

    rows: int = 0
    converged: int = 0
    unconverged: int = 0
    invalid: int = 0
    unknown: int = 0

    def plus(self, other: FileCounts) -> FileCounts:
        """Return those of both."""
        mine, others = dataclasses.astuple(self), dataclasses.astuple(other)
        return FileCounts(*map(sum, zip(mine, others, strict=True)))


def move_file(
    job: BulkJob,
    source: SourceFile,
    target: Path,
    through: Through | None = None,
    tell: Callable[[int], object] | None = None,
) -> FileCounts:
    """Move the rows of a file and write them to another of the same kind; return what became of them.

    Args:
        job: what is done.
        source: the file.
        target: where to, in a folder that exists.
        through: what moves its blocks; by default this process does.
        tell: is told how many rows have been moved since it was last.

    Raises:
        DataError: for a file that is damaged, or rows that are not to be left as they are.
        OSError: where it cannot be written; it names the target.
    """
    opened = open_blocks(source.path, job.dialect)
    columns = job.columns(source.path, opened)
    transport = job.model.map()
    size = block_rows(len(columns.schema), rows_per_batch(transport))
    pending = _pending(opened, columns, transport, size)
    counts, has_status = FileCounts(), job.orders.status is not None
    with (
        replacing(target) as temporary,
        opened.writer(temporary, target, columns.written(), has_status) as write,
    ):
        for table, moved in (through or job.here)(pending):
            _check_rows(job.orders, source.path, moved, counts.rows)
            counts = counts.plus(_counted(moved))
            write(_block_written(job.orders, columns, table, moved))
            if tell is not None:
                tell(table.num_rows)
    return counts


def _pending(
    opened: BlockFile, columns: TableColumns, transport: BulkMap, size: int
) -> Pending:
    """Yield the blocks of a file; one that cannot be read is told by the file."""
    try:
        for table in opened.blocks(size):
            yield table, columns.block(table, transport)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # damaged files raise errors of many kinds
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"{columns.path}: cannot be read to its end ({error}); give an intact file"
        ) from error


def _block_written(
    orders: BulkOrders, columns: TableColumns, table: pyarrow.Table, moved: MovedBlock
) -> pyarrow.Table:
    """Return what is written of a block."""
    if orders.unknown_labels == "drop" and (moved.status == RowStatus.UNKNOWN).any():
        table, moved = columns.without_unknown(table, moved)
    return columns.rebuilt(table, moved)


def _counted(moved: MovedBlock) -> FileCounts:
    """Return what became of the rows of a block."""
    found = np.bincount(moved.status, minlength=len(STATUS_NAMES)).tolist()
    return FileCounts(len(moved.status), *found)


def _check_rows(orders: BulkOrders, path: Path, moved: MovedBlock, first: int) -> None:
    """Raise where there are rows that are not to be left as they are."""
    for status, refused, fault, remedy in (
        (
            RowStatus.INVALID,
            orders.invalid == "error",
            "hold NaN, inf or nothing, or lie beyond the precision of the network",
            "remove or impute them, or leave them empty with invalid='null'",
        ),
        (
            RowStatus.UNKNOWN,
            orders.unknown_labels == "error",
            "are of a class that the model does not know, or of none",
            "copy such rows unmoved with unknown_labels='keep', or leave them out with 'drop'",
        ),
    ):
        rows = np.flatnonzero(moved.status == status)
        if refused and len(rows):
            raise DataError(
                f"{path}: {len(rows)} of {len(moved.status)} rows read {fault}, the first is row {first + rows[0]} "
                f"(counted from 0); {remedy}"
            )
