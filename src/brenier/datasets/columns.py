"""Which columns of a table are features, which are not and why; and which should be, but for a few cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from brenier.datasets.cells import StrayCell, remedy_for, shown, stray_cell
from brenier.datasets.tables import TableFile, listed_names, pandas_for
from brenier.errors import DataError

# What `pandas.api.types.infer_dtype` calls the contents of a column, in words.
CONTENTS = {
    "string": "text",
    "datetime64": "dates",
    "datetime": "dates",
    "date": "dates",
    "time": "times",
    "timedelta64": "durations",
    "timedelta": "durations",
    "boolean": "true or false, with gaps",
    "categorical": "categories",
    "bytes": "bytes",
    "empty": "all empty",
}
NUMBERS = "numbers"


@dataclasses.dataclass(frozen=True)
class ChosenColumns:
    """The columns of a table that are features.

    Attributes:
        places: their numbers.
        left_out: names of all others, with the reason.
        named: whether the user or the model named them.
    """

    places: tuple[int, ...]
    left_out: tuple[tuple[str, str], ...]
    named: bool


def choose_columns(
    table: TableFile,
    columns: Sequence[str] | None,
    others: Mapping[str | None, str] = MappingProxyType({}),
    features: Sequence[str] | None = None,
) -> ChosenColumns:
    """Return which columns of a table are features.

    Args:
        table: the table.
        columns: those the user names, in their order, or None.
        others: columns that are none unless named, and what they are.
        features: those of a model, taken where no columns are named and the table has names, or None.

    Raises:
        DataError: for columns that are not there, or twice, or no numbers; and for one that would be numbers but for
            some of its cells.
    """
    if columns is not None:
        wanted = [columns] if isinstance(columns, str) else list(columns)
        places = [table.place(name) for name in wanted]
        for name, place in zip(wanted, places, strict=True):
            _check_numbers(table, place, f"columns: {name!r} in {table.path}")
        return ChosenColumns(tuple(places), (), named=True)
    if features is not None and table.names is not None:
        return ChosenColumns(_of_model(table, features), (), named=True)
    return _all_numeric(table, others)


def _of_model(table: TableFile, features: Sequence[str]) -> tuple[int, ...]:
    """Return the columns that a model was fitted on, in its order."""
    names = table.names or ()
    contents = [_contents(table, place) for place in range(len(names))]
    numeric = {
        name for name, what in zip(names, contents, strict=True) if what == NUMBERS
    }
    for name in features:
        if name in names:
            place = table.place(name, str(table.path))
            check_cells(table, place, f"{table.path}: column {name!r}")
        if name not in numeric and _is_filled(table, name):
            raise DataError(
                f"{table.path}: has no numeric column {name!r}, a feature of the model ({listed_names(features)}); "
                "rename its columns, or name those to use with --columns"
            )
    return tuple(names.index(name) for name in features)


def _is_filled(table: TableFile, name: str) -> bool:
    """Say whether a name is of no column, or of one that holds something."""
    names = table.names or ()
    return name not in names or bool(table.frame[names.index(name)].notna().any())


def _all_numeric(table: TableFile, others: Mapping[str | None, str]) -> ChosenColumns:
    """Return all columns of numbers but the row index and those of another use, and why the others are left out."""
    names = table.names or tuple(map(str, range(table.frame.shape[1])))
    places, left_out = [], []
    for place, name in enumerate(names):
        what = _contents(table, place)
        if place == table.index:
            left_out.append((name or "the first column", "a row index"))
        elif name in others:
            left_out.append((name, others[name]))
        elif what == NUMBERS or (what == "all empty" and table.names is None):
            places.append(place)
        else:
            check_cells(table, place, f"{table.path}: column {name!r}")
            left_out.append((name or f"column {place + 1}", what))
    _check_distinct(table, [names[place] for place in places])
    if not places:
        known = listed_names([name for name in names if name])
        hint = ""
        if table.layout is not None and len(names) == 1:
            hint = ", or name the sign between fields with --delimiter"
        raise DataError(
            f"{table.path}: none of its columns is numeric ({known}); encode them as numbers{hint}"
        )
    return ChosenColumns(tuple(places), tuple(left_out), named=False)


def _check_distinct(table: TableFile, chosen: Sequence[str]) -> None:
    """Raise where two columns of numbers have the same name, or one has none."""
    names = table.names
    if names is None:
        return
    for name in chosen:
        if not name.strip():
            raise DataError(
                f"{table.path}: column {names.index(name) + 1} holds numbers and has no name; name it in the header, "
                "or say which columns are features with --columns"
            )
        if names.count(name) > 1:
            raise DataError(
                f"{table.path}: has {names.count(name)} columns called {name!r}; rename them in its header, so that "
                "each name stands for one column, or say which others are features with --columns"
            )


def _contents(table: TableFile, place: int) -> str:
    """Return what a column holds, in words."""
    types = pandas_for("").api.types
    column = table.frame.iloc[:, place]
    if not bool(column.notna().any()) and len(column):
        return "all empty"
    if types.is_numeric_dtype(column) and not types.is_complex_dtype(column):
        return NUMBERS
    inferred = types.infer_dtype(column, skipna=True)
    return CONTENTS.get(inferred, f"no numbers but {inferred}")


def _check_numbers(table: TableFile, place: int, what: str) -> None:
    """Raise where a column that the user named holds no numbers."""
    check_cells(table, place, what, named=True)
    found = _contents(table, place)
    if found not in (NUMBERS, "all empty"):
        raise DataError(f"{what} holds {found}; encode it as numbers")


def check_cells(table: TableFile, place: int, what: str, named: bool = False) -> None:
    """Raise where a column is numbers but for some of its cells.

    Args:
        table: the table.
        place: the number of the column.
        what: names it, as the message begins.
        named: whether the user named it, so that leaving it out is no remedy.

    Raises:
        DataError: naming the first such cell.
    """
    found = _stray(table, place)
    if found is None:
        return
    rest = (
        "" if found.cells == 1 else f" and {found.cells - 1} others that are no numbers"
    )
    remedy = remedy_for(found.text, table.decimal)
    if not named:
        remedy += ", or leave the column out: name the others with --columns"
    raise DataError(
        f"{what} holds {shown(found.text)} in {table.where(found.row)}{rest}, in a column of numbers: {remedy}"
    )


def _stray(table: TableFile, place: int) -> StrayCell | None:
    """Return the first cell of a column of text that is no number, if it should be one."""
    column = table.frame.iloc[:, place]
    types = pandas_for("").api.types
    if types.is_numeric_dtype(column) or types.infer_dtype(column) not in (
        "string",
        "mixed",
        "mixed-integer",
        "categorical",
    ):
        return None
    missing = column.isna().to_numpy(dtype=bool)
    cells = np.asarray(column, dtype=object)
    texts = [
        None if absent or not isinstance(cell, str) else cell
        for absent, cell in zip(missing, cells, strict=True)
    ]
    return stray_cell(texts, table.decimal)
