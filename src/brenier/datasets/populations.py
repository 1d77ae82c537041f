"""Where batches come from: rows held in memory, rows of a file larger than memory, or an endless sampler.

A population splits off disjoint held-out samples and draws batches; randomness is passed in. Both kinds give float64
tensors on the CPU or on the device of the samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from brenier.datasets.containers import CheckedSamples, check_finite, read
from brenier.errors import DataError

Sampler = Callable[[int, torch.Generator], Any]
PART = 2**16  # rows in memory at once, where more are gone through
HELD_OUT = (
    8192  # rows for selection, and as many for the certificate, unless there are few
)
ONE_IN = 10  # of those, one row in so many
LISTABLE = 2**22  # rows of a file up to which row numbers are kept in memory


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows of a table, in memory or memory-mapped.

    Attributes:
        values: (n, d).
        name: the argument the table came from.
        index: the rows that belong to this population, all if None.
        excluded: rows that do not, where listing those that do would take too much memory.
    """

    values: Tensor | np.memmap
    name: str
    index: Tensor | None = None
    excluded: Tensor | None = None

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
        """Whether all rows fit in memory."""
        return isinstance(self.values, Tensor)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows drawn with replacement: (n, d)."""
        positions = torch.randint(self.size, (n,), generator=generator)
        while self.excluded is not None and bool(
            (held := torch.isin(positions, self.excluded)).any()
        ):
            positions[held] = torch.randint(
                self.size, (int(held.sum()),), generator=generator
            )
        return self._get(positions)

    def sample_distinct(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n distinct rows, or all in order if there are no more: (min(n, size), d)."""
        if n >= self.size:
            return self._get(torch.arange(self.size))
        return self._get(self._distinct(n, generator))

    def chunks(self, n: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Yield n distinct rows, or all in order if there are no more, `PART` at a time."""
        positions = (
            torch.arange(self.size) if n >= self.size else self._distinct(n, generator)
        )
        return map(self._get, positions.split(PART))

    def split(
        self, counts: tuple[int, ...], generator: torch.Generator
    ) -> tuple[Rows, list[Tensor]]:
        """Return the rest of the population and disjoint samples of the given sizes."""
        if self._listable:
            order = torch.randperm(self.size, generator=generator)
            *parts, rest = order.split([*counts, self.size - sum(counts)])
            kept = Rows(
                self.values, self.name, rest if self.index is None else self.index[rest]
            )
        else:
            held = self._distinct(sum(counts), generator)
            parts = list(held.split(list(counts)))
            kept = Rows(self.values, self.name, None, held)
        return kept, [self._get(part) for part in parts]

    @property
    def _listable(self) -> bool:
        """Whether a list of the rows is small beside the memory at hand."""
        return self.in_memory or self.index is not None or self.size <= LISTABLE

    def _distinct(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n distinct row numbers of this population in random order."""
        if self._listable:
            return torch.randperm(self.size, generator=generator)[:n]
        held = 0 if self.excluded is None else self.excluded.numel()
        found = torch.unique(
            torch.randint(self.size, (n + n // 2 + held,), generator=generator)
        )
        if self.excluded is not None:
            found = found[~torch.isin(found, self.excluded)]
        return found[torch.randperm(found.numel(), generator=generator)[:n]]

    def _get(self, positions: Tensor) -> Tensor:
        rows = positions if self.index is None else self.index[positions]
        if isinstance(self.values, Tensor):
            return self.values[rows.to(self.values.device)].double()
        order = torch.argsort(rows)  # a disk is read forwards
        found = torch.from_numpy(
            np.asarray(self.values[rows[order].numpy()], dtype=np.float64)
        )
        check_finite(found, self.name, rows[order])
        result = torch.empty_like(found)
        result[order] = found
        return result


@dataclasses.dataclass(frozen=True)
class Stream:
    """An endless population given by a function (n, generator) -> (n, d)."""

    sampler: Sampler
    name: str
    dim: int

    size = None
    in_memory = False

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n fresh samples: (n, d).

        Raises:
            DataError: where the sampler returns another shape, or values that are not finite.
        """
        return draw_checked(self.sampler, self.name, n, generator, self.dim)

    def sample_distinct(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n fresh samples: (n, d)."""
        return self.sample(n, generator)

    def chunks(self, n: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Yield n fresh samples, `PART` at a time."""
        return (
            self.sample(min(PART, n - first), generator) for first in range(0, n, PART)
        )

    def split(
        self, counts: tuple[int, ...], generator: torch.Generator
    ) -> tuple[Stream, list[Tensor]]:
        """Return the stream itself, and fresh samples of the given sizes."""
        return self, [self.sample(count, generator) for count in counts]


Population = Rows | Stream
Kind = TypeVar("Kind", bound=Population)


@dataclasses.dataclass(frozen=True)
class Split(Generic[Kind]):
    """Disjoint parts of both populations; (source rows, target rows) to select by and to certify with."""

    source: Kind
    target: Kind
    select: tuple[Tensor, Tensor]
    certify: tuple[Tensor, Tensor]
    held_out: bool

    @staticmethod
    def of(
        source: Population, target: Population, generator: torch.Generator
    ) -> Split[Population]:
        """Split both sides; where a tenth of either is fewer than two rows, every part is all of them."""
        counts = [
            HELD_OUT if side.size is None else min(HELD_OUT, side.size // ONE_IN)
            for side in (source, target)
        ]
        if min(counts) < 2:
            whole = (
                source.sample_distinct(HELD_OUT, generator),
                target.sample_distinct(HELD_OUT, generator),
            )
            return Split(source, target, whole, whole, held_out=False)
        x, (x_select, x_certify) = source.split((counts[0], counts[0]), generator)
        z, (z_select, z_certify) = target.split((counts[1], counts[1]), generator)
        return Split(x, z, (x_select, z_select), (x_certify, z_certify), held_out=True)


def population(
    given: Any, name: str, min_rows: int = 2
) -> tuple[Population, CheckedSamples | None]:
    """Return the population given as a table or as a sampler, and the checked table if it is one.

    Raises:
        DataError: for a table that cannot be used (see `samples.read`) or a sampler that returns no (n, d) numbers.
    """
    if not callable(given) or hasattr(given, "__array__"):
        samples = read(given, name, min_rows=min_rows)
        return Rows(samples.values, name), samples
    trial = draw_checked(given, name, 2, torch.Generator().manual_seed(0), None)
    return Stream(given, name, trial.shape[1]), None


def draw_checked(
    sampler: Sampler, name: str, n: int, generator: torch.Generator, dim: int | None
) -> Tensor:
    """Return n samples of a sampler in float64, or say what it did wrong."""
    drawn = read(sampler(n, generator), f"{name} (returned by the sampler)", min_rows=0)
    if drawn.shape[0] != n or (dim is not None and drawn.shape[1] != dim):
        expected = f"({n}, {'d' if dim is None else dim})"
        raise DataError(
            f"{name}: the sampler returned shape {drawn.shape} when asked for {expected}; return n rows"
        )
    return drawn.rows(0, n).double()
