"""The order in which a scan is gone through: blocks of pieces from different places, each shuffled whole.

Which pieces make up a block is a permutation by seed and epoch; in which order its rows are given out, one by seed,
epoch and block. So the place of a stream is told by four numbers, and reading one block again restores it.

With weights w a block gives out

    floor(W / w_mean + u),      W = the sum of its weights,  u uniform in [0, 1),

rows, which in the mean over u is in proportion to W, and takes them at equal distances along the sums of its weights,
from a random start: row i comes up in proportion to w_i, whatever block it is in, and as evenly as can be ("Survey
Sampling", Kish, 1965, section 7.4, systematic selection).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brenier.datasets.scans.lazy import Scan, check_piece, check_weights
from brenier.statistics import Weighted

# What is made of rows when they are read: some are left out, or all are changed.
Step = Callable[[Weighted], Weighted]


class Block(NamedTuple):
    """Rows that are shuffled together.

    Attributes:
        rows: (n, d).
        order: (m,), which of them are given out, in this order.
    """

    rows: Tensor
    order: Tensor


class Reader(Protocol):
    """What reads blocks."""

    def read(self, seed: int, epoch: int, block: int) -> Weighted | None:
        """Return the rows of a block, None behind the last of an epoch."""
        ...


def generator_of(*numbers: int) -> torch.Generator:
    """Return a generator that is determined by some numbers."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> 1))


def shuffled(
    found: Weighted, mean_weight: float, seed: int, epoch: int, block: int
) -> Block:
    """Return a block with the order in which its rows are given out.

    Args:
        found: its rows.
        mean_weight: of all rows, where they have weights.
        seed, epoch, block: which it is.
    """
    generator = generator_of(seed, 1, epoch, block)
    if found.weights is None:
        order = torch.randperm(len(found), generator=generator)
        return Block(found.rows, order)
    sums = found.weights.cumsum(0)
    total = float(sums[-1]) if len(sums) else 0.0
    rest = float(torch.rand(1, generator=generator, dtype=torch.float64))
    count = int(total / mean_weight + rest)
    start = torch.rand(1, generator=generator, dtype=torch.float64)
    places = (torch.arange(count, dtype=torch.float64) + start) * (
        total / max(1, count)
    )
    chosen = torch.searchsorted(sums, places, right=True).clamp(max=len(found) - 1)
    return Block(found.rows, chosen[torch.randperm(count, generator=generator)])


@dataclasses.dataclass(frozen=True)
class PieceReader:
    """Reads blocks of pieces that are found by their place.

    Attributes:
        scan: what is read.
        excluded: by the number of a piece, which of its rows are held out.
        steps: what is made of rows when they are read.
    """

    scan: Scan
    excluded: Mapping[int, Tensor]
    steps: Sequence[Step]

    def read(self, seed: int, epoch: int, block: int) -> Weighted | None:
        """Return the rows of a block, None behind the last of an epoch."""
        chosen = self._pieces_of(seed, epoch, block)
        if not chosen:
            return None
        most = sum(self.scan.pieces[number].rows for number in chosen)
        rows, weights, filled = torch.empty(0), [], 0
        for number in chosen:
            found = self._piece(number)
            if not filled:  # the only copy of the rows that is ever made
                rows = found.rows.new_empty(most, found.rows.shape[1])
            rows[filled : filled + len(found)] = found.rows
            filled += len(found)
            if found.weights is not None:
                weights.append(found.weights)
        return Weighted(rows[:filled], torch.cat(weights) if weights else None)

    def _piece(self, number: int) -> Weighted:
        """Return the rows of a piece that are not held out."""
        values = self.scan.read(self.scan.pieces[number])
        held_out = self.excluded.get(number)
        if held_out is not None:
            kept = np.ones(len(values), dtype=bool)
            kept[held_out.numpy()] = False
            values = values[kept]
        return stepped(as_weighted_rows(values, self.scan), self.steps)

    def _pieces_of(self, seed: int, epoch: int, block: int) -> list[int]:
        """Return the numbers of the pieces of a block: as many as hold its rows, of a permutation by seed and epoch."""
        scan = self.scan
        order = torch.randperm(len(scan.pieces), generator=generator_of(seed, 0, epoch))
        sizes = scan.piece_sizes[order]
        most = scan.settings.block_rows(scan.row_bytes)
        ends = sizes.cumsum(0)
        blocks = (ends - sizes) // most
        return order[blocks == block].tolist()


class IterableReader:
    """Reads blocks of rows in the order in which these come, from the first again where an earlier one is asked for.

    Args:
        scan: what is read.
        excluded: at the number 0, which of its rows are held out.
        steps: what is made of rows when they are read.
    """

    def __init__(
        self, scan: Scan, excluded: Mapping[int, Tensor], steps: Sequence[Step]
    ) -> None:
        self.scan, self.steps = scan, steps
        self.excluded = excluded.get(0)
        self._next: tuple[int, int] | None = None
        self._rows: Iterator[NDArray[np.generic]] = iter(())
        self._begin = 0

    def read(self, seed: int, epoch: int, block: int) -> Weighted | None:
        """Return the rows of a block, None behind the last of an epoch."""
        if self._next is None or self._next[0] != epoch or self._next[1] > block:
            self._rows, self._begin = iterated(self.scan), 0
            self._next = epoch, 0
        while self._next[1] < block:
            if self._take() is None:
                return None
            self._next = epoch, self._next[1] + 1
        found = self._take()
        self._next = epoch, block + 1
        return found

    def _take(self) -> Weighted | None:
        """Return the next rows, None where there are no more."""
        most = self.scan.settings.block_rows(self.scan.row_bytes)
        parts, count = [], 0
        while count < most:
            batch = next(self._rows, None)
            if batch is None:
                break
            parts.append(batch)
            count += len(batch)
        if not parts:
            return None
        values = np.concatenate(parts)
        kept = np.ones(count, dtype=bool)
        if self.excluded is not None:
            own = self.excluded.numpy() - self._begin
            kept[own[(own >= 0) & (own < count)]] = False
        self._begin += count
        return stepped(as_weighted_rows(values[kept], self.scan), self.steps)


def iterated(scan: Scan) -> Iterator[NDArray[np.generic]]:
    """Yield the checked numbers of rows that come in an order of their own, batch by batch: (n, k)."""
    source = scan.iterable
    if source is None:
        return
    begin = 0
    for batch in source.numbers(scan.read_columns):
        check_piece(batch, source.where, scan.read_columns, begin)
        if scan.weight is not None:
            check_weights(batch[:, -1], source.where, begin)
        begin += len(batch)
        yield batch


def as_weighted_rows(values: NDArray[np.generic], scan: Scan) -> Weighted:
    """Return numbers that were read (n, k) as rows with their weights; rows of weight zero are left out."""
    dtype = np.float32 if scan.single else np.float64
    rows = torch.from_numpy(np.ascontiguousarray(values[:, : scan.dim], dtype=dtype))
    if scan.weight is None:
        return Weighted(rows)
    weights = torch.from_numpy(values[:, scan.dim].astype(np.float64))
    counting = weights > 0
    if bool(counting.all()):
        return Weighted(rows, weights)
    return Weighted(rows[counting], weights[counting])


def stepped(found: Weighted, steps: Sequence[Step]) -> Weighted:
    """Return what some steps make of rows."""
    for step in steps:
        found = step(found)
    return found
