"""`brenier transport`: the rows of a file through a saved map; arrays of any size in bounded memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from brenier.apps.cli.console import NOTHING_CONVERGED, OK, note
from brenier.apps.cli.inputs import (
    check_dim,
    check_finite,
    check_labels,
    features_of,
    other_key,
    read_labels,
)
from brenier.apps.cli.tables import Table, read_table, write_table
from brenier.atomic import replacing
from brenier.datasets import ARRAYS, TABLES, Samples, read_samples, write_samples
from brenier.errors import DataError
from brenier.estimators import load
from brenier.transport.maps import ConditionalMap, TransportMap

ROWS = 65_536  # moved at once


@dataclasses.dataclass
class Mover:
    """A map in one direction, and how many rows it has moved.

    Attributes:
        transport: the map.
        inverse: whether rows are moved back.
        t: where to stop between x (0) and T(x) (1), or None.
        labels: of all rows that are to come, for a map with classes.
        rows: rows moved so far.
        unconverged: those of them whose inner problem did not converge.
    """

    transport: TransportMap | ConditionalMap
    inverse: bool = False
    t: float | None = None
    labels: Sequence[Any] | None = None
    rows: int = 0
    unconverged: int = 0

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return rows (n, d) moved: (n, d)."""
        transport: Any = self.transport
        condition = (
            ()
            if self.labels is None
            else (self.labels[self.rows : self.rows + len(values)],)
        )
        self.rows += len(values)
        if self.inverse:
            moved, solution = transport.inverse(
                values, *condition, return_solution=True
            )
            self.unconverged += solution.unconverged
            return moved
        return (
            transport(values, *condition)
            if self.t is None
            else transport.interpolate(values, *condition, self.t)
        )


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
) -> int:
    """Move the rows of a file and write them to another, whose suffix names its kind.

    Args:
        model: the folder that `fit` wrote.
        input, output: .npy, .npz, .csv or .parquet; from table to table, columns that are no features are kept.
        inverse: whether to move target rows back.
        interpolate: t in [0, 1], where to stop on the way.
        columns: the features of a table, in the order of the fit.
        key: which array of a .npz file.
        labels: the column, or the array of a .npz file, that holds the labels, for a model with classes.
    """
    _check_output(output)
    ot = load(model)
    check_labels(ot, labels, model)
    mover = Mover(ot.map_, inverse, interpolate)
    if input.suffix.lower() in TABLES:
        table = read_table(input, columns, features_of(ot), ot.map_.dim, output, labels)
        mover.labels = (
            None if labels is None else read_labels(input, labels, len(table.values))
        )
        _move_table(table, output, mover, quiet)
    else:
        samples = read_samples(
            input, columns=columns, key=other_key(input, labels) if key is None else key
        )
        mover.labels = (
            None if labels is None else read_labels(input, labels, len(samples.values))
        )
        _move_array(samples, output, mover, features_of(ot), quiet)
    return _conclude(mover, output)


def _check_output(output: Path) -> None:
    """Raise where nothing could be written, before any work is done."""
    if output.suffix.lower() not in ARRAYS + TABLES:
        raise DataError(
            f"{output}: is of no known kind; give a file that ends in {', '.join(ARRAYS + TABLES)}"
        )
    if output.is_dir() or not output.parent.is_dir():
        raise DataError(
            f"{output}: {'is a folder' if output.is_dir() else 'its folder does not exist'}; name a file"
        )


def _move_array(
    samples: Samples,
    output: Path,
    mover: Mover,
    names: Sequence[str] | None,
    quiet: bool,
) -> None:
    check_dim(samples, mover.transport.dim, "the model has")
    if output.suffix.lower() == ".npy":
        _stream(samples, output, mover, quiet)
    else:
        write_samples(
            output, _moved(samples.values, samples.path, None, mover, quiet), names
        )


def _move_table(table: Table, output: Path, mover: Mover, quiet: bool) -> None:
    moved = _moved(table.values, table.path, table.features, mover, quiet)
    if output.suffix.lower() in TABLES:
        write_table(output, table, moved)
        return
    if table.others:
        note(f"note: {output} holds features only; left out: {', '.join(table.others)}")
    write_samples(output, moved)


def _moved(
    values: NDArray[Any],
    path: Path,
    names: Sequence[str] | None,
    mover: Mover,
    quiet: bool,
) -> NDArray[np.floating]:
    """Return all rows of values (n, d) moved: (n, d)."""
    moved = np.empty(values.shape, dtype=_float_type(values))
    _fill(moved, values, path, names, mover, quiet)
    return moved


def _stream(samples: Samples, output: Path, mover: Mover, quiet: bool) -> None:
    """Write the moved rows of an array to a .npy file as they come, so that neither has to fit in memory."""
    with replacing(output) as temporary:
        shape, dtype = samples.values.shape, _float_type(samples.values)
        moved = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=dtype, shape=shape
        )
        _fill(moved, samples.values, samples.path, None, mover, quiet)
        moved.flush()
        del moved


def _fill(
    moved: NDArray[Any],
    values: NDArray[Any],
    path: Path,
    names: Sequence[str] | None,
    move: Callable[[NDArray[Any]], NDArray[Any]],
    quiet: bool,
) -> None:
    """Move the rows of values (n, d) into moved (n, d), a few at a time."""
    n = len(values)
    with tqdm(total=n, unit="row", unit_scale=True, disable=quiet or n <= ROWS) as bar:
        for first in range(0, n, ROWS):
            part = np.array(values[first : first + ROWS])
            check_finite(part, path, names, first)
            moved[first : first + ROWS] = move(part)
            bar.update(len(part))


def _float_type(values: NDArray[Any]) -> np.dtype[Any]:
    """Return the type results are written in: float32 for single and half precision, else float64."""
    return np.dtype(
        np.float32 if values.dtype in (np.float16, np.float32) else np.float64
    )


def _conclude(mover: Mover, output: Path) -> int:
    """Print what was moved, and warn of rows that did not converge."""
    if mover.unconverged:
        note(
            f"warning: {mover.unconverged} of {mover.rows} rows did not converge and were written with their best "
            "iterate; fit with --potential convex, where every inverse is unique"
        )
    print(
        f"{mover.rows} rows moved, {mover.unconverged} unconverged; written to {output}"
    )
    return NOTHING_CONVERGED if mover.rows and mover.unconverged == mover.rows else OK
