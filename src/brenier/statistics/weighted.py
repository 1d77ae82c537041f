"""Rows that count by weights: survey weights, event weights of a simulation, importance weights.

A mean is then E f = sum_i w_i f(x_i), with w of sum one, and its standard error that of a ratio of two sample means,

    error^2 = sum_i w_i^2 (f(x_i) - E f)^2

("Model Assisted Survey Sampling", Sarndal, Swensson and Wretman, 1992, section 5.7, the Hajek estimator). It is that of
1 / sum_i w_i^2 rows of equal weights where weights and terms have nothing to do with each other: so many rows they are
worth ("Survey Sampling", Kish, 1965, section 11.7).

What needs a plain sample of the law, such as a permutation test, takes rows kept with a chance that is proportional to
their weight (`thinned`); what can bear equal rows takes as many as there are in proportion (`in_proportion`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from brenier.statistics.spread import some_of

# Of the rows of either side, None where all count alike.
RowWeights: TypeAlias = tuple[Tensor | None, Tensor | None]


@dataclasses.dataclass(frozen=True)
class Weighted:
    """Rows and their weights.

    Attributes:
        rows: (n, ...).
        weights: (n,), positive, of any sum, float64 on the CPU; None where all rows count alike.
    """

    rows: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: slice | Tensor) -> Weighted:
        weights = None if self.weights is None else self.weights[chosen]
        if isinstance(chosen, Tensor):
            chosen = chosen.to(self.rows.device)
        return Weighted(self.rows[chosen], weights)

    @property
    def total(self) -> float:
        """The sum of the weights, each one where all count alike."""
        return len(self) if self.weights is None else float(self.weights.sum())

    @property
    def masses(self) -> Tensor | None:
        """The weights, of sum one, where the rows are: (n,), or None where all count alike."""
        if self.weights is None:
            return None
        own = self.weights.to(self.rows)
        return own / own.sum()

    @property
    def effective(self) -> float:
        """How many rows of equal weights these are worth."""
        return effective_rows(len(self), self.weights)

    def of(self, function: Callable[[Tensor], Tensor]) -> Weighted:
        """Return what a function makes of every row, with the same weights."""
        return Weighted(function(self.rows), self.weights)

    def mean(self) -> Tensor:
        """Return the mean of the rows: (...)."""
        return weighted_mean(self.rows, self.weights)

    def variance(self) -> Tensor:
        """Return the variance of every column, dividing by the sum of the weights: (d,)."""
        if self.weights is None:
            return self.rows.var(0, correction=0)
        return weighted_mean((self.rows - self.mean()).square(), self.weights)

    def levelled(self) -> Weighted:
        """Return the same rows with weights of mean one."""
        if self.weights is None:
            return self
        return Weighted(self.rows, self.weights / self.weights.mean())


def rows_of(pair: tuple[Weighted, Weighted]) -> tuple[Tensor, Tensor]:
    """Return the rows of both sides."""
    return pair[0].rows, pair[1].rows


def weights_of(pair: tuple[Weighted, Weighted]) -> RowWeights:
    """Return the weights of both sides."""
    return pair[0].weights, pair[1].weights


def as_weighted(rows: Tensor | Weighted) -> Weighted:
    """Return rows with their weights, which are equal where none are given."""
    return Weighted(rows) if isinstance(rows, Tensor) else rows


def joined(parts: Sequence[Weighted]) -> Weighted:
    """Return the rows of some parts, one after the other."""
    rows = torch.cat([part.rows for part in parts])
    return Weighted(rows, joined_weights(parts))


def joined_weights(parts: Sequence[Weighted]) -> Tensor | None:
    """Return the weights of some parts, one after the other: (n,), or None where all rows count alike."""
    if all(part.weights is None for part in parts):
        return None
    ones = [torch.ones(len(part), dtype=torch.float64) for part in parts]
    own = [part.weights for part in parts]
    pairs = zip(own, ones, strict=True)
    return torch.cat([one if given is None else given for given, one in pairs])


def some_weights(weights: RowWeights, counts: tuple[int, int]) -> RowWeights:
    """Return the weights of the rows that `some_of` takes of either side, so many of each."""
    of_x, of_z = (
        None if side is None else some_of(side, n)
        for side, n in zip(weights, counts, strict=True)
    )
    return of_x, of_z


def effective_rows(rows: int, weights: Tensor | None) -> float:
    """Return how many rows of equal weights some are worth: (sum w)^2 / sum w^2, or their number."""
    if weights is None or not len(weights):
        return rows
    shares = weights.double() / weights.max()
    return float(shares.sum().square() / shares.square().sum())


def weighted_mean(terms: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of terms (n, ...) by weights (n,): (...)."""
    if weights is None:
        return terms.mean(0)
    return torch.tensordot(_shares(weights, terms), terms.double(), 1)


