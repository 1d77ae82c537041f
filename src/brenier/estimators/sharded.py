"""A population of which each rank holds a part that is too large to be brought together.

The first rank samples it like a stream. What steers a fit (rows held out, those that determine coordinates, those that
certify) is asked of all ranks, each in proportion to its part; batches of training are drawn by every rank from its
own. Rows that were held out come up in no batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from brenier.datasets import Population, ScanRows, ScanStream, Stream
from brenier.statistics import Weighted, joined
from brenier.training import Ranks, call


class HeldParts:
    """What this process holds of a population that several share.

    A task that comes from the first rank finds here what it draws from.

    Attributes:
        ranks: the processes.
        held: the part of either side, by "X" and "Y".
    """

    def __init__(self) -> None:
        self.ranks = Ranks()
        self.held: dict[str, Population] = {}


HELD = HeldParts()


@dataclasses.dataclass(frozen=True)
class AskedRows:
    """What the first rank asks of the parts of all.

    Attributes:
        side: "X" or "Y".
        counts: for every rank, how many rows each of some samples has.
        seed: of which each rank makes its own.
        split: whether those rows are never drawn again.
    """

    side: str
    counts: Sequence[Sequence[int]]
    seed: int
    split: bool

    def answer(self) -> list[Weighted]:
        """Return the samples of all ranks, each joined; every rank calls this."""
        ranks, part = HELD.ranks, HELD.held[self.side]
        generator = torch.Generator().manual_seed(ranks.seed(self.seed, 0))
        counts = self.counts[ranks.rank]
        if self.split:
            HELD.held[self.side], found = part.split(tuple(counts), generator)
        else:
            found = [part.sample_weighted(count, generator) for count in counts]
        every = ranks.gathered(found)
        return [joined(samples) for samples in zip(*every, strict=True)]


Encode = Callable[[Tensor], Tensor]


class OwnDraw:
    """Draws batches from the part of a side that this process holds; of a scan in the order in which it is read.

    Args:
        side: "X" or "Y".
        shares: of the rows, that each rank holds: of a batch it draws as many, so that all rows are drawn alike.
        encode: what is made of a batch (n, d), float64.
    """

    def __init__(self, side: str, shares: Sequence[float], encode: Encode) -> None:
        self.side, self.shares, self.encode = side, tuple(shares), encode
        self._stream: ScanStream | None = None

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        """Return this rank's rows of a batch, about n of them where all hold alike."""
        own = self.shares[HELD.ranks.rank] * len(self.shares)
        rows, part = max(1, round(n * own)), HELD.held[self.side]
        if not isinstance(part, ScanRows):
            return self.encode(part.sample(rows, generator))
        return self._streamed(part, generator)(rows, generator)

    def __reduce__(self) -> tuple[type[OwnDraw], tuple[object, ...]]:
        return type(self), (self.side, self.shares, self.encode)

    def begin_anew(self, number: int) -> None:
        """Do nothing: every rank has rows of its own."""

    def state_dict(self) -> dict[str, int]:
        """Return the place in a scan, nothing where rows are drawn at random."""
        return {} if self._stream is None else self._stream.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a place in the scan."""
        part = HELD.held.get(self.side)
        if state and isinstance(part, ScanRows):
            self._streamed(part, torch.Generator()).load_state_dict(state)

    def _streamed(self, part: ScanRows, generator: torch.Generator) -> ScanStream:
        """Return the stream of this rank's scan, begun by the generator."""
        if self._stream is None:
            self._stream = part.draws(self.encode, generator)
        return self._stream


@dataclasses.dataclass(frozen=True)
class Sharded(Stream):
    """A population in parts, of which every rank holds one.

    Attributes:
        shares: of the rows, that each rank holds.
        rows: of all ranks, or None where they are drawn; at most half of them are split off.
    """

    shares: tuple[float, ...] = (1.0,)
    rows: int | None = None

    @staticmethod
    def of(
        side: str, dim: int, masses: Sequence[float], rows: int | None = None
    ) -> Sharded:
        """Return the population whose parts all ranks have put into `HELD`.

        Args:
            side: "X" or "Y".
            dim: features.
            masses: of each part, its rows or the sum of their weights; all alike for streams.
            rows: of all parts, None for streams.
        """
        shares = tuple(each / sum(masses) for each in masses)
        return Sharded(OwnDraw(side, shares, unchanged), side, dim, shares, rows)

    def draws(self, encode: Encode) -> OwnDraw:
        """Return what draws batches for training, on every rank from its own part.

        Args:
            encode: what is made of a batch (n, d), float64.
        """
        return OwnDraw(self.name, self.shares, encode)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return this rank's rows of a batch, from its own part."""
        return self.sampler(n, generator)  # type: ignore[return-value]

    def sample_weighted(self, n: int, generator: torch.Generator) -> Weighted:
        """Return n rows of all ranks, with their weights."""
        return self._ask((n,), generator, split=False)[0]

    def sample_distinct(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows of all ranks: (n, d)."""
        return self.sample_weighted(n, generator).rows

    def split(
        self, counts: tuple[int, ...], generator: torch.Generator
    ) -> tuple[Stream, list[Weighted]]:
        """Return the population without samples of the given sizes, and these."""
        most = sum(counts) if self.rows is None else self.rows // 2
        if sum(counts) > most:
            counts = tuple(count * most // sum(counts) for count in counts)
        return self, self._ask(counts, generator, split=True)

    def _ask(
        self, counts: Sequence[int], generator: torch.Generator, split: bool
    ) -> list[Weighted]:
        """Return samples of these sizes of all ranks, in random order."""
        seed = int(
            torch.randint(torch.iinfo(torch.int64).max, (1,), generator=generator)
        )
        of_ranks = list(zip(*(dealt(n, self.shares) for n in counts), strict=True))
        asked = AskedRows(self.name, of_ranks, seed, split)
        call(HELD.ranks, "rows", asked)
        found = asked.answer()
        HELD.ranks.busy = False
        orders = [torch.randperm(len(each), generator=generator) for each in found]
        return [each[order] for each, order in zip(found, orders, strict=True)]


def unchanged(rows: Tensor) -> Tensor:
    """Return rows as they are."""
    return rows


def dealt(n: int, shares: Sequence[float]) -> list[int]:
    """Return n as a sum of whole numbers in proportion to shares.

    >>> dealt(10, (0.25, 0.75))
    [2, 8]
    """
    bounds = torch.tensor(shares, dtype=torch.float64).cumsum(0)
    ends = (bounds / bounds[-1] * n).round().long()
    return torch.diff(ends, prepend=ends.new_zeros(1)).tolist()
