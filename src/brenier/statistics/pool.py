"""Who averages together: one process alone, or several that each hold a part of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Pool(Protocol):
    """Processes that each hold a part of the rows, and find sums over all of them.

    Every process calls the same methods in the same order, with tensors of the same shapes.
    """

    @property
    def size(self) -> int:
        """How many processes there are, this one included."""
        ...

    def sums(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the sum of every tensor over all processes."""
        ...

    def largest(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the largest of every entry over all processes."""
        ...

    def others(self, rows: Tensor) -> list[Tensor]:
        """Return the rows, of any number, that the other processes hold."""
        ...


class Alone:
    """The pool of a process that holds all rows."""

    size = 1

    def sums(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the values themselves."""
        return list(values)

    def largest(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Return the values themselves."""
        return list(values)

    def others(self, rows: Tensor) -> list[Tensor]:
        """Return nothing."""
        return []


ALONE = Alone()


def pooled_means(
    groups: Sequence[Tensor], pool: Pool
) -> tuple[list[Tensor], list[float]]:
    """Return the mean of every group of rows (n_i, p) over all processes, (p,), and how many rows it has."""
    counts = [float(len(group)) for group in groups]
    if pool.size == 1:
        return [group.mean(0) for group in groups], counts
    totals = [
        group.new_tensor([count]) for group, count in zip(groups, counts, strict=True)
    ]
    found = pool.sums([*totals, *(group.sum(0) for group in groups)])
    counted, summed = found[: len(groups)], found[len(groups) :]
    means = [total / count for total, count in zip(summed, counted, strict=True)]
    return means, [float(count) for count in counted]
