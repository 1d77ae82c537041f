"""`brenier transport`: the rows of a file through a saved map; arrays of any size in bounded memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from brenier.apps.cli.console import ExitCode, convergence_code, note
from brenier.apps.cli.inputs import (
    Wanted,
    check_dim,
    check_file_rows,
    other_key,
)
from brenier.apps.cli.labels import labels_of_model
from brenier.apps.cli.models import check_labels, features_of
from brenier.apps.cli.remarks import tell_tables
from brenier.apps.cli.tables import Table, read_table, write_table
from brenier.apps.cli.unknown import UNKNOWN, known_rows
from brenier.atomic import replacing
from brenier.datasets import (
    ARRAYS,
    TABLES,
    GivenDialect,
    Samples,
    kind_of,
    read,
    read_samples,
    write_samples,
)
from brenier.errors import DataError
from brenier.estimators import compared_rows, load
from brenier.training import PatientStream
from brenier.transport.maps import ConditionalMap, TransportMap

Values: TypeAlias = NDArray[np.generic]  # rows of a file, of any numeric type


class Counts(NamedTuple):
    """How many rows did not converge, how many lie outside of what the fit has seen, and how many source rows would."""

    unconverged: int = 0
    outside: int = 0
    expected: float = 0.0

    def plus(self, other: Counts) -> Counts:
        """Return those of more rows."""
        return Counts(
            self.unconverged + other.unconverged,
            self.outside + other.outside,
            self.expected + other.expected,
        )

    @property
    def telling(self) -> bool:
        """Whether so many rows lie outside that chance hardly explains it."""
        errors = TRANSPORT.told_errors
        return self.outside > self.expected + errors * (1 + self.expected**0.5)


@dataclasses.dataclass(frozen=True)
class TransportSettings:
    """How rows are moved.

    Attributes:
        rows_at_once: rows read, moved and written at once; they bound the memory that a file of any size takes.
        told_errors: standard errors by which more rows must lie outside than is to be expected, to be told of.
    """

    rows_at_once: int = 65_536
    told_errors: float = 3.0


TRANSPORT = TransportSettings()


@dataclasses.dataclass(frozen=True)
class MapApplier:
    """A map in one direction, for the rows of a file in their order.

    Attributes:
        transport: the map.
        inverse: whether rows are moved back.
        t: where to stop between x (0) and T(x) (1), or None.
        labels: of all rows of the file, for a map with classes.
        known: (rows,), those that are moved; all others stay as they are; None for all.
    """

    transport: TransportMap | ConditionalMap
    inverse: bool = False
    t: float | None = None
    labels: Sequence[Hashable] | None = None
    known: NDArray[np.bool_] | None = None

    @property
    def kept(self) -> NDArray[np.bool_] | None:
        """Which rows stay as they are, None for none."""
        return None if self.known is None or self.known.all() else ~self.known

    def apply(self, values: Values, first: int) -> tuple[Values, Counts]:
        """Return rows of the file (n, d) moved (n, d), and how many of them are not to be relied on.

        Args:
            values: the rows.
            first: the number of the first of them in the file.
        """
        labels = None
        if self.labels is not None:
            labels = self.labels[first : first + len(values)]
        if self.kept is None:
            return self._move(values, labels)
        places = np.flatnonzero(~self.kept[first : first + len(values)]).tolist()
        result = np.array(values, dtype=_result_type(values))
        if labels is None or not len(places):
            return result, Counts()
        moved, counts = self._move(values[places], [labels[place] for place in places])
        result[places] = moved
        return result, counts

    def _move(
        self, values: Values, labels: Sequence[Hashable] | None
    ) -> tuple[Values, Counts]:
        """Return rows moved, all of them of classes that the map knows, and how many are not to be relied on."""
        transport: Any = self.transport
        condition = () if labels is None else (labels,)
        if self.inverse:
            moved, solution = transport.inverse(
                values, *condition, return_solution=True
            )
            return moved, Counts(solution.unconverged)
        counts = Counts()
        for group in compared_rows(self.transport, read(values, "rows"), condition):
            usual = group.share * len(group.radii)
            counts = counts.plus(Counts(0, int(group.far().sum()), usual))
        if self.t is not None:
            moved = transport.interpolate(values, *condition, self.t)
        else:
            moved = transport(values, *condition)
        return moved, counts


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
    unknown_labels: str = UNKNOWN[0],
    delimiter: str | None = None,
    decimal: str | None = None,
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
        unknown_labels: what becomes of rows whose class the model does not know: "error", "keep" or "drop".
        delimiter, decimal: signs between the fields of .csv files, and before fractions; None to find them out.
        quiet: whether to leave out the progress bar.
    """
    _check_writable(output)
    ot = load(model)
    check_labels(ot, labels, model)
    wanted = Wanted(columns, labels, GivenDialect(delimiter, decimal), features_of(ot))
    found = _read(input, output, wanted, ot.map_.dim, key, quiet)
    rows = len(_samples(found).values)
    applier = MapApplier(ot.map_, inverse, interpolate)
    if labels is not None:
        own = labels_of_model(_samples(found), labels, ot.labels_ or (), wanted.dialect)
        known = known_rows(own, ot.labels_ or (), unknown_labels, input)
        if unknown_labels == "drop" and not known.all():
            chosen = np.flatnonzero(known)
            found, own = _rows(found, chosen), [own[row] for row in chosen]
            known = known[chosen]
        rows = int(known.sum())
        applier = dataclasses.replace(applier, labels=own, known=known)
    if isinstance(found, Table):
        counts = _move_table(found, output, applier, quiet)
    else:
        counts = _move_array(found, output, applier, wanted.features, quiet)
    _print_moved(rows, counts, output)
    return convergence_code(counts.unconverged, rows)


