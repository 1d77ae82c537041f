"""Tables of numbers and categories, read column by column: frames and arrays of any kind, missing values included.

A column holds numbers, or categories (text, true or false, pandas categories), or something else that is named. Numbers
are not copied where their container holds a column as one array.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from brenier.datasets.containers import Frame
from brenier.datasets.foreign import check_container, is_sparse
from brenier.datasets.mixed_columns import MixedColumn, read_column
from brenier.datasets.numeric import columns_of, dense
from brenier.errors import DataError


@dataclasses.dataclass(frozen=True)
class MixedTable:
    """A table of numbers and categories.

    Attributes:
        columns: in their order.
        rows: how many.
        argument: what the table is called in messages.
        named: whether the table gave names to its columns; else they are x0, x1, ...
    """

    columns: tuple[MixedColumn, ...]
    rows: int
    argument: str
    named: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> MixedColumn:
        """Return the column of a name."""
        return self.columns[self.names.index(name)]

    def take(self, rows: np.ndarray, argument: str | None = None) -> MixedTable:
        """Return some rows of the table, called by another name in messages where one is given."""
        return dataclasses.replace(
            self,
            columns=tuple(column.take(rows) for column in self.columns),
            rows=len(rows),
            argument=argument or self.argument,
        )

    def without(self, name: str) -> MixedTable:
        """Return the table without the column of a name."""
        rest = tuple(column for column in self.columns if column.name != name)
        return dataclasses.replace(self, columns=rest)


# What a user may give as a table of numbers and categories.
MixedTableLike: TypeAlias = (
    ArrayLike | Tensor | Frame | Sequence[Sequence[object]] | MixedTable
)


def read_mixed(
    values: MixedTableLike, argument: str, categories: Collection[str] = ()
) -> MixedTable:
    """Return the columns of a table.

    Args:
        values: a frame of pandas, polars or pyarrow, an array or tensor (n, d), or a sequence of rows.
        argument: what it is called in messages.
        categories: columns that hold categories even where these are written as numbers.

    Raises:
        DataError: for what is no table, for columns of one name, and for a column that would be numbers but for a few
            of its cells.
    """
    if isinstance(values, MixedTable):
        return values
    named, found = _named_columns(values, argument)
    _check_distinct_names([name for name, _ in found], argument)
    columns = tuple(
        read_column(name, column, argument, name in categories)
        for name, column in found
    )
    if not columns:
        raise DataError(
            f"{argument}: has no columns; give a table with one at least",
            argument=argument,
        )
    lengths = {len(column.values) for column in columns}
    if len(lengths) > 1:
        raise DataError(
            f"{argument}: has columns of {min(lengths)} to {max(lengths)} rows; give all the same",
            argument=argument,
        )
    return MixedTable(columns, lengths.pop(), argument, named)


def _named_columns(
    values: object, argument: str
) -> tuple[bool, list[tuple[str, object]]]:
    """Return whether a table names its columns, and the columns with their names."""
    if hasattr(values, "collect_schema") and hasattr(values, "collect"):  # polars, lazy
        values = values.collect()
    columns = columns_of(values)
    if columns is not None:
        return True, [(str(name), column) for name, column in columns]
    array = _table_array(values, argument)
    if array.ndim != 2:
        raise DataError(
            f"{argument}: has shape {array.shape}; give a table (n, d), one row per sample",
            argument=argument,
        )
    return False, [(f"x{k}", array[:, k]) for k in range(array.shape[1])]


def _table_array(values: object, argument: str) -> np.ndarray:
    """Return what is no frame as an array, of objects where it is none of one type."""
    if isinstance(values, Tensor) or values is None or is_sparse(values):
        found = dense(values, argument)
        return found.numpy(force=True) if isinstance(found, Tensor) else found
    check_container(values, argument)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        objects = np.ma.getdata(values).astype(object)
        objects[np.ma.getmaskarray(values)] = None
        return objects
    if isinstance(values, np.ndarray):
        return np.asarray(values)
    try:
        if isinstance(values, list | tuple):
            return np.array(values, dtype=object)
        return np.asarray(values)
    except Exception as error:  # containers raise errors of many kinds
        raise DataError(
            f"{argument}: is no table ({error}); give rows of equal length, or a frame",
            argument=argument,
        ) from error


def _check_distinct_names(names: Sequence[str], argument: str) -> None:
    """Raise where two columns have the same name."""
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(
            f"{argument}: has {names.count(twice[0])} columns called {twice[0]!r}; give each a name of its own",
            argument=argument,
        )
