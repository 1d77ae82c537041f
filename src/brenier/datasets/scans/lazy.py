"""Tables larger than memory: what is in them is known, and rows are read when they are used."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brenier.datasets.scans.parts import Field, ScanPart
from brenier.datasets.scans.settings import ScanSettings
from brenier.datasets.scans.torch_data import IterableRows
from brenier.errors import DataError


class RowRun(NamedTuple):
    """Rows that are read at once: which part, which of its runs, how many, and the number of the first in the part."""

    part: int
    run: int
    rows: int
    begin: int


class Piece(NamedTuple):
    """Some rows of a run, first to last, and the number of the first in its part."""

    part: int
    run: int
    first: int
    last: int
    number: int

    @property
    def rows(self) -> int:
        """How many."""
        return self.last - self.first


@dataclasses.dataclass(frozen=True)
class Scan:
    """Rows of files, or of a dataset, that are read when they are used: `fit` takes it in place of a table.

    Made by `scan`. A pickled one holds paths and numbers of rows, and no rows.

    Attributes:
        parts: the files, in order; none where rows come in an order of their own.
        columns: the d features, in order.
        named: whether these have names, else numbers.
        settings: how rows are read and shuffled.
        labels, covariates, weight: columns that hold these, or None.
        left_out: other columns, where only numeric ones were asked for.
        iterable: rows that come in an order of their own, or None.
        dealt: the numbers of the runs that belong to this scan, all if None.
    """

    parts: tuple[ScanPart, ...]
    columns: tuple[str, ...]
    named: bool
    settings: ScanSettings
    labels: str | None = None
    covariates: tuple[str, ...] | None = None
    weight: str | None = None
    left_out: tuple[str, ...] = ()
    iterable: IterableRows | None = None
    dealt: tuple[int, ...] | None = None

    @property
    def dim(self) -> int:
        """Features."""
        return len(self.columns)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The names of the features, or None."""
        return self.columns if self.named else None

    @property
    def size(self) -> int | None:
        """Rows; None where they have not been counted."""
        if self.iterable is not None:
            return None
        return sum(run.rows for run in self.runs)

    @property
    def where(self) -> str:
        """What the scan is called in messages: its first part, and how many more there are."""
        if self.iterable is not None:
            return self.iterable.where
        more = len(self.parts) - 1
        first = self.parts[0].where
        return f"{first} and {more} more" if more else first

    @functools.cached_property
    def runs(self) -> tuple[RowRun, ...]:
        """All rows, as they are read at once."""
        found = []
        for place, part in enumerate(self.parts):
            begin = 0
            for number, rows in enumerate(part.runs):
                if rows:
                    found.append(RowRun(place, number, rows, begin))
                begin += rows
        if self.dealt is None:
            return tuple(found)
        return tuple(found[number] for number in self.dealt)

    @functools.cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """All rows, in pieces that are small beside a block."""
        found = []
        for run in self.runs:
            seekable = self.parts[run.part].seekable
            most = self.settings.piece_rows(self.row_bytes, seekable)
            count = -(-run.rows // most)
            ends = [run.rows * place // count for place in range(count + 1)]
            for first, last in itertools.pairwise(ends):
                number = run.begin + first
                found.append(Piece(run.part, run.run, first, last, number))
        return tuple(found)

    @functools.cached_property
    def read_columns(self) -> tuple[str, ...]:
        """The columns of numbers that are read of every row: features, then the weight."""
        return (*self.columns, *([] if self.weight is None else [self.weight]))

    @functools.cached_property
    def piece_sizes(self) -> Tensor:
        """How many rows each of the pieces has."""
        return torch.tensor([piece.rows for piece in self.pieces])

    @functools.cached_property
    def single(self) -> bool:
        """Whether single precision holds all features."""
        fields = (self.iterable or self.parts[0]).fields
        return all(field.single for field in fields if field.name in self.columns)

    @property
    def row_bytes(self) -> int:
        """Bytes that a row takes in memory."""
        features = self.dim * (4 if self.single else 8)
        return features if self.weight is None else features + 8

    def read(
        self, piece: Piece, columns: Sequence[str] | None = None
    ) -> NDArray[np.generic]:
        """Return columns of a piece as checked numbers, by default those of `read_columns`: (rows, k).

        Raises:
            DataError: for values that are missing, NaN or infinite, with file and row, and for damaged files.
        """
        part = self.parts[piece.part]
        names = self.read_columns if columns is None else tuple(columns)
        found = part.numbers(piece.run, piece.first, piece.last, names)
        check_piece(found, part.where, names, piece.number)
        if self.weight in names:
            check_weights(found[:, names.index(self.weight)], part.where, piece.number)
        return found

    def shard(self, rank: int, ranks: int) -> Scan:
        """Return the part of the scan that belongs to one of several processes.

        Whole row groups, chunks or, of files without any, pieces are dealt out, the largest first, each to the process
        that has the fewest rows. Together the shards are the scan, and none of them shares a row with another.

        Args:
            rank: of the process, from 0.
            ranks: how many processes there are.

        Raises:
            DataError: where a process would get no rows.
        """
        if not 0 <= rank < ranks:
            raise DataError(
                f"rank: is {rank} of {ranks} processes; give one from 0 to {ranks - 1}"
            )
        if ranks == 1:
            return self
        if self.iterable is not None:
            raise DataError(
                f"{self.where}: comes in an order of its own and cannot be dealt out to {ranks} processes; give each "
                "process rows of its own, or a map-style dataset"
            )
        whole = self._in_small_runs(ranks)
        loads = [0] * ranks
        mine = []
        order = sorted(enumerate(whole.runs), key=lambda each: -each[1].rows)
        for number, run in order:
            least = loads.index(min(loads))
            loads[least] += run.rows
            if least == rank:
                mine.append(number)
        if not min(loads):
            raise DataError(
                f"{self.where}: has {len(whole.runs)} row groups for {ranks} processes, so that one would get no rows; "
                "write smaller row groups, or use fewer processes"
            )
        chosen = tuple(sorted(mine))
        if self.dealt is not None and whole is self:
            chosen = tuple(self.dealt[number] for number in chosen)
        return dataclasses.replace(whole, dealt=chosen)

    def _in_small_runs(self, ranks: int) -> Scan:
        """Return the scan with runs of seekable parts cut into many, so that they can be dealt out evenly."""
        seekable = all(part.seekable for part in self.parts)
        if not seekable or self.dealt is not None:
            return self
        share = (self.size or 0) // (ranks * self.settings.seekable_pieces)
        parts = tuple(SlicedPart(part, max(1, share)) for part in self.parts)
        return dataclasses.replace(self, parts=parts)


@dataclasses.dataclass(frozen=True)
class SlicedPart:
    """A seekable part whose rows come in runs of so many.

    Attributes:
        part: with one run at most.
        rows: of a run.
    """

    part: ScanPart
    rows: int
    seekable = True

    @property
    def where(self) -> str:
        """What the part is called."""
        return self.part.where

    @property
    def fields(self) -> tuple[Field, ...]:
        """Its columns."""
        return self.part.fields

    @property
    def named(self) -> bool:
        """Whether these have names."""
        return self.part.named

    @property
    def runs(self) -> tuple[int, ...]:
        """Rows of each run."""
        whole, rest = divmod(sum(self.part.runs), self.rows)
        return (self.rows,) * whole + ((rest,) if rest else ())

    def numbers(
        self, run: int, first: int, last: int, columns: Sequence[str]
    ) -> NDArray[np.generic]:
        """Return some columns of rows first to last of a run: (last - first, k)."""
        begin = run * self.rows
        return self.part.numbers(0, begin + first, begin + last, columns)

    def cells(self, run: int, first: int, last: int, column: str) -> list[Hashable]:
        """Return what is in a column of these rows."""
        begin = run * self.rows
        return self.part.cells(0, begin + first, begin + last, column)


def check_piece(
    found: NDArray[np.generic], where: str, columns: Sequence[str], number: int
) -> None:
    """Raise where a value read is NaN or infinite, naming row and column.

    Args:
        found: (n, k).
        where: the file.
        columns: k names.
        number: of the first row in the file.
    """
    if found.dtype.kind != "f" or np.isfinite(found.sum()):
        return
    bad = ~np.isfinite(found)
    if not bad.any():
        return  # the sum overflowed, not the values
    row, column = np.argwhere(bad)[0]
    raise DataError(
        f"{where}: {int(bad.any(1).sum()):,} of {len(found):,} rows read hold NaN or inf, the first is row "
        f"{number + row} in column {columns[column]!r} (counted from 0); remove or impute those rows"
    )


def check_weights(weights: NDArray[np.generic], where: str, number: int) -> None:
    """Raise where a weight read is negative, naming its row; arguments as in `check_piece`."""
    bad = np.flatnonzero(weights.astype(np.float64) < 0)
    if len(bad):
        raise DataError(
            f"{where}: the weight of row {number + bad[0]} is negative ({weights[bad[0]]:.6g}); give 0 for rows that "
            "do not count"
        )
