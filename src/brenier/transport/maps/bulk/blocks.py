"""Files read and written some rows at a time, so that memory stays bounded whatever their size.

In memory some rows are always an Arrow table: of a `.csv` file one of text, of an array one of d columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import pyarrow

Write: TypeAlias = Callable[["pyarrow.Table"], None]


@dataclasses.dataclass(frozen=True)
class BlockSettings:
    """How much is read and written at once.

    Attributes:
        rows: of a block at most: few enough for any memory, enough that their number does not matter.
        bytes: of a block at most, where rows have many columns.
        group_bytes: of the rows that are written together: many, as readers of parquet like them, and few enough that
            the several copies of them that writing takes do not matter.
        buffer: bytes of a column read from a parquet file at once.
        status_suffix: of the file of the status of an array's rows, which has no column for it; `numpy.load` reads it.
    """

    rows: int = 65_536
    bytes: int = 2**25
    group_bytes: int = 2**24
    buffer: int = 2**20
    status_suffix: str = ".status"


BLOCKS = BlockSettings()


class BlockFile(Protocol):
    """A file that is read in blocks, and the way to write another like it.

    Attributes:
        schema: of its columns.
        named: whether they have names.
        decimal: the decimal sign where all of them are text, as in .csv files, else None.
        rows: how many there are, or None where that is not known before they are read.
    """

    @property
    def schema(self) -> pyarrow.Schema:
        """The columns and their types."""
        ...

    @property
    def named(self) -> bool:
        """Whether columns have names."""
        ...

    @property
    def decimal(self) -> str | None:
        """The decimal sign where all columns are text, else None."""
        ...

    @property
    def rows(self) -> int | None:
        """How many rows there are, if that is known."""
        ...

    def blocks(self, size: int) -> Iterator[pyarrow.Table]:
        """Yield all rows in their order, `size` at a time, the last block fewer."""
        ...

    def writer(
        self, temporary: Path, target: Path, schema: pyarrow.Schema, status: bool
    ) -> AbstractContextManager[Write]:
        """Return what opens a file of this kind, and yields a function that adds rows to it.

        Args:
            temporary: where it is written.
            target: what it will be called.
            schema: of the rows.
            status: whether the last column says how each row ended.
        """
        ...


def block_rows(columns: int, batch: int) -> int:
    """Return how many rows a block has: a multiple of what a map works on at once, so that results do not depend on it.

    Args:
        columns: of the file.
        batch: rows that the map works on at once.
    """
    word = np.dtype(np.float64).itemsize
    most = min(BLOCKS.rows, BLOCKS.bytes // (word * max(1, columns)))
    return max(1, most // batch) * batch
