"""Rows drawn at random from all over a scan, once, into memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

import numpy as np
import torch
from torch import Tensor

from brenier.datasets.scans.blocks import as_weighted_rows, generator_of, iterated
from brenier.datasets.scans.lazy import Piece, Scan
from brenier.datasets.scans.parts import holds_single
from brenier.errors import DataError
from brenier.statistics import Weighted, joined


@dataclasses.dataclass(frozen=True)
class RowPool:
    """Rows at random, and where they are in the scan.

    Attributes:
        found: (m, d), with their weights, which are positive.
        pieces: (m,), the numbers of their pieces.
        places: (m,), which rows of these they are.
    """

    found: Weighted
    pieces: Tensor
    places: Tensor

    def __len__(self) -> int:
        return len(self.found)

    def __getitem__(self, chosen: Tensor) -> RowPool:
        return RowPool(self.found[chosen], self.pieces[chosen], self.places[chosen])

    def excluded(self) -> dict[int, Tensor]:
        """Return the rows by the numbers of their pieces."""
        numbers = self.pieces.unique().tolist()
        return {number: self.places[self.pieces == number] for number in numbers}


def draw_pool(scan: Scan, most: int, pieces: int) -> RowPool:
    """Return rows drawn at random from all over a scan, the same every time.

    Where it has more pieces than may be read, some of these are drawn, and of each the same share of its rows: every
    row is as likely as any other. Of rows that come in an order of their own, the first are taken.

    Args:
        scan: the scan.
        most: rows, at most but for rounding.
        pieces: that are read, at most.

    Raises:
        DataError: for rows that cannot be used, or where fewer than two are left.
    """
    own_order = scan.iterable is not None
    pool = _first_rows(scan, most) if own_order else _random_rows(scan, most, pieces)
    if len(pool) < 2:
        raise DataError(
            f"{scan.where}: has {len(pool)} rows of a positive weight among those drawn; a map needs at least 2"
        )
    return pool


def _random_rows(scan: Scan, most: int, pieces: int) -> RowPool:
    """Return rows of pieces drawn at random."""
    parts, numbers, places = [], [], []
    for number, kept in drawn_places(scan, most, pieces):
        values = scan.read(scan.pieces[number])
        chosen = values[kept.numpy()]
        found = as_weighted_rows(chosen, scan)
        if scan.weight is not None:
            kept = kept[torch.from_numpy(chosen[:, scan.dim] > 0)]
        parts.append(found)
        numbers.append(torch.full((len(kept),), number))
        places.append(kept)
    return RowPool(joined(parts), torch.cat(numbers), torch.cat(places))


def drawn_places(scan: Scan, most: int, pieces: int) -> list[tuple[int, Tensor]]:
    """Return the numbers of pieces drawn at random, in order, and the sorted places of the rows drawn of each."""
    generator = generator_of(0, len(scan.pieces), most)
    order = torch.randperm(len(scan.pieces), generator=generator)[:pieces].sort().values
    sizes = scan.piece_sizes[order]
    share = min(1.0, most / int(sizes.sum()))
    found = []
    for number, size in zip(order.tolist(), sizes.tolist(), strict=True):
        rest = float(torch.rand(1, generator=generator, dtype=torch.float64))
        count = min(size, int(share * size + rest))
        kept = torch.randperm(size, generator=generator)[:count].sort().values
        if count:
            found.append((number, kept))
    return found


def _first_rows(scan: Scan, most: int) -> RowPool:
    """Return the first rows of those that come in an order of their own."""
    parts, count = [], 0
    for batch in iterated(scan):
        parts.append(batch[: most - count])
        count += len(parts[-1])
        if count >= most:
            break
    if not count:
        raise DataError(f"{scan.where}: gives no rows; give one that has some")
    values = np.concatenate(parts)
    places = torch.arange(count)
    if scan.weight is not None:
        places = places[torch.from_numpy(values[:, scan.dim] > 0)]
    found = as_weighted_rows(values, scan)
    return RowPool(found, torch.zeros(len(places), dtype=torch.int64), places)


@dataclasses.dataclass(frozen=True)
class ScanTable:
    """Rows of a scan in memory, with all that its columns say of them.

    Attributes:
        rows: (n, d).
        labels: one per row, or None.
        covariates: (n, p), or None.
        weights: (n,), or None.
        whole: whether these are all rows of the scan, in order.
    """

    rows: Tensor
    labels: list[Hashable] | None
    covariates: Tensor | None
    weights: Tensor | None
    whole: bool


def table_of_scan(scan: Scan, most: int, pieces: int) -> ScanTable:
    """Return the rows of a scan, in order, or where there are more than so many, some at random from all over it.

    Arguments are those of `draw_pool`.
    """
    if scan.iterable is not None:
        raise DataError(
            f"{scan.where}: comes in an order of its own, and labels or covariates need rows from all over; give a "
            "map-style dataset, or files"
        )
    drawn = _all_places(scan)
    whole = (scan.size or 0) <= most
    if not whole:
        drawn = drawn_places(scan, most, pieces)
    rows, labels, others = [], [], []
    extra = scan.covariates or ()
    columns = (*scan.read_columns, *(c for c in extra if c not in scan.read_columns))
    for number, kept in drawn:
        piece = scan.pieces[number]
        values = scan.read(piece, columns)[kept.numpy()]
        dtype = np.float32 if holds_single(values.dtype) else np.float64
        rows.append(torch.from_numpy(values.astype(dtype)))
        if scan.labels is not None:
            cells = _cells(scan, piece, scan.labels)
            labels += [cells[place] for place in kept.tolist()]
    numbers = torch.cat(rows)
    if extra:
        others = [columns.index(name) for name in extra]
    return ScanTable(
        numbers[:, : scan.dim],
        None if scan.labels is None else labels,
        numbers[:, others].double() if extra else None,
        None if scan.weight is None else numbers[:, scan.dim].double(),
        whole,
    )


def _all_places(scan: Scan) -> list[tuple[int, Tensor]]:
    """Return all pieces with all their rows."""
    sizes = enumerate(scan.piece_sizes.tolist())
    return [(number, torch.arange(size)) for number, size in sizes]


def _cells(scan: Scan, piece: Piece, column: str) -> list[Hashable]:
    """Return the labels of a piece.

    Raises:
        DataError: where one is of a kind that names nothing.
    """
    part = scan.parts[piece.part]
    cells = part.cells(piece.run, piece.first, piece.last, column)
    odd = next((cell for cell in cells if isinstance(cell, list | dict)), None)
    if odd is not None:
        raise DataError(
            f"labels: column {column!r} of {part.where} holds {type(odd).__name__}; name a column of text or numbers",
            argument="labels",
        )
    return cells