def even_terms(terms: Tensor, weights: Tensor | None) -> Tensor:
    """Return numbers whose plain mean is the mean of terms by their weights, and whose spread gives its error.

    With t the weighted mean, m_i = t + c n w_i (t_i - t): they are linear in the terms, so differences of such numbers
    are those of differences. The factor c, near one, makes the error unbiased for terms of equal variances, as the
    n - 1 of a sample variance does; sum (m_i - t)^2 / n^2 is the variance of a weighted mean.

    Args:
        terms: (n,).
        weights: (n,), or None, with which the terms are given back as they are.

    Returns:
        (n,), float64 where there are weights.
    """
    if weights is None or not len(terms):
        return terms
    shares, n = _shares(weights, terms), len(terms)
    mean = shares @ terms.double()
    squares = shares.square()
    expected = (squares * (1 - 2 * shares + squares.sum())).sum()
    factor = ((n - 1) / n * squares.sum() / expected).sqrt() if n > 1 else 1.0
    return mean + factor * n * shares * (terms.double() - mean)


def freedom(terms: Tensor, weights: Tensor | None) -> float:
    """Return the degrees of freedom of the variance of a mean, one at least.

    Of equal weights they are one less than the terms. Else a few rows may hold most of the variance, which is then
    known poorly: with s_i the squares that it is the sum of, it varies by sum s_i^2 - (sum s_i)^2 / n, and a chi-square
    of k degrees of freedom by two squares of its mean over k (Satterthwaite, 1946).

    Args:
        terms: (n,), balanced.
        weights: (n,), that they were balanced by.
    """
    n = len(terms)
    if weights is None:
        return max(1, n - 1)
    squares = (terms - terms.mean()).square()
    total = float(squares.sum())
    known = effective_rows(n, weights) - 1
    if total > 0:
        spread = float((squares / total).square().sum()) - 1 / n
        known = min(known, 2 / spread) if spread > 0 else known
    return max(1.0, known)


def drawn_positions(cumulative: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return n positions drawn in proportion to weights, with replacement: (n,).

    Args:
        cumulative: (N,), sums of the weights up to each, float64 on the CPU.
        n: how many.
        generator: the only source of randomness.
    """
    heights = torch.rand(n, generator=generator, dtype=torch.float64)
    found = torch.searchsorted(cumulative, heights * cumulative[-1], right=True)
    return found.clamp_(max=len(cumulative) - 1)


def in_proportion(rows: Weighted, generator: torch.Generator) -> Tensor:
    """Return as many rows as there are, each as often as its weight says: itself where all count alike.

    Systematic sampling: a row of n times the mean weight is there n times, but for rounding.
    """
    if rows.weights is None:
        return rows.rows
    n, cumulative = len(rows), rows.weights.cumsum(0)
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    heights = (torch.arange(n, dtype=torch.float64) + offset) / n * cumulative[-1]
    chosen = torch.searchsorted(cumulative, heights, right=True).clamp_(max=n - 1)
    chosen = chosen[torch.randperm(n, generator=generator)]
    return rows.rows[chosen.to(rows.rows.device)]


def thinned(rows: Weighted, generator: torch.Generator) -> Tensor:
    """Return some of the rows, a plain sample of their law: each is kept with a chance proportional to its weight."""
    if rows.weights is None:
        return rows.rows
    chance = rows.weights / rows.weights.max()
    kept = torch.rand(len(rows), generator=generator, dtype=torch.float64) < chance
    return rows.rows[kept.to(rows.rows.device)]


def _shares(weights: Tensor, like: Tensor) -> Tensor:
    """Return weights as float64 of sum one, where some terms are: (n,)."""
    own = weights.to(like.device).double()
    return own / own.sum()
