"""Training draws of a scan: block after block, the next one read while rows of this one are given out."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.datasets.scans.blocks import Block, Reader, shuffled
from brenier.errors import DataError


class Loaded(NamedTuple):
    """A block, and where it is in which epoch."""

    epoch: int
    number: int
    block: Block


class ScanStream:
    """Draws the rows of a scan in its shuffled order, epoch after epoch; what it holds is at most two blocks.

    Args:
        reader: of blocks.
        seed: of the order.
        encode: what is made of the rows drawn (n, d), which are float64.
        where: what the scan is called in messages.
        mean_weight: of its rows, where they have weights.

    Attributes:
        seed, epoch, number, offset: the place of the next row: its epoch, block, and which of that.
        waited, longest_wait: seconds for which draws have waited for blocks, in all and for one.
        reading: seconds for which blocks were read in the background.
        rows_read: rows of all blocks that were taken up.
    """

    def __init__(
        self,
        reader: Reader,
        seed: int,
        encode: Callable[[Tensor], Tensor],
        where: str,
        mean_weight: float = 1.0,
    ) -> None:
        self.reader, self.encode, self.where = reader, encode, where
        self.mean_weight = mean_weight
        self.seed, self.epoch, self.number, self.offset = seed, 0, 0, 0
        self.waited, self.longest_wait, self.reading, self.rows_read = 0.0, 0.0, 0.0, 0
        self._held: Block | None = None
        self._next: Future[Loaded] | None
        self._threads = ThreadPoolExecutor(1, "brenier-scan")
        self._next = self._ask(0, 0)

    def __call__(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Return the next n rows, encoded; the generator takes no part.

        Raises:
            DataError: for rows that cannot be used.
        """
        drawn: list[Tensor] = []
        while n > 0 or not drawn:
            block = self._current()
            chosen = block.order[self.offset : self.offset + n]
            drawn.append(block.rows[chosen])
            self.offset += len(chosen)
            n -= len(chosen)
        return self.encode(torch.cat(drawn).double())

    def __reduce__(self) -> tuple[type[ScanStream], tuple[object, ...]]:
        told = (self.reader, self.seed, self.encode, self.where, self.mean_weight)
        return type(self), told

    def begin_anew(self, number: int) -> None:
        """Go through the rows in another order, one for each number."""
        self.seed += number
        self.epoch = self.number = self.offset = 0
        self._held = self._next = None

    def state_dict(self) -> dict[str, int]:
        """Return the place of the next row."""
        return {
            "seed": self.seed,
            "epoch": self.epoch,
            "block": self.number,
            "offset": self.offset,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a place, whose block is read when the next row is drawn."""
        self.seed, self.epoch = state["seed"], state["epoch"]
        self.number, self.offset = state["block"], state["offset"]
        self._held = self._next = None

    def _current(self) -> Block:
        """Return a block that has rows left."""
        if self._held is not None and self.offset < len(self._held.order):
            return self._held
        if self._held is not None:
            self._held, self.number, self.offset = None, self.number + 1, 0
        began = time.perf_counter()
        loaded = (self._next or self._ask(self.epoch, self.number)).result()
        self._next = None
        waited = time.perf_counter() - began
        self.waited, self.longest_wait = (
            self.waited + waited,
            max(self.longest_wait, waited),
        )
        self.epoch, self.number, self._held = loaded
        self.rows_read += len(self._held.rows)
        self._next = self._ask(self.epoch, self.number + 1)
        return self._current()

    def _ask(self, epoch: int, number: int) -> Future[Loaded]:
        """Have a block read in the background."""
        return self._threads.submit(self._load, self.seed, epoch, number)

    def _load(self, seed: int, epoch: int, number: int) -> Loaded:
        """Return a block, or the next one that gives out rows.

        Raises:
            DataError: for rows that cannot be used, or where a whole epoch gives out none.
        """
        began, empty = time.perf_counter(), 0
        while empty < 2:
            found = self.reader.read(seed, epoch, number)
            if found is None:
                epoch, number, empty = epoch + 1, 0, empty + 1
                continue
            block = shuffled(found, self.mean_weight, seed, epoch, number)
            if len(block.order):
                self.reading += time.perf_counter() - began
                return Loaded(epoch, number, block)
            number += 1
        raise DataError(
            f"{self.where}: gives no rows in a whole pass; give one that has rows every time it is gone through"
        )
