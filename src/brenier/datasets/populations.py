"""Populations that batches are sampled from: rows in memory, rows of a file larger than memory, or an endless sampler.

A population splits off disjoint held-out samples and is sampled with a generator that is passed in. All kinds give
float64 tensors on the CPU or on the device of the samples. Another kind are the rows of a scan (see `scans`).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from brenier.datasets.containers import CheckedSamples, TableLike, check_finite, read
from brenier.datasets.scans import Scan, ScanRows
from brenier.errors import DataError
from brenier.statistics import Weighted, drawn_positions, effective_rows

# What a user may give instead of a table: (n, generator) -> n samples (n, d).
Sampler = Callable[[int, torch.Generator], TableLike]


@dataclasses.dataclass(frozen=True)
class MemorySettings:
    """What is held in memory of a table that may be larger.

    Attributes:
        rows_at_once: rows read at once, where more are gone through.
        max_indexed_rows: rows of a file up to which the numbers of those that belong to a population are kept in
            memory; beyond, only the numbers of the few that were held out.
    """

    rows_at_once: int = 2**16
    max_indexed_rows: int = 2**22


MEMORY = MemorySettings()


@dataclasses.dataclass(frozen=True)
class SplitSettings:
    """How many rows are held out of training: so many to select by, and as many to certify with.

    Attributes:
        held_out_rows: of a side, at most: the standard error is then about a hundredth of the terms' deviation.
        held_out_one_in: of a side of few rows, one row in so many instead.
    """

    held_out_rows: int = 8192
    held_out_one_in: int = 10

    def count(self, size: int | None) -> int:
        """Return how many of so many rows are held out for each purpose; None says that there is no end of them."""
        if size is None:
            return self.held_out_rows
        return min(self.held_out_rows, size // self.held_out_one_in)


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows of a table, in memory or memory-mapped.

    Attributes:
        values: (n, d).
        name: the argument the table came from.
        index: the rows that belong to this population, all if None.
        excluded: rows that do not, where an index of those that do would take too much memory.
        weights: (N,), of all rows of the table, float64 on the CPU, positive for those that belong to this population;
            None where all count alike. Batches are drawn in proportion to them.
    """

    values: Tensor | np.memmap
    name: str
    index: Tensor | None = None
    excluded: Tensor | None = None
    weights: Tensor | None = None

    @property
    def dim(self) -> int:
        """Features."""
        return self.values.shape[1]

    @property
    def size(self) -> int:
        """Rows."""
        return self.values.shape[0] if self.index is None else self.index.numel()

    @property
    def in_memory(self) -> bool:
        """Whether all rows are in memory."""
        return isinstance(self.values, Tensor)

    @property
    def effective(self) -> float:
        """How many rows of equal weights these are worth."""
        return effective_rows(self.size, self.own_weights)

    @functools.cached_property
    def own_weights(self) -> Tensor | None:
        """The weights of the rows of this population, and of those excluded: (size,)."""
        if self.weights is None or self.index is None:
            return self.weights
        return self.weights[self.index]

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows sampled with replacement, in proportion to their weights: (n, d)."""
        positions = self._drawn(n, generator)
        if self.excluded is not None:
            self._replace_excluded(positions, self.excluded, generator)
        return self._get(positions)

    def _replace_excluded(
        self, positions: Tensor, excluded: Tensor, generator: torch.Generator
    ) -> None:
        """Sample anew, in place, the positions that do not belong to this population, until all do."""
        held_out = torch.isin(positions, excluded)
        while bool(held_out.any()):
            count = int(held_out.sum())
            positions[held_out] = self._drawn(count, generator)
            held_out = torch.isin(positions, excluded)

    def sample_distinct(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n distinct rows, or all in order if there are no more: (min(n, size), d)."""
        return self.sample_weighted(n, generator).rows

    def sample_weighted(self, n: int, generator: torch.Generator) -> Weighted:
        """Return n distinct rows with their weights, or all in order if there are no more: (min(n, size), d)."""
        return self._get_weighted(self._distinct_or_all(n, generator))

    def chunks(self, n: int, generator: torch.Generator) -> Iterator[Weighted]:
        """Yield n distinct rows, or all in order if there are no more, `MEMORY.rows_at_once` at a time."""
        positions = self._distinct_or_all(n, generator)
        return map(self._get_weighted, positions.split(MEMORY.rows_at_once))

    def split(
        self, counts: tuple[int, ...], generator: torch.Generator
    ) -> tuple[Rows, list[Weighted]]:
        """Return the rest of the population and disjoint samples of the given sizes."""
        if self._can_be_indexed:
            order = torch.randperm(self.size, generator=generator)
            *parts, rest = order.split([*counts, self.size - sum(counts)])
            index = rest if self.index is None else self.index[rest]
            remaining = dataclasses.replace(self, index=index)
        else:
            held_out = self._distinct(sum(counts), generator)
            parts = list(held_out.split(list(counts)))
            remaining = dataclasses.replace(self, excluded=held_out)
        return remaining, [self._get_weighted(part) for part in parts]

    @property
    def _can_be_indexed(self) -> bool:
        """Whether an index of the rows is small beside the memory at hand."""
        if self.in_memory or self.index is not None:
            return True
        return self.size <= MEMORY.max_indexed_rows

    @functools.cached_property
    def _cumulative(self) -> Tensor | None:
        """The sums of weights up to each row."""
        return None if self.own_weights is None else self.own_weights.cumsum(0)

    def _drawn(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n positions drawn with replacement, in proportion to the weights: (n,)."""
        if self._cumulative is None:
            return torch.randint(self.size, (n,), generator=generator)
        return drawn_positions(self._cumulative, n, generator)

    def _get_weighted(self, positions: Tensor) -> Weighted:
        """Return the rows at these positions of the population, with their weights."""
        own = self.own_weights
        return Weighted(self._get(positions), None if own is None else own[positions])

    def _distinct_or_all(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n distinct positions in random order, or all in order if there are no more."""
        if n >= self.size:
            return torch.arange(self.size)
        return self._distinct(n, generator)

    def _distinct(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n distinct positions of this population in random order."""
        if self._can_be_indexed:
            return torch.randperm(self.size, generator=generator)[:n]
        # Of very many rows few are sampled twice: half as many more than needed, and one for each excluded, suffice.
        held_out = 0 if self.excluded is None else self.excluded.numel()
        tried = n + n // 2 + held_out
        found = torch.unique(torch.randint(self.size, (tried,), generator=generator))
        if self.excluded is not None:
            found = found[~torch.isin(found, self.excluded)]
        return found[torch.randperm(found.numel(), generator=generator)[:n]]

    def _get(self, positions: Tensor) -> Tensor:
        """Return the rows at these positions of the population: (n, d), float64."""
        rows = positions if self.index is None else self.index[positions]
        if isinstance(self.values, Tensor):
            return self.values[rows.to(self.values.device)].double()
        order = torch.argsort(rows)  # a disk is read forwards
        numbers = rows[order]
        read_rows = np.asarray(self.values[numbers.numpy()], dtype=np.float64)
        found = torch.from_numpy(read_rows)
        check_finite(found, self.name, numbers)
        result = torch.empty_like(found)
        result[order] = found
        return result


@dataclasses.dataclass(frozen=True)
class Stream:
    """An endless population given by a function.

    Attributes:
        sampler: (n, generator) -> (n, d).
        name: the argument it was given as.
        dim: d.
    """

    sampler: Sampler
    name: str
    dim: int

    size = None
    effective = None
    in_memory = False

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n fresh samples: (n, d).

        Raises:
            DataError: where the sampler returns another shape, or values that are not finite.
        """
        return sample_checked(self.sampler, self.name, n, generator, self.dim)

    def sample_distinct(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n fresh samples: (n, d)."""
        return self.sample(n, generator)

    def sample_weighted(self, n: int, generator: torch.Generator) -> Weighted:
        """Return n fresh samples, which count alike."""
        return Weighted(self.sample(n, generator))

    def chunks(self, n: int, generator: torch.Generator) -> Iterator[Weighted]:
        """Yield n fresh samples, `MEMORY.rows_at_once` at a time."""
        at_once = MEMORY.rows_at_once
        for first in range(0, n, at_once):
            yield self.sample_weighted(min(at_once, n - first), generator)

    def split(
        self, counts: tuple[int, ...], generator: torch.Generator
    ) -> tuple[Stream, list[Weighted]]:
        """Return the stream itself, and fresh samples of the given sizes."""
        return self, [self.sample_weighted(count, generator) for count in counts]


Population = Rows | Stream | ScanRows
Kind = TypeVar("Kind", bound=Population)


@dataclasses.dataclass(frozen=True)
class Split(Generic[Kind]):
    """What of two populations is trained on, and what is held out.

    Attributes:
        source, target: the populations to train on.
        select: rows (n, d) of the source and (m, d) of the target to select by, with their weights.
        certify: as many rows again to certify with.
        held_out: whether these three are disjoint; if not, each holds all rows.
    """

    source: Kind
    target: Kind
    select: tuple[Weighted, Weighted]
    certify: tuple[Weighted, Weighted]
    held_out: bool

    @staticmethod
    def of(
        source: Population,
        target: Population,
        generator: torch.Generator,
        settings: SplitSettings = SplitSettings(),
    ) -> Split[Population]:
        """Split both sides; where fewer than two rows of either would be held out, every part is all of them."""
        n, m = settings.count(source.size), settings.count(target.size)
        if min(n, m) < 2:
            x = source.sample_weighted(settings.held_out_rows, generator)
            z = target.sample_weighted(settings.held_out_rows, generator)
            whole = (x, z)
            return Split(source, target, whole, whole, held_out=False)
        x_train, (x_select, x_certify) = source.split((n, n), generator)
        z_train, (z_select, z_certify) = target.split((m, m), generator)
        select, certify = (x_select, z_select), (x_certify, z_certify)
        return Split(x_train, z_train, select, certify, held_out=True)


def population(
    given: TableLike | Sampler | Scan, name: str, min_rows: int = 2
) -> tuple[Population, CheckedSamples | None]:
    """Return the population given as a table or as a sampler, and the checked table if it is one.

    Args:
        given: a table (n, d), a function (n, generator) -> (n, d), or a scan.
        name: the argument's name, for messages.
        min_rows: fewest rows of a table that make sense.

    Raises:
        DataError: for a table that cannot be used (see `read`) or a sampler that returns no (n, d) numbers.
    """
    if isinstance(given, Scan):
        return ScanRows.of(given, name), None
    if not callable(given) or hasattr(given, "__array__"):
        samples = read(cast(TableLike, given), name, min_rows=min_rows)
        return Rows(samples.values, name), samples
    trial = sample_checked(given, name, 2, torch.Generator().manual_seed(0), None)
    return Stream(given, name, trial.shape[1]), None


def sample_checked(
    sampler: Sampler, name: str, n: int, generator: torch.Generator, dim: int | None
) -> Tensor:
    """Return n samples of a sampler in float64: (n, d).

    Raises:
        DataError: where it returns anything else; d is `dim` where that is known.
    """
    drawn = read(sampler(n, generator), f"{name} (returned by the sampler)", min_rows=0)
    if drawn.shape[0] != n or (dim is not None and drawn.shape[1] != dim):
        expected = f"({n}, {'d' if dim is None else dim})"
        raise DataError(
            f"{name}: the sampler returned shape {drawn.shape} when asked for {expected}; return n rows",
            argument=name,
        )
    return drawn.rows(0, n).double()