def _read(
    input: Path, output: Path, wanted: Wanted, dim: int, key: str | None, quiet: bool
) -> Table | Samples:
    """Return what a file holds; print what a user should know of it."""
    if kind_of(input) not in TABLES:
        if key is None:
            key = other_key(input, {"--labels": wanted.labels})
        return read_samples(input, columns=wanted.columns, key=key)
    found = read_table(input, wanted, dim, output)
    tell_tables([found.samples], quiet or found.samples.named)
    return found


def _samples(found: Table | Samples) -> Samples:
    return found.samples if isinstance(found, Table) else found


def _rows(found: Table | Samples, chosen: NDArray[np.integer]) -> Table | Samples:
    """Return some of the rows."""
    if isinstance(found, Table):
        return found.rows(chosen)
    return dataclasses.replace(found, values=found.values[chosen])


def _check_writable(output: Path) -> None:
    """Raise where nothing could be written, before any work is done."""
    if kind_of(output) not in ARRAYS + TABLES:
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
) -> Counts:
    """Move an array and write it; return how many rows are not to be relied on."""
    check_dim(samples, applier.transport.dim, "the model has")
    if output.suffix.lower() == ".npy":
        return _stream(samples, output, applier, quiet)
    moved, counts = _move_rows(samples.values, samples.path, None, applier, quiet)
    write_samples(output, moved, names)
    return counts


def _move_table(table: Table, output: Path, applier: MapApplier, quiet: bool) -> Counts:
    """Move the features of a table and write it; return how many rows are not to be relied on."""
    samples = table.samples
    moved, counts = _move_rows(
        samples.values, samples.path, samples.columns, applier, quiet
    )
    if kind_of(output) in TABLES:
        write_table(output, table, moved, applier.kept)
        return counts
    if table.others:
        note(f"note: {output} holds features only; left out: {', '.join(table.others)}")
    write_samples(output, moved)
    return counts


def _move_rows(
    values: Values,
    path: Path,
    names: Sequence[str] | None,
    applier: MapApplier,
    quiet: bool,
) -> tuple[NDArray[np.floating], Counts]:
    """Return all rows of values (n, d) moved (n, d), and how many of them are not to be relied on."""
    moved = np.empty(values.shape, dtype=_result_type(values))
    counts = _fill(moved, values, path, names, applier, quiet)
    return moved, counts


def _stream(samples: Samples, output: Path, applier: MapApplier, quiet: bool) -> Counts:
    """Write the moved rows of an array to a .npy file as they come, so that neither has to fit in memory."""
    values = samples.values
    with replacing(output) as temporary:
        moved = np.lib.format.open_memmap(
            temporary, mode="w+", dtype=_result_type(values), shape=values.shape
        )
        counts = _fill(moved, values, samples.path, None, applier, quiet)
        moved.flush()
        del moved  # closes the file before it is renamed
    return counts


def _fill(
    moved: Values,
    values: Values,
    path: Path,
    names: Sequence[str] | None,
    applier: MapApplier,
    quiet: bool,
) -> Counts:
    """Move the rows of values (n, d) into moved (n, d), some at a time; return how many are not to be relied on."""
    n, most, total = len(values), TRANSPORT.rows_at_once, Counts()
    hidden = quiet or n <= most
    shown = {"disable": hidden, "file": PatientStream()}
    with tqdm(total=n, unit="row", unit_scale=True, **shown) as bar:
        for first in range(0, n, most):
            rows = np.array(values[first : first + most])
            check_file_rows(rows, path, names, first)
            moved[first : first + most], counts = applier.apply(rows, first)
            total = total.plus(counts)
            bar.update(len(rows))
    return total


def _result_type(values: Values) -> np.dtype[np.floating]:
    """Return the type results are written in: float32 for single and half precision, else float64."""
    single = values.dtype in (np.float16, np.float32)
    return np.dtype(np.float32 if single else np.float64)


def _print_moved(rows: int, counts: Counts, output: Path) -> None:
    """Print what was moved, and warn of rows that did not converge or lie outside of what the fit has seen."""
    if counts.telling:
        note(
            f"note: {counts.outside:,} of {rows:,} rows lie farther out than nearly all source rows of the fit, where "
            f"{counts.expected:.2g} are to be expected; do not rely on where they are moved"
        )
    if counts.unconverged:
        note(
            f"warning: {counts.unconverged} of {rows} rows did not converge and were written with their best "
            "iterate; fit with --potential convex, where every inverse is unique"
        )
    print(f"{rows} rows moved, {counts.unconverged} unconverged; written to {output}")
