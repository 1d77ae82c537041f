"""Columns of numbers or categories, read from a frame, an array or Python objects, missing values included."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import numbers
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from brenier.datasets.cells import remedy_for, shown, stray_cell
from brenier.datasets.conditions import is_missing, label_text
from brenier.errors import DataError

NUMBER, CATEGORY, EMPTY = "number", "category", "empty"
TIMES = (datetime.date, datetime.time, datetime.timedelta)
# What numpy calls kinds of entries that are neither numbers nor categories, in words.
ODD_KINDS = {"M": "dates", "m": "durations", "c": "complex numbers", "V": "records"}


@dataclasses.dataclass(frozen=True)
class MixedColumn:
    """One column of a table.

    Attributes:
        name: of the column.
        kind: "number", "category", "empty" (every value is missing), or what it holds instead, in words.
        values: (n,), of a number floating or whole numbers, NaN where missing; of a category its place among `levels`,
            -1 where missing; else empty.
        levels: of a category, as text, in the order of their first appearance.
    """

    name: str
    kind: str
    values: np.ndarray
    levels: tuple[str, ...] = ()

    @property
    def missing(self) -> np.ndarray:
        """Which values are missing: (n,)."""
        if self.kind == CATEGORY:
            return self.values < 0
        if self.kind == NUMBER:
            whole = self.values.dtype.kind != "f"
            return np.zeros(len(self.values), bool) if whole else np.isnan(self.values)
        return np.ones(len(self.values), dtype=bool)

    def take(self, rows: np.ndarray) -> MixedColumn:
        """Return some rows of the column."""
        return dataclasses.replace(self, values=self.values[rows])

    def as_categories(self) -> MixedColumn:
        """Return a column of numbers as one of categories, each different number one; any other as it is."""
        if self.kind != NUMBER:
            return self
        found, places = np.unique(self.values, return_inverse=True)
        levels = [label_text(level) for level in found.tolist()]
        present = np.array([level is not None for level in levels], dtype=bool)
        codes = np.where(present, np.cumsum(present) - 1, -1)[places]
        told = tuple(level for level in levels if level is not None)
        return dataclasses.replace(self, kind=CATEGORY, values=codes, levels=told)


def read_column(
    name: str, column: object, argument: str, category: bool
) -> MixedColumn:
    """Return one column, of categories where it is named as one of them."""
    found = _by_type(name, column)
    if found is None:
        found = _of_objects(name, _objects(column), argument, category)
    return found.as_categories() if category else found


def _by_type(name: str, column: object) -> MixedColumn | None:
    """Return a column whose type says what it holds, None where its entries have to be looked at."""
    if hasattr(column, "cat") and hasattr(column.cat, "codes"):  # pandas
        return _of_codes(name, column.cat.codes, column.cat.categories.tolist())
    array = _plain_array(column)
    if array is None or array.dtype.kind in "OUST":
        return None
    kind = str(array.dtype.kind)
    if kind == "b":
        return _of_codes(name, array, [False, True])
    if kind in ODD_KINDS:
        timed = kind in "mM" and len(array) > 0
        odd = EMPTY if timed and bool(np.isnat(array).all()) else ODD_KINDS[kind]
        return MixedColumn(name, odd, np.zeros(len(array)))
    if kind != "f":
        return MixedColumn(name, NUMBER, array)
    kind = EMPTY if len(array) and bool(np.isnan(array).all()) else NUMBER
    return MixedColumn(name, kind, array)


def _plain_array(column: object) -> np.ndarray | None:
    """Return the array of a column, None where that takes a walk over its entries."""
    dtype = getattr(column, "dtype", None)
    kind = getattr(dtype, "kind", None)
    if isinstance(dtype, np.dtype):
        return np.asarray(column)
    if not hasattr(column, "to_numpy"):
        return None
    if kind is not None and kind in "fiu":  # of pandas, with a mark for missing values
        found: np.ndarray = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return found
    if kind is not None:
        return None
    try:
        return np.asarray(column.to_numpy())
    except (ValueError, TypeError):  # pyarrow, of what is no plain number
        return None


def _objects(column: object) -> list[object]:
    """Return the entries of a column as Python's."""
    for method in ("to_list", "to_pylist", "tolist"):
        if hasattr(column, method):
            found: list[object] = getattr(column, method)()
            return found
    return list(column) if isinstance(column, Iterable) else []


