"""A population whose rows are read from a scan when they are drawn."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from brenier.datasets.scans.blocks import IterableReader, PieceReader, Reader, Step
from brenier.datasets.scans.lazy import Scan
from brenier.datasets.scans.pool import RowPool, draw_pool
from brenier.datasets.scans.stream import ScanStream
from brenier.errors import DataError
from brenier.statistics import Weighted, drawn_positions


@dataclasses.dataclass(frozen=True)
class ScanRows:
    """The rows of a scan, of which training draws all in their shuffled order.

    All else takes rows of a pool, drawn at random from all over the scan once: what is held out, what coordinates
    rest on, and what maps are compared by.

    Attributes:
        scan: what is read.
        name: the argument that it was given as.
        pool: rows in memory, but for those that were held out.
        held_out: by the number of a piece, which of its rows training never draws.
        steps: what is made of rows when they are read.
        dim: d, after all steps.
    """

    scan: Scan
    name: str
    pool: RowPool
    dim: int
    held_out: Mapping[int, Tensor] = dataclasses.field(default_factory=dict)
    steps: tuple[Step, ...] = ()

    in_memory = False

    @classmethod
    def of(cls, scan: Scan, name: str) -> ScanRows:
        """Return the population of a scan, its pool drawn."""
        settings = scan.settings
        most, pieces = settings.pool_rows(scan.dim), settings.pooled_pieces
        if scan.size is not None:
            pieces = max(pieces, math.ceil(most * len(scan.pieces) / scan.size))
        return cls(scan, name, draw_pool(scan, most, pieces), scan.dim)

    @property
    def size(self) -> int | None:
        """Rows, but for those held out; None where they have not been counted."""
        held_out = sum(map(len, self.held_out.values()))
        return None if self.scan.size is None else self.scan.size - held_out

    @property
    def effective(self) -> float | None:
        """How many rows of equal weights these are worth, as far as the pool tells."""
        if self.size is None:
            return None
        return self.size * self.pool.found.effective / len(self.pool)

    @property
    def own_weights(self) -> Tensor | None:
        """The weights of the pool: (m,), None where all rows count alike."""
        return self.pool.found.weights

    def draws(
        self, encode: Callable[[Tensor], Tensor], generator: torch.Generator
    ) -> ScanStream:
        """Return what draws batches for training.

        Args:
            encode: what is made of a batch (n, d), float64.
            generator: gives the seed of the order.
        """
        seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
        weights = self.own_weights
        mean = 1.0 if weights is None else float(weights.mean())
        return ScanStream(self._reader(), seed, encode, self.scan.where, mean)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows of the pool with replacement, in proportion to their weights: (n, d), float64."""
        weights = self.own_weights
        if weights is None:
            chosen = torch.randint(len(self.pool), (n,), generator=generator)
        else:
            chosen = drawn_positions(weights.cumsum(0), n, generator)
        return self.pool.found.rows[chosen].double()

    def sample_distinct(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n distinct rows of the pool, or all of these: (min(n, m), d)."""
        return self.sample_weighted(n, generator).rows

    def sample_weighted(self, n: int, generator: torch.Generator) -> Weighted:
        """Return n distinct rows of the pool with their weights, or all of these: (min(n, m), d)."""
        chosen = torch.randperm(len(self.pool), generator=generator)[:n]
        return self.pool.found[chosen].of(Tensor.double)

    def chunks(self, n: int, generator: torch.Generator) -> Iterator[Weighted]:
        """Yield n distinct rows, or all if there are no more, some at a time: of the pool where it has so many."""
        at_once = self.scan.settings.batch_rows
        if n <= len(self.pool):
            whole = self.sample_weighted(n, generator)
            for numbers in torch.arange(len(whole)).split(at_once):
                yield whole[numbers]
            return
        seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
        reader, block = self._reader(), 0
        while n > 0:
            found = reader.read(seed, 0, block)
            if found is None:
                return
            for numbers in torch.arange(min(n, len(found))).split(at_once):
                yield found[numbers].of(Tensor.double)
            n, block = n - len(found), block + 1

    def split(
        self, counts: tuple[int, ...], generator: torch.Generator
    ) -> tuple[ScanRows, list[Weighted]]:
        """Return the rest of the population, and disjoint samples that it never draws.

        These have the given sizes, or less where the pool is small.
        """
        most = max(1, len(self.pool) // self.scan.settings.held_out_one_in)
        counts = tuple(min(count, most) for count in counts)
        if sum(counts) > len(self.pool) - 2:
            raise DataError(
                f"{self.name}: only {len(self.pool)} rows of a positive weight were drawn from all over it, of which "
                f"{sum(counts)} are to be held out; give more such rows"
            )
        order = torch.randperm(len(self.pool), generator=generator)
        *parts, rest = order.split([*counts, len(self.pool) - sum(counts)])
        own = self.pool[torch.cat(parts)].excluded()
        held_out = dict(self.held_out)
        for number, places in own.items():
            before = held_out.get(number, places.new_empty(0))
            held_out[number] = torch.cat([before, places])
        remaining = dataclasses.replace(self, pool=self.pool[rest], held_out=held_out)
        return remaining, [self.pool.found[part].of(Tensor.double) for part in parts]

    def without(self, left_out: Callable[[Tensor], Tensor]) -> ScanRows:
        """Return the population without some rows.

        Args:
            left_out: says which of some rows (n, d) these are: (n,).
        """

        def keep(found: Weighted) -> Weighted:
            return found[~left_out(found.rows.double())]

        kept = ~left_out(self.pool.found.rows.double())
        pool = self.pool[kept.nonzero().squeeze(-1)]
        return dataclasses.replace(self, pool=pool, steps=(*self.steps, keep))

    def changed(self, change: Callable[[Tensor], Tensor]) -> ScanRows:
        """Return the population of rows that are changed one by one: (n, d), float64 -> (n, k)."""

        def step(found: Weighted) -> Weighted:
            return found.of(lambda rows: change(rows.double()))

        pool = dataclasses.replace(self.pool, found=step(self.pool.found))
        dim = pool.found.rows.shape[1]
        return dataclasses.replace(self, pool=pool, dim=dim, steps=(*self.steps, step))

    def _reader(self) -> Reader:
        """Return what reads blocks of the rows that are not held out."""
        kind = PieceReader if self.scan.iterable is None else IterableReader
        return kind(self.scan, self.held_out, self.steps)
