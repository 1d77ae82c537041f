"""A file of any kind, opened to be read in blocks."""

from __future__ import annotations

from pathlib import Path

from brenier.datasets import (
    UNTOLD,
    GivenDialect,
    find_layout,
    pandas_for,
    read_intact,
)
from brenier.transport.maps.bulk.arrow_blocks import ArrowBlocks, ParquetBlocks
from brenier.transport.maps.bulk.blocks import BlockFile
from brenier.transport.maps.bulk.plain_blocks import ArrayBlocks, CsvBlocks
from brenier.transport.maps.bulk.sources import checked_kind


def open_blocks(path: Path, dialect: GivenDialect = UNTOLD) -> BlockFile:
    """Return a file, opened by its kind.

    Raises:
        DataError: where it is damaged or of no known kind, and where pandas or pyarrow is missing.
    """
    kind = checked_kind(path)
    pandas_for(".parquet")  # raises where it or pyarrow is missing

    def opened(path: Path) -> BlockFile:
        if kind == ".parquet":
            return ParquetBlocks(path)
        if kind == ".csv":
            return CsvBlocks(path, find_layout(path, dialect))
        return ArrayBlocks(path) if kind == ".npy" else ArrowBlocks(path)

    def checked(path: Path) -> BlockFile:
        found = opened(path)
        _ = found.schema  # is read now
        return found

    return read_intact(path, checked, f"an intact {kind} file", kind)
