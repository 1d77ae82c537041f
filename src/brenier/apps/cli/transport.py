"""`brenier transport`: the rows of a file through a saved map; arrays of any size in bounded memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from brenier.apps.cli.console import ExitCode, convergence_code, note
from brenier.apps.cli.inputs import (
    check_dim,
    check_file_rows,
    label_column,
    other_key,
)
from brenier.apps.cli.models import check_labels, features_of
from brenier.apps.cli.tables import Table, read_table, write_table
from brenier.atomic import replacing
from brenier.datasets import ARRAYS, TABLES, Samples, read_samples, write_samples
from brenier.errors import DataError
from brenier.estimators import load
from brenier.training import PatientStream
from brenier.transport.maps import ConditionalMap, TransportMap

Values: TypeAlias = NDArray[np.generic]  # rows of a file, of any numeric type


@dataclasses.dataclass(frozen=True)
class TransportSettings:
    """How rows are moved.

    Attributes:
        rows_at_once: rows read, moved and written at once; they bound the memory that a file of any size takes.
    """

    rows_at_once: int = 65_536


TRANSPORT = TransportSettings()


@dataclasses.dataclass(frozen=True)
class MapApplier:
    """A map in one direction, for the rows of a file in their order.

    Attributes:
        transport: the map.
        inverse: whether rows are moved back.
        t: where to stop between x (0) and T(x) (1), or None.
        labels: of all rows of the file, for a map with classes.
    """

    transport: TransportMap | ConditionalMap
    inverse: bool = False
    t: float | None = None
    labels: Sequence[Hashable] | None = None

    def apply(self, values: Values, first: int) -> tuple[Values, int]:
        """Return rows of the file (n, d) moved (n, d), and how many of them did not converge.

        Args:
            values: the rows.
            first: the number of the first of them in the file.
        """
        transport: Any = self.transport
        condition: tuple[Sequence[Hashable], ...] = ()
        if self.labels is not None:
            condition = (self.labels[first : first + len(values)],)
        if self.inverse:
            moved, solution = transport.inverse(
                values, *condition, return_solution=True
            )
            return moved, solution.unconverged
        if self.t is not None:
            return transport.interpolate(values, *condition, self.t), 0
        return transport(values, *condition), 0


def transport(
    model: Path,
    input: Path,
    output: Path,
    *,
    inverse: bool = False,
    interpolate: float | None = None,
    columns: Sequence[str] | None = None,
    key: str | None = None,
    labels: str | None = None,
    quiet: bool = False,
) -> ExitCode:
    """Move the rows of a file and write them to another, whose suffix names its kind.

    Args:
        model: the folder that `fit` wrote.
        input, output: .npy, .npz, .csv or .parquet; from table to table, columns that are no features are kept.
        inverse: whether to move target rows back.
        interpolate: t in [0, 1], where to stop on the way.
        columns: the features of a table, in the order of the fit.
        key: which array of a .npz file.
        labels: the column, or the array of a .npz file, that holds the labels, for a model with classes.
        quiet: whether to leave out the progress bar.
    """
    _check_writable(output)
    ot = load(model)
    check_labels(ot, labels, model)
    names, dim = features_of(ot), ot.map_.dim
    found: Table | Samples
    if input.suffix.lower() in TABLES:
        found = read_table(input, columns, names, dim, output, labels)
    else:
        if key is None:
            key = other_key(input, labels)
        found = read_samples(input, columns=columns, key=key)
    rows = len(found.values)
    row_labels = None
    if labels is not None:
        row_labels = label_column(input, labels, rows)
    applier = MapApplier(ot.map_, inverse, interpolate, row_labels)
    if isinstance(found, Table):
        unconverged = _move_table(found, output, applier, quiet)
    else:
        unconverged = _move_array(found, output, applier, names, quiet)
    _print_moved(rows, unconverged, output)
    return convergence_code(unconverged, rows)


def _check_writable(output: Path) -> None:
    """Raise where nothing could be written, before any work is done."""
    if output.suffix.lower() not in ARRAYS + TABLES:
        raise DataError(
            f"{output}: is of no known kind; give a file that ends in {', '.join(ARRAYS + TABLES)}"
        )
    if output.is_dir():
        raise DataError(f"{output}: is a folder; name a file")
    if not output.parent.is_dir():
        raise DataError(f"{output}: its folder does not exist; name a file")


def _move_array(
    samples: Samples,
    output: Path,
    applier: MapApplier,
    names: Sequence[str] | None,
    quiet: bool,
) -> int:
    """Move an array and write it; return how many rows did not converge."""
    check_dim(samples, applier.transport.dim, "the model has")
    if output.suffix.lower() == ".npy":
        return _stream(samples, output, applier, quiet)
    moved, unconverged = _move_rows(samples.values, samples.path, None, applier, quiet)
    write_samples(output, moved, names)
    return unconverged


def _move_table(table: Table, output: Path, applier: MapApplier, quiet: bool) -> int:
    """Move the features of a table and write it; return how many rows did not converge."""
    moved, unconverged = _move_rows(
        table.values, table.path, table.features, applier, quiet
    )
    if output.suffix.lower() in TABLES:
        write_table(output, table, moved)
        return unconverged
    if table.others:
        note(f"note: {output} holds features only; left out: {', '.join(table.others)}")
    write_samples(output, moved)
    return unconverged


def _move_rows(
    values: Values,
    path: Path,
    names: Sequence[str] | None,
    applier: MapApplier,
    quiet: bool,
) -> tuple[NDArray[np.floating], int]:
    """Return all rows of values (n, d) moved (n, d), and how many of them did not converge."""
    moved = np.empty(values.shape, dtype=_result_type(values))
    unconverged = _fill(moved, values, path, names, applier, quiet)
    return moved, unconverged


def _stream(samples: Samples, output: Path, applier: MapApplier, quiet: bool) -> int:
    """Write the moved rows of an array to a .npy file as they come, so that neither has to fit in memory."""
    values = samples.values
    with replacing(output) as temporary:
        moved = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=_result_type(values), shape=values.shape
        )
        unconverged = _fill(moved, values, samples.path, None, applier, quiet)
        moved.flush()
        del moved  # closes the file before it is renamed
    return unconverged


def _fill(
    moved: Values,
    values: Values,
    path: Path,
    names: Sequence[str] | None,
    applier: MapApplier,
    quiet: bool,
) -> int:
    """Move the rows of values (n, d) into moved (n, d), some at a time; return how many did not converge."""
    n, most, unconverged = len(values), TRANSPORT.rows_at_once, 0
    hidden = quiet or n <= most
    shown = {"disable": hidden, "file": PatientStream()}
    with tqdm(total=n, unit="row", unit_scale=True, **shown) as bar:
        for first in range(0, n, most):
            rows = np.array(values[first : first + most])
            check_file_rows(rows, path, names, first)
            moved[first : first + most], missed = applier.apply(rows, first)
            unconverged += missed
            bar.update(len(rows))
    return unconverged


def _result_type(values: Values) -> np.dtype[np.floating]:
    """Return the type results are written in: float32 for single and half precision, else float64."""
    single = values.dtype in (np.float16, np.float32)
    return np.dtype(np.float32 if single else np.float64)


def _print_moved(rows: int, unconverged: int, output: Path) -> None:
    """Print what was moved, and warn of rows that did not converge."""
    if unconverged:
        note(
            f"warning: {unconverged} of {rows} rows did not converge and were written with their best "
            "iterate; fit with --potential convex, where every inverse is unique"
        )
    print(f"{rows} rows moved, {unconverged} unconverged; written to {output}")
