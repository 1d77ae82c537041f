"""Tables as `brenier drift` takes them: text stays, as categories; missing values stay, for the policy about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from brenier.apps.cli.console import note
from brenier.apps.cli.inputs import INPUT
from brenier.apps.cli.remarks import how_to_leave_out, oddity
from brenier.datasets import (
    ARRAYS,
    UNTOLD,
    GivenDialect,
    MixedTableLike,
    TableFile,
    check_cells,
    check_file,
    file_kind,
    names_of,
    open_table,
    read_samples,
)
from brenier.errors import DataError, DataWarning, warn

# What options and arguments of the library have in common.
OPTIONS = ("columns", "categorical", "missing", "level", "permutations", "by", "seed")


@dataclasses.dataclass(frozen=True)
class DriftWanted:
    """What is read of files.

    Attributes:
        columns: the features as the user names them, or None for all columns.
        categorical: columns that hold categories whatever they look like.
        by: the column that says which week a row is of, which is no feature; or None.
        key: which array of .npz files.
        dialect: what the user says of how .csv files are written.
        features: those that the user named for a saved reference, the only ones that are read of weeks; or None.
    """

    columns: Sequence[str] | None = None
    categorical: Sequence[str] = ()
    by: str | None = None
    key: str | None = None
    dialect: GivenDialect = UNTOLD
    features: Sequence[str] | None = None


def read_drift_table(path: Path, wanted: DriftWanted, is_week: bool = False) -> Any:
    """Return the table in a file: a pandas frame, or an array where columns have no names.

    Args:
        path: a .npy, .npz, .csv or .parquet file.
        wanted: what is read of it.
        is_week: whether it holds weeks, and so must have the column `wanted.by`; of a reference that is left out.

    Raises:
        DataError: for a file that cannot be used; for columns that are not there, or have the same name; and for a
            column of numbers but for some cells.
    """
    kind = file_kind(path)
    check_file(path)
    if kind in ARRAYS:
        return _read_array(path, wanted, is_week)
    if wanted.key is not None:
        raise DataError(
            f"--key: was given, but {path} is a table; leave it out, or name its columns with --columns"
        )
    table = open_table(path, wanted.dialect)
    if not len(table.frame):
        raise DataError(f"{path}: has no rows; give a file with at least one")
    names = table.names or tuple(map(str, range(table.frame.shape[1])))
    places = _places_read(table, names, wanted, is_week)
    chosen = [names[place] for place in places]
    for place, name in zip(places, chosen, strict=True):
        if names.count(name) > 1 or not name.strip():
            fault = f"{names.count(name)} columns called {name!r}"
            if not name.strip():
                fault = f"column {place + 1} without a name"
            raise DataError(
                f"{path}: has {fault}; give each a name of its own, or say which others to compare with --columns"
            )
        if name != wanted.by and name not in wanted.categorical:
            _check_column(table, place, name, wanted)
    frame = table.frame.iloc[:, places]
    if table.names is None and not (wanted.columns or wanted.categorical or wanted.by):
        numeric = all(dtype.kind in "iuf" for dtype in frame.dtypes)
        if numeric:  # columns are told by their places, as those of other arrays
            return table.numbers(places)
    frame.columns = chosen
    return frame


def tell_drift_tables(
    tables: Mapping[Path, MixedTableLike], wanted: DriftWanted
) -> None:
    """Warn of columns of numbers that look like no measurement, such as numbers of rows, which always drift.

    Args:
        tables: by the paths of their files.
        wanted: what was asked for; columns that the user named are not asked about.
    """
    if wanted.columns is not None or wanted.features is not None:
        return
    found: dict[str, list[str]] = {}
    for path, table in tables.items():
        frame: Any = table
        names = names_of(frame) or []
        for name in names:
            if name == wanted.by or name in wanted.categorical:
                continue
            values = frame[name].to_numpy()
            what = oddity(name, values) if values.dtype.kind in "iuf" else ""
            if what and "flag" not in what:
                features = [each for each in names if each != wanted.by]
                remedy = how_to_leave_out(name, features, flag=False)
                fault = (
                    f"column {name!r} {what}, which are never the same again. {remedy}"
                )
                found.setdefault(fault, []).append(str(path))
    for fault, paths in found.items():
        warn(f"{', '.join(paths)}: {fault}", DataWarning)


@contextmanager
def naming_files(files: Mapping[str, Path]) -> Iterator[None]:
    """Turn errors about arguments of the library into errors about files and options.

    Args:
        files: by the argument's name, such as "reference".
    """
    try:
        yield
    except DataError as error:
        argument = error.argument or ""
        whole, comma, part = argument.partition(",")  # such as "current, week 'w2'"
        name = argument
        if whole in files:
            name = f"{files[whole]}{comma}{part}"
        elif argument in OPTIONS:
            name = f"--{argument}"
        raise DataError(_in_options(str(error.for_argument(name)))) from error


def _in_options(message: str) -> str:
    """Return a message of the library in the words of the command line."""
    for argument in OPTIONS:
        message = message.replace(f"`{argument}`", f"--{argument}")
    return message.replace('say missing="drop"', "say --missing drop").replace(
        'or "fill" to', "or --missing fill to"
    )


def _read_array(path: Path, wanted: DriftWanted, is_week: bool) -> Any:
    """Return the array in a .npy or .npz file."""
    if is_week and wanted.by is not None:
        raise DataError(
            f"--by: {path} has no column names; give a table, or a file for each week"
        )
    for flag, named in (
        ("--columns", wanted.columns),
        ("--categorical", wanted.categorical),
    ):
        if named:
            raise DataError(
                f"{flag}: was given, but {path} has no column names; leave it out, or give a table"
            )
    large = path.stat().st_size > INPUT.max_in_memory
    return np.asarray(read_samples(path, key=wanted.key, mmap=large).values)


def _places_read(
    table: TableFile, names: Sequence[str], wanted: DriftWanted, is_week: bool
) -> list[int]:
    """Return the numbers of the columns that are read: the features, and that of the weeks where there is one."""
    if not is_week:
        for name in wanted.categorical:
            table.place(name, "--categorical")
    places = _compared_places(table, names, wanted)
    if wanted.by is not None:
        places = [place for place in places if names[place] != wanted.by]
    if not places:
        raise DataError(
            f"{table.path}: has no column to compare; name some with --columns"
        )
    if is_week and wanted.by is not None:
        places.append(table.place(wanted.by, "--by"))
    return places


def _compared_places(
    table: TableFile, names: Sequence[str], wanted: DriftWanted
) -> list[int]:
    """Return the numbers of the columns that are compared: those asked for, or all but a row index."""
    if wanted.columns is not None:
        return [table.place(name, "--columns") for name in wanted.columns]
    if wanted.features is not None:
        known = set(wanted.features)
        return [place for place, name in enumerate(names) if name in known]
    places = list(range(len(names)))
    if table.index is not None and names[table.index] != wanted.by:
        places.remove(table.index)
        note(f"{table.path}: left out: the first column (a row index)")
    return places


def _check_column(table: TableFile, place: int, name: str, wanted: DriftWanted) -> None:
    """Raise where a column is numbers but for some cells."""
    try:
        named = wanted.columns is not None
        check_cells(table, place, f"{table.path}: column {name!r}", named)
    except DataError as error:
        raise DataError(
            f"{error}; if it holds categories: --categorical {name!r}"
        ) from error
