"""Has it changed: one table, or several weeks, against a reference.

Of several tables the p-values are adjusted by the step-down method of Holm ("A Simple Sequentially Rejective Multiple
Test Procedure", 1979), so that the chance of any false alarm among all of them is at most the level, whatever they
share, such as the reference.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from brenier.datasets import (
    CATEGORY,
    MixedTable,
    MixedTableLike,
    names_of,
    read_mixed,
)
from brenier.errors import DataError
from brenier.report.drift.comparison import ComparisonOptions, compare
from brenier.report.drift.maps import MapOptions
from brenier.report.drift.reading import quoted
from brenier.report.drift.reference import (
    AUTO,
    DriftReference,
    check_choices,
    named_categories,
)
from brenier.report.drift.result import Drift, DriftStudy
from brenier.report.drift.settings import DRIFT

CurrentTables: TypeAlias = MixedTableLike | Mapping[str, MixedTableLike]


def drift(
    reference: MixedTableLike | DriftReference,
    current: CurrentTables,
    *,
    by: str | None = None,
    columns: Sequence[str] | str | None = None,
    categorical: Sequence[str] | str = AUTO,
    missing: str = "error",
    level: float = 0.05,
    permutations: int = 999,
    map_: bool | str = AUTO,
    max_time: float | None = None,
    seed: int = 0,
    verbose: bool = False,
) -> Drift | DriftStudy:
    """Return whether a table has drifted from a reference, by how much, and in which features and rows.

    A permutation test, exact at any number of rows, says whether; the W2 distance with its interval says by how much;
    displacements of features, beside those of chance alone, say where. Rows should be independent of each other.

    Args:
        reference: a frame of pandas, polars or pyarrow, an array or tensor (n, d), a sequence of rows, or a
            `DriftReference`, which is fitted once for many weeks and brings `columns`, `categorical` and `missing`.
        current: a table (m, d) with the columns of the reference in any order, or several by name.
        by: a column of `current` that says which week a row is of; each is compared by itself. It is no feature.
        columns, categorical, missing: which columns are compared and how, as in `DriftReference.fit`.
        level: the share of false alarms that is accepted, for all weeks together.
        permutations: of rows, at least; more where otherwise none of so many weeks could reach the level.
        map_: whether maps are fitted, for the distance, for displacements, and for the rows that moved most. "auto":
            where rows and columns allow, and with more than 12 weeks only where drift is seen; True: also with very
            many columns; False: displacements are then those of each column taken alone.
        max_time: seconds for all maps together, or None for a number of steps, which makes results the same every time.
        seed: of permutations, of rows drawn, and of maps.
        verbose: whether progress bars are shown.

    Returns:
        A `Drift`, or, where `by` is given or `current` holds several tables, a `DriftStudy` of all.

    Raises:
        DataError: for tables and settings that cannot be used, and for columns that differ, by name. A table of too few
            rows is none of these: what cannot be said of it is among its remarks.

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> found = drift(
    ...     rng.normal(size=(500, 3)),
    ...     rng.normal(size=(400, 3)) + [0, 0.5, 0],
    ...     map_=False,
    ... )
    >>> found.drifted, found.features[0].name
    (True, 'x1')
    """
    _check_tests(level, permutations)
    check_choices(missing, map_)
    if by is not None and not isinstance(reference, DriftReference):
        reference = read_mixed(reference, "reference", named_categories(categorical))
        reference = reference.without(by)
    known = _as_reference(reference, columns, categorical, missing, seed)
    tables = _tables(current, by, known)
    fits = len(tables) + (known.mapped is None)
    many = map_ == AUTO and len(tables) > DRIFT.many_tables
    maps = MapOptions(map_, many, seconds_of_a_fit(max_time, fits), seed, verbose)
    tests = ComparisonOptions(level, permutations, seed)
    found = _compared_tables(known, tables, tests, maps)
    if by is None and not isinstance(current, Mapping):
        return found[0]
    return DriftStudy(tuple(holm(found)), level)


def _as_reference(
    reference: MixedTableLike | DriftReference,
    columns: Sequence[str] | str | None,
    categorical: Sequence[str] | str,
    missing: str,
    seed: int,
) -> DriftReference:
    """Return the reference, fitted without a map where it is a table."""
    if isinstance(reference, DriftReference):
        _check_same(reference, columns, categorical, missing)
        return reference
    return DriftReference.fit(
        reference,
        columns=columns,
        categorical=categorical,
        missing=missing,
        map_=False,
        seed=seed,
    )


def _compared_tables(
    reference: DriftReference,
    tables: dict[str, MixedTable],
    tests: ComparisonOptions,
    maps: MapOptions,
) -> list[Drift]:
    """Return what is found of each table by itself; permutations are enough for as many tables."""
    matched = [reference.layout.match(each) for each in tables.values()]
    if any(each.rows >= DRIFT.least_map_rows for each in matched):
        reference = reference.with_map_noise(maps)
    needed = math.ceil(len(tables) / tests.level) - 1
    enough = dataclasses.replace(tests, permutations=max(tests.permutations, needed))
    found = [
        compare(reference, table, name, enough, maps)
        for name, table in zip(tables, matched, strict=True)
    ]
    if enough == tests:
        return found
    told = (
        f"Permutations were raised from {tests.permutations:,} to {needed:,}: with fewer no p-value, adjusted for "
        f"{len(tables)} tables, could reach the level {tests.level:g}."
    )
    return [dataclasses.replace(each, remarks=(*each.remarks, told)) for each in found]


def holm(weeks: Sequence[Drift]) -> list[Drift]:
    """Return comparisons with p-values adjusted for their number; those without a p-value count for nothing."""
    known = [week.p_value for week in weeks if week.p_value is not None]
    adjusted: dict[float, float] = {}
    largest = 0.0
    for rank, p in enumerate(sorted(known)):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted.setdefault(
            p, largest
        )  # of equal ones the first has the largest factor
    return [
        week
        if week.p_value is None
        else dataclasses.replace(week, adjusted_p_value=adjusted[week.p_value])
        for week in weeks
    ]


def _check_tests(level: object, permutations: object) -> None:
    """Raise unless a level is a number between 0 and 1, and permutations are a whole number."""
    if not (isinstance(level, numbers.Real) and 0 < float(level) < 1):
        raise DataError(
            f"level: is {level!r}; give a number between 0 and 1, such as .05",
            argument="level",
        )
    enough = isinstance(permutations, int | np.integer) and int(permutations) >= 1
    if not enough or isinstance(permutations, bool):
        raise DataError(
            f"permutations: is {permutations!r}; give a whole number, such as 999",
            argument="permutations",
        )


def seconds_of_a_fit(max_time: object, fits: int) -> float | None:
    """Return the seconds that each of so many maps may take, None where they are not limited."""
    if max_time is None:
        return None
    if isinstance(max_time, numbers.Real) and 0 < float(max_time) < math.inf:
        return DRIFT.map_time_share * float(max_time) / max(1, fits)
    raise DataError(
        f"max_time: is {max_time!r}; give seconds, or None", argument="max_time"
    )


def _check_same(
    reference: DriftReference,
    columns: Sequence[str] | str | None,
    categorical: Sequence[str] | str,
    missing: str,
) -> None:
    """Raise where a fitted reference was made by other choices than are asked for now."""
    layout = reference.layout
    wanted = (columns,) if isinstance(columns, str) else columns
    others = {
        "columns": wanted is not None and set(wanted) != set(layout.names),
        "categorical": categorical != AUTO
        and named_categories(categorical) != layout.categorical,
        "missing": missing not in ("error", reference.missing),
    }
    for argument, differs in others.items():
        if differs:
            raise DataError(
                f"{argument}: differs from what the reference was fitted with; leave it out, or fit the reference "
                "again",
                argument=argument,
            )


def _tables(
    current: CurrentTables, by: str | None, known: DriftReference
) -> dict[str, MixedTable]:
    """Return the tables to compare, by their names."""
    categories = known.layout.categorical
    if isinstance(current, Mapping) and names_of(current) is None:
        if by is not None:
            raise DataError(
                "by: is given, but current holds several tables already; leave it out",
                argument="by",
            )
        if not current:
            raise DataError("current: holds no table; give one", argument="current")
        return {
            str(name): read_mixed(table, f"current[{name!r}]", categories)
            for name, table in current.items()
        }
    given: MixedTableLike = current  # type: ignore[assignment]
    table = read_mixed(given, "current", categories)
    return {"": table} if by is None else _split(table, by)


def _split(table: MixedTable, by: str) -> dict[str, MixedTable]:
    """Return the parts of a table, one for each value of a column, in the order of their first rows."""
    if by not in table.names:
        raise DataError(
            f"by: there is no column {by!r} in current, which has {quoted(table.names)}; name one of these",
            argument="by",
        )
    column = table.column(by).as_categories()
    if column.kind != CATEGORY:
        raise DataError(
            f"by: column {by!r} holds {column.kind}; write the weeks as numbers or text",
            argument="by",
        )
    if bool(column.missing.any()):
        row = int(np.argmax(column.missing))
        raise DataError(
            f"by: column {by!r} is empty in row {row} (counted from 0); say which week it is of, or drop the row",
            argument="by",
        )
    rest = table.without(by)
    found, first = np.unique(column.values, return_index=True)
    return {
        column.levels[place]: rest.take(
            np.flatnonzero(column.values == place),
            f"current, {by} {column.levels[place]!r}",
        )
        for place in found[np.argsort(first)]
    }
