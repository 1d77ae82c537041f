"""From tables to figures: columns are matched by name, missing values treated as the reference says, rows drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from brenier.datasets import CATEGORY, EMPTY, NUMBER, MixedColumn, MixedTable
from brenier.errors import DataError
from brenier.report.drift.rules import ColumnRule
from brenier.report.drift.settings import DRIFT
from brenier.report.drift.summaries import CategorySummary, NumberSummary

POLICIES = ("error", "drop", "fill")
LARGEST = 1e100  # numerical floor: squares of larger numbers overflow


@dataclasses.dataclass(frozen=True)
class ReadRows:
    """Rows of a table as features.

    Attributes:
        values: (n, features), as `ColumnRule.read` returns them; some of the rows where there are many.
        numbers: (n,), of these rows in the table as given.
        rows: how many rows the table has, without those left out.
        dropped: how many were left out because of missing values.
        summaries: of all rows, one for each feature.
    """

    values: np.ndarray
    numbers: np.ndarray
    rows: int
    dropped: int
    summaries: tuple[NumberSummary | CategorySummary, ...]


def read_rows(
    table: MixedTable,
    rules: Sequence[ColumnRule],
    kept: np.ndarray | None,
    generator: torch.Generator,
) -> ReadRows:
    """Return some rows of a table as features, and summaries of all of them.

    Args:
        table: with every column that the rules read.
        rules: one for each feature.
        kept: the numbers of rows without missing values, None for all rows.
        generator: which rows are drawn, where there are more than enough.
    """
    numbers = np.arange(table.rows) if kept is None else kept
    drawn = sample_numbers(len(numbers), len(rules), generator)
    chosen = numbers[drawn]
    values = np.empty((len(chosen), len(rules)))
    summaries = []
    for place, rule in enumerate(rules):
        column = table.column(rule.column)
        unfilled = dataclasses.replace(rule, fill=None).read(column)
        present = unfilled if kept is None else unfilled[kept]
        summaries.append(rule.summarise(present))
        values[:, place] = rule.read(column.take(chosen))
    dropped = table.rows - len(numbers)
    return ReadRows(values, chosen, len(numbers), dropped, tuple(summaries))


def sample_numbers(rows: int, features: int, generator: torch.Generator) -> np.ndarray:
    """Return the numbers of rows that are looked at, of so many, in rising order."""
    most = min(DRIFT.sample_rows, max(1, DRIFT.sample_cells // max(1, features)))
    if rows <= most:
        return np.arange(rows)
    drawn = torch.randperm(rows, generator=generator)[:most]
    return drawn.sort().values.numpy()


def rows_kept(
    table: MixedTable, columns: Sequence[str], missing: str
) -> np.ndarray | None:
    """Return the numbers of the rows to look at, None for all.

    Args:
        table: the table.
        columns: those looked at.
        missing: "error", "drop" or "fill".

    Raises:
        DataError: where a value is missing and that is an error, or a number is infinite or too large.
    """
    any_missing = np.zeros(table.rows, dtype=bool)
    for name in columns:
        column = table.column(name)
        _check_large(column, table.argument)
        gaps = column.missing
        if missing == "error" and bool(gaps.any()):
            raise DataError(
                f"{table.argument}: column {name!r} has {int(gaps.sum()):,} missing values, the first in row "
                f'{int(np.argmax(gaps))} (counted from 0); say missing="drop" to leave such rows out, or "fill" to put '
                "the reference's median or most frequent category in their place",
                argument=table.argument,
            )
        if missing == "drop":
            any_missing |= gaps
    return np.flatnonzero(~any_missing) if bool(any_missing.any()) else None


def _check_large(column: MixedColumn, argument: str) -> None:
    """Raise where a number is infinite, or so large that squares overflow."""
    if column.kind != NUMBER or column.values.dtype.kind != "f":
        return
    # In double precision, as single ones cannot be compared with so large a number.
    large = np.abs(column.values.astype(np.float64, copy=False)) > LARGEST
    if not bool(large.any()):
        return
    row = int(np.argmax(large))
    raise DataError(
        f"{argument}: column {column.name!r} holds {column.values[row]} in row {row} (counted from 0); mend the cell "
        "or drop the row, or leave the column out with `columns`",
        argument=argument,
    )


@dataclasses.dataclass(frozen=True)
class Layout:
    """The columns of a reference, which later tables must have too.

    Attributes:
        names: of all columns of the reference, or those that the user named.
        named: whether its columns had names.
        chosen: whether the user named the columns; other columns of later tables are then ignored.
        categorical: columns named as categories.
    """

    names: tuple[str, ...]
    named: bool
    chosen: bool
    categorical: tuple[str, ...]

    def match(self, table: MixedTable) -> MixedTable:
        """Return a table with exactly these columns, in this order.

        Raises:
            DataError: that names the columns which only one of both tables has.
        """
        told = table.argument
        if not (self.named and table.named):
            return self._by_place(table)
        missing = [name for name in self.names if name not in table.names]
        extra = [name for name in table.names if name not in self.names]
        faults = []
        if missing:
            faults.append(f"lacks {quoted(missing)} of the reference")
        if extra and not self.chosen:
            faults.append(f"has {quoted(extra)}, which the reference has not")
        if faults:
            raise DataError(
                f"{told}: {' and '.join(faults)}; rename its columns, or name the common ones in `columns`",
                argument=told,
            )
        columns = tuple(table.column(name) for name in self.names)
        return dataclasses.replace(table, columns=columns)

    def _by_place(self, table: MixedTable) -> MixedTable:
        """Return a table whose columns are matched by their places, since one of both has no names."""
        if len(table.columns) != len(self.names):
            raise DataError(
                f"{table.argument}: has {len(table.columns)} columns, the reference {len(self.names)}; give the same",
                argument=table.argument,
            )
        columns = tuple(
            dataclasses.replace(column, name=name)
            for column, name in zip(table.columns, self.names, strict=True)
        )
        return dataclasses.replace(table, columns=columns)

    def of_kinds(self, table: MixedTable, rules: Sequence[ColumnRule]) -> MixedTable:
        """Return a table whose columns hold what those of the reference hold.

        Raises:
            DataError: that names a column which holds something else.
        """
        kinds = {rule.column: rule.kind for rule in rules if not rule.tells_missing}
        columns = []
        for column in table.columns:
            if column.name in self.categorical:
                column = column.as_categories()
            kind = kinds.get(column.name, column.kind)
            if column.kind not in (kind, EMPTY):
                raise DataError(
                    f"{table.argument}: column {column.name!r} holds {_plural(column.kind)}, in the reference "
                    f"{_plural(kind)}; write it as there, leave it out with `columns`, or, if its numbers are names, "
                    "name it in `categorical`",
                    argument=table.argument,
                )
            columns.append(column)
        return dataclasses.replace(table, columns=tuple(columns))


def quoted(names: Sequence[str], most: int = 10) -> str:
    """Return names as messages show them, the first few of very many."""
    shown = ", ".join(repr(name) for name in names[:most])
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"column{'s' if len(names) > 1 else ''} {shown}{rest}"


def _plural(kind: str) -> str:
    """Return what columns of a kind hold, in words."""
    return {NUMBER: "numbers", CATEGORY: "categories"}.get(kind, kind)
