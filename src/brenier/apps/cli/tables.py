"""Tables with more columns than features: the features are moved, all other columns are written as they were read."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from brenier.apps.cli.console import note
from brenier.apps.cli.inputs import INPUT, Wanted, read_file
from brenier.atomic import replacing
from brenier.datasets import (
    Dialect,
    Samples,
    kind_of,
    open_binary,
    open_table,
    read_csv_rows,
)
from brenier.errors import DataError


@dataclasses.dataclass(frozen=True)
class Table:
    """A table and its features.

    Attributes:
        samples: (n, d), the features.
        frame: all columns, a pandas frame with numbered columns.
        names: of all columns, or None where the file has none.
        places: the numbers of the d features.
    """

    samples: Samples
    frame: Any
    names: tuple[str, ...] | None
    places: tuple[int, ...]

    @property
    def others(self) -> list[str]:
        """The columns that are no features."""
        places = [k for k in range(self.frame.shape[1]) if k not in self.places]
        return [str(k) if self.names is None else self.names[k] for k in places]

    def rows(self, chosen: NDArray[np.integer]) -> Table:
        """Return some of the rows, by their numbers."""
        kept = dataclasses.replace(self.samples, values=self.samples.values[chosen])
        return dataclasses.replace(self, samples=kept, frame=self.frame.iloc[chosen])


def read_table(path: Path, wanted: Wanted, dim: int, output: Path) -> Table:
    """Return a table and its features.

    Args:
        path: a .csv or .parquet file.
        wanted: what is read of it.
        dim: how many features there must be.
        output: where the table will go; from .csv to .csv, text is kept letter by letter.

    Raises:
        DataError: for a file that cannot be used, or that does not have the features.
    """
    samples = read_file(path, wanted)
    found = samples.values.shape[1]
    if found != dim:
        names = ""
        if samples.columns is not None:
            names = f" ({', '.join(samples.columns[: INPUT.max_listed])})"
        raise DataError(
            f"{path}: has {found} numeric columns{names}, but the model has {dim} features; "
            "name those with --columns, in the order of the fit"
        )
    frame, known = _all_columns(samples, wanted, output)
    if samples.columns is None or known is None:
        return Table(samples, frame, None, tuple(range(found)))
    places = tuple(known.index(name) for name in samples.columns)
    return Table(samples, frame, known, places)


def write_table(
    path: Path,
    table: Table,
    moved: NDArray[np.floating],
    kept: NDArray[np.bool_] | None = None,
) -> None:
    """Write a table with its features moved (n, d), all columns in their order, whole or not at all.

    A .csv file is written in the dialect of the file it came from, without a header where that has none; to .parquet,
    columns without names are called x0, x1, ...

    Args:
        path: where to.
        table: what was read.
        moved: (n, d), its features.
        kept: (n,), which rows stay as they were read, or None for none.
    """
    dialect = (
        Dialect() if table.samples.layout is None else table.samples.layout.dialect
    )
    frame = table.frame.copy()
    for place, values in zip(table.places, moved.T, strict=True):
        if kept is None or not kept.any() or frame[place].dtype.kind in "fiub":
            frame[place] = values
            continue
        texts = np.array([repr(float(value)) for value in values], dtype=object)
        texts = np.array([text.replace(".", dialect.decimal) for text in texts], object)
        frame[place] = np.where(kept, frame[place].to_numpy(dtype=object), texts)
    with replacing(path) as temporary:
        if kind_of(path) == ".csv":
            with open_binary(temporary, "wb", path) as stream:
                _write_csv(stream, frame, table.names, dialect)
        else:
            frame.columns = _unique_names(path, table)
            frame.to_parquet(temporary, engine="pyarrow")
    _tell_what_is_lost(path, table)


def _write_csv(
    stream: IO[bytes], frame: Any, names: tuple[str, ...] | None, dialect: Dialect
) -> None:
    """Write a frame in a dialect."""
    text = io.TextIOWrapper(stream, encoding=dialect.encoding, newline="")
    frame.to_csv(
        text,
        index=False,
        header=False if names is None else list(names),
        sep=dialect.delimiter,
        decimal=dialect.decimal,
    )
    text.flush()
    text.detach()


def _unique_names(path: Path, table: Table) -> list[str]:
    """Return the names of all columns, each of which a .parquet file must have only once."""
    if table.names is None:
        return [f"x{place}" for place in range(table.frame.shape[1])]
    for name in table.names:
        if table.names.count(name) > 1:
            raise DataError(
                f"{path}: two columns of {table.samples.path} are called {name!r}, which .parquet files cannot hold; "
                "write a .csv file"
            )
    return list(table.names)


def _tell_what_is_lost(path: Path, table: Table) -> None:
    """Say what of the file read is not in the one that was written."""
    layout = table.samples.layout
    if layout is not None and layout.comments:
        note(
            f"note: {path} has none of the comment lines of {table.samples.path} ({layout.comments})"
        )


def _all_columns(
    samples: Samples, wanted: Wanted, output: Path
) -> tuple[Any, tuple[str, ...] | None]:
    """Return all columns of a table as a frame, and their names; from .csv to .csv as text, written as it was."""
    path, layout = samples.path, samples.layout
    if layout is None:
        return _parquet_columns(path)
    if kind_of(output) == ".csv":
        return read_csv_rows(path, layout), layout.names
    frame = read_csv_rows(path, layout, as_text=False)
    if wanted.labels is not None and wanted.labels in (layout.names or ()):
        place = (layout.names or ()).index(wanted.labels)
        frame[place] = read_csv_rows(path, layout, places=[place])[place]
    return frame, layout.names


def _parquet_columns(path: Path) -> tuple[Any, tuple[str, ...] | None]:
    """Return all columns of a .parquet file as they are, and their names."""
    import pandas

    names = open_table(path).names
    frame = pandas.read_parquet(path, engine="pyarrow")
    frame.columns = range(frame.shape[1])
    return frame, names
