"""The discrepancy of two samples under a kernel: E k(x, x') + E k(y, y') - 2 E k(x, y), over distinct pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch
from torch import Tensor

from brenier.statistics.weighted import Weighted

Kernel: TypeAlias = Callable[[Tensor], Tensor]  # of squared distances


def discrepancy(kernel: Kernel, x: Weighted, y: Weighted, entries: int) -> float:
    """Return the discrepancy of x (n, d) and y (m, d), without bias, weighted or not.

    Args:
        kernel: of squared distances, of any shape.
        x, y: both samples, float64.
        entries: of a matrix of distances that are held at once.
    """
    within = _mean_kernel(kernel, x, None, entries) + _mean_kernel(
        kernel, y, None, entries
    )
    return within - 2 * _mean_kernel(kernel, x, y, entries)


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return |a_i - b_j|^2: (n, d), (m, d) -> (n, m)."""
    norms = a.square().sum(1, keepdim=True) + b.square().sum(1)
    return (norms - 2 * a @ b.mT).clamp_(min=0)


def in_double(x: Tensor) -> Tensor:
    """Return x in float64, on its own device unless that has none."""
    return (x.detach().cpu() if x.device.type == "mps" else x.detach()).double()


def double_chunks(entries: int, *samples: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the same rows of all samples, in float64, of so many entries at a time."""
    rows = max(1, entries // samples[0].shape[1])
    for parts in zip(*(x.split(rows) for x in samples), strict=True):
        yield tuple(map(in_double, parts))


def total_variance(x: Tensor, entries: int) -> float:
    """Return tr Cov(x), dividing by n, in chunks of so many entries."""
    sums = [part.sum(0) for (part,) in double_chunks(entries, x)]
    mean = torch.stack(sums).sum(0) / len(x)
    squares = [(part - mean).square().sum() for (part,) in double_chunks(entries, x)]
    return math.fsum(map(float, squares)) / len(x)


def _mean_kernel(
    kernel: Kernel, a: Weighted, b: Weighted | None, entries: int
) -> float:
    """Return the mean of k(a_i, b_j), or that of k(a_i, a_j) over i != j."""
    other = a if b is None else b
    rows = max(1, entries // len(other))
    weighted = a.weights is not None or other.weights is not None
    p = _masses(a) if weighted else a.rows[:, 0]
    q = _masses(other) if weighted else p
    sums = []
    for start in range(0, len(a), rows):
        block = kernel(squared_distances(a.rows[start : start + rows], other.rows))
        if b is None:
            block.diagonal(offset=start).zero_()
        if weighted:
            block = (p[start : start + rows] @ block) * q
        sums.append(float(block.sum()))
    if weighted:
        return math.fsum(sums) / (1.0 if b is not None else float(1 - p @ p))
    partners = len(a) - 1 if b is None else len(other)
    return math.fsum(sums) / (len(a) * partners)


def _masses(side: Weighted) -> Tensor:
    """Return the weights of rows, of sum one: (n,)."""
    own = side.masses
    return side.rows.new_full((len(side),), 1 / len(side)) if own is None else own