def _of_codes(name: str, codes: ArrayLike, levels: list[object]) -> MixedColumn:
    """Return a column of categories given by their places."""
    array = np.asarray(codes).astype(np.int64)
    texts = tuple(label_text(level) or str(level) for level in levels)
    empty = len(array) and bool((array < 0).all())
    return MixedColumn(name, EMPTY if empty else CATEGORY, array, texts)


def _of_objects(
    name: str, entries: list[object], argument: str, category: bool
) -> MixedColumn:
    """Return a column whose entries are Python objects."""
    table: dict[object, int] = {}
    try:
        codes = np.fromiter(
            (table.setdefault(entry, len(table)) for entry in entries),
            dtype=np.int64,
            count=len(entries),
        )
    except TypeError:  # some of them cannot be hashed
        odd = next(_unhashable(entries), "objects")
        return MixedColumn(name, odd, np.zeros(len(entries)))
    distinct = list(table)
    present = [entry for entry in distinct if not _is_gap(entry)]
    if not present and entries:
        return MixedColumn(name, EMPTY, np.zeros(len(entries)))
    kinds = [kind for kind in map(_odd_kind, present) if kind is not None]
    if kinds:
        return MixedColumn(name, kinds[0], np.zeros(len(entries)))
    if entries and not category and all(map(_is_real, present)):
        figures = [
            np.nan if _is_gap(entry) else float(entry)  # type: ignore[arg-type]
            for entry in distinct
        ]
        return MixedColumn(name, NUMBER, np.array(figures)[codes])
    if not category:
        _check_stray(name, distinct, codes, argument)
    return _merged(name, distinct, codes)


def _merged(name: str, distinct: list[object], codes: np.ndarray) -> MixedColumn:
    """Return a column of categories; entries that read alike are one category."""
    levels: dict[str, int] = {}
    places = []
    for entry in distinct:
        text = None if _is_gap(entry) else label_text(entry)
        places.append(-1 if text is None else levels.setdefault(text, len(levels)))
    values = np.array(places, dtype=np.int64)[codes] if places else codes
    return MixedColumn(name, CATEGORY, values, tuple(levels))


def _check_stray(
    name: str, distinct: list[object], codes: np.ndarray, argument: str
) -> None:
    """Raise where a column is numbers but for a few of its cells."""
    texts = [None if _is_gap(entry) else label_text(entry) for entry in distinct]
    found = stray_cell(texts)
    if found is None:
        return
    row = int(np.argmax(codes == found.row))
    raise DataError(
        f"{argument}: column {name!r} holds {shown(found.text)} in row {row} (counted from 0), in a column of numbers: "
        f"{remedy_for(found.text)}, or name the column in `categorical` if its numbers are names",
        argument=argument,
    )


def _unhashable(entries: Sequence[object]) -> Iterator[str]:
    """Yield what entries that cannot be hashed are, in words."""
    for entry in entries:
        try:
            hash(entry)
        except TypeError:
            yield f"{type(entry).__name__} objects"


def _is_gap(entry: object) -> bool:
    """Say whether an entry stands for a missing value; text of nothing but blanks does."""
    return is_missing(entry) or (isinstance(entry, str) and not entry.strip())


def _is_real(entry: object) -> bool:
    """Say whether an entry is a number, which true and false are not."""
    if isinstance(entry, bool | np.bool_):
        return False
    return isinstance(entry, numbers.Real | decimal.Decimal)


def _odd_kind(entry: object) -> str | None:
    """Return what an entry is that is neither a number nor a category, in words."""
    if isinstance(entry, np.datetime64 | np.timedelta64 | datetime.date):
        return "dates"
    if isinstance(entry, TIMES):
        return "times"
    if isinstance(entry, numbers.Complex) and not isinstance(entry, numbers.Real):
        return "complex numbers"
    if isinstance(entry, tuple | frozenset):
        return f"{type(entry).__name__} objects"
    return None
