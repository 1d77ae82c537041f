"""What a scan is made of: parts, such as files, which give their rows in runs that are read at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from brenier.datasets.tables import listed_names
from brenier.errors import DataError


@dataclasses.dataclass(frozen=True)
class Field:
    """A column of a part.

    Attributes:
        name: of the column; its number where columns have no names.
        dtype: what is kept in it, in words.
        number: whether that is a real number.
        single: whether single precision holds it exactly.
    """

    name: str
    dtype: str
    number: bool
    single: bool = False


class ScanPart(Protocol):
    """A file, or a dataset, of rows."""

    @property
    def where(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def fields(self) -> tuple[Field, ...]:
        """Its columns, in order."""
        ...

    @property
    def named(self) -> bool:
        """Whether these have names, else numbers."""
        ...

    @property
    def runs(self) -> tuple[int, ...]:
        """How many rows are read at once, run by run: of a row group, of a chunk."""
        ...

    @property
    def seekable(self) -> bool:
        """Whether some rows of a run are read as fast by themselves as with the others."""
        ...

    def numbers(
        self, run: int, first: int, last: int, columns: Sequence[str]
    ) -> NDArray[np.generic]:
        """Return some columns of rows first to last of a run, as numbers: (last - first, k)."""
        ...

    def cells(self, run: int, first: int, last: int, column: str) -> list[Hashable]:
        """Return what is in a column of these rows, of any kind."""
        ...


def array_fields(dtype: np.dtype, dim: int) -> tuple[Field, ...]:
    """Return the columns of an array of so many."""
    number = dtype.kind in "fiub"
    single = number and holds_single(dtype)
    return tuple(Field(str(k), dtype.name, number, single) for k in range(dim))


def holds_single(dtype: np.dtype) -> bool:
    """Say whether single precision holds all numbers of a type exactly."""
    return bool(np.can_cast(dtype, np.float32, casting="safe"))


def check_table_shape(
    shape: Sequence[int], dtype: np.dtype, where: str
) -> tuple[int, int]:
    """Return rows and columns of an array.

    Raises:
        DataError: for an array that is no table of numbers.
    """
    if len(shape) != 2:
        raise DataError(
            f"{where}: has shape {tuple(shape)}; give a table (n, d), one row per sample"
        )
    if dtype.kind not in "fiub":
        raise DataError(f"{where}: holds {dtype}, which is no number; give numbers")
    return int(shape[0]), int(shape[1])


def places_of(columns: Sequence[str], known: Sequence[Field]) -> list[int]:
    """Return the numbers of some columns."""
    names = [field.name for field in known]
    return [names.index(name) for name in columns]


def chosen_names(
    asked: Sequence[str | int], fields: Sequence[Field], where: str, argument: str
) -> tuple[str, ...]:
    """Return the names of the columns asked for, an entry of several columns as all of these.

    Args:
        asked: names, or numbers of columns without names.
        fields: there are.
        where: of the part.
        argument: that asks, for messages.

    Raises:
        DataError: where one is missing or asked for twice.
    """
    known = [field.name for field in fields]
    found: list[str] = []
    for each in map(str, asked):
        entry = [name for name in known if name.startswith(f"{each}[")]
        if each not in known and not entry:
            raise DataError(
                f"{argument}: there is no {each!r} in {where}, which has {listed_names(known)}; name some of these",
                argument=argument,
            )
        found += [each] if each in known else entry
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise DataError(
            f"{argument}: name {twice[0]!r} more than once; name each column once",
            argument=argument,
        )
    return tuple(found)


class HasFields(Protocol):
    """What has columns."""

    @property
    def where(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def fields(self) -> tuple[Field, ...]:
        """Its columns, in order."""
        ...


def check_numbers(names: Sequence[str], part: HasFields, argument: str) -> None:
    """Raise where a column of a part is no number."""
    kinds = {field.name: field for field in part.fields}
    for name in names:
        if not kinds[name].number:
            raise DataError(
                f"{argument}: column {name!r} of {part.where} holds {kinds[name].dtype}, which is no number; name "
                "columns of numbers, or encode it first",
                argument=argument,
            )


def check_alike(
    parts: Sequence[ScanPart], used: Sequence[str], all_of_them: bool
) -> None:
    """Raise where a part has other columns, or keeps other things in them, than the first.

    Args:
        parts: in order.
        used: the columns that are used.
        all_of_them: whether every column is.
    """
    first = {field.name: field.dtype for field in parts[0].fields}
    for part in parts[1:]:
        own = {field.name: field.dtype for field in part.fields}
        odd = [name for name in used if name not in own]
        if all_of_them:
            odd += [name for name in own if name not in first]
        if odd:
            having, without = (parts[0], part) if odd[0] in first else (part, parts[0])
            raise DataError(
                f"{without.where}: has no column {odd[0]!r}, which {having.where} has; give files with the same "
                "columns, or name those that all of them have with columns="
            )
        for name in used:
            if own[name] != first[name]:
                raise DataError(
                    f"{part.where}: column {name!r} holds {own[name]}, in {parts[0].where} {first[name]}; write all "
                    "files with the same types"
                )
