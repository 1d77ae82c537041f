"""The distance over all values of some covariates, from rows of which some count more than once.

    W2^2 = E over c of W2(mu_c, nu_c)^2

Rows are drawn with replacement, so that both sides hold c with the same density. A row that was drawn several times is
one observation, and counts as one in the standard error. Where c does not matter to one side, its rows are lent values
of c by rows of the other, and each may come with several: then a term has an error of its own row and one of the row
that lent its c, and so has the other side's term of that row ("Robust Inference With Multiway Clustering", Cameron,
Gelbach and Miller, 2011).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.cross_fit import DualEstimate
from brenier.transport.maps.distance import Distance, Measured


@dataclasses.dataclass(frozen=True)
class CountedRows:
    """Rows of which some count more than once.

    Attributes:
        rows: (n, d).
        index: (n, ...), of their conditions.
        times: (n,), how often each counts.
        observation: (n,), which row of its side each is: one that stands here with several conditions is one.
        lender: (n,), which row of the other side lent each its condition; None where it is the rows' own.
    """

    rows: Tensor
    index: Tensor
    times: Tensor
    observation: Tensor
    lender: Tensor | None = None

    def deviations(self, terms: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean of terms (n,) by their counts, and what every one of them adds to its error: (n,)."""
        weights = self.times.to(terms) / self.times.sum()
        mean = (weights * terms).sum()
        return mean, weights * (terms - mean)


def pooled_distance(
    transport: ConditionalMap, source: CountedRows, target: CountedRows, held_out: bool
) -> Distance:
    """Return the distance over the conditions of some rows, the same for either side.

    Args:
        transport: the maps.
        source, target: rows of either side.
        held_out: whether training never saw them.
    """
    phi = transport.phi_at(source.rows, source.index)
    phi_c, solution = transport.phi_c_at(target.rows, target.index)
    cost = transport.cost_at(source.rows, source.index)
    measured = Measured(
        phi=_balanced(phi, source),
        phi_c=_balanced(phi_c, target),
        cost=_balanced(cost, source),
        residual=solution.residual,
        unconverged=solution.unconverged,
        strong_convexity=transport.network.strong_convexity(),
    )
    dual: tuple[float, float] | None = None
    primal: tuple[float, float] | None = None
    if source.lender is not None:
        none = torch.zeros_like(phi_c)  # the cost is one of source rows alone
        dual = _with_lenders(phi, source, source.lender, phi_c, target)
        primal = _with_lenders(cost, source, source.lender, none, target)
    elif target.lender is not None:
        dual = _with_lenders(phi_c, target, target.lender, phi, source)
    return measured.distance(
        transport.coordinates,
        held_out=held_out,
        dual=None if dual is None else DualEstimate(dual[0], dual[0], dual[1]),
        primal=primal,
    )


def _balanced(terms: Tensor, counted: CountedRows) -> Tensor:
    """Return numbers whose plain mean is the mean of terms (n,) by their counts, and whose spread gives its error.

    There is one for each of the N observations: with t the mean, m_i = t + N sum over its terms of c_j (t_j - t) / sum
    c. They have the mean t, and sum (m_i - t)^2 / N^2 is the variance of t as a mean of N independent rows with fixed
    weights.
    """
    mean, deviations = counted.deviations(terms)
    found, group = counted.observation.unique(return_inverse=True)
    balanced: Tensor = mean + len(found) * _sums(deviations, group, len(found))
    return torch.as_tensor(balanced)


def _with_lenders(
    terms: Tensor,
    borrowing: CountedRows,
    lender: Tensor,
    other_terms: Tensor,
    other: CountedRows,
) -> tuple[float, float]:
    """Return the mean of terms of a side that borrows its conditions plus that of the other side's, and its error.

    Args:
        terms: (n,), of the side that borrows.
        borrowing: its rows.
        lender: (n,), the rows of the other side that lent them their conditions.
        other_terms: (m,), of the other side.
        other: its rows.
    """
    mean, deviations = borrowing.deviations(terms)
    other_mean, other_deviations = other.deviations(other_terms)
    count = 1 + int(torch.cat([lender, other.observation]).max())
    of_rows = _sums(
        deviations, borrowing.observation, 1 + int(borrowing.observation.max())
    )
    of_others = _sums(other_deviations, other.observation, count)
    of_lenders = of_others + _sums(deviations, lender, count)
    # Of a row and its lender together a term is counted in both.
    twice = deviations.square().sum()
    variance = of_rows.square().sum() + of_lenders.square().sum() - twice
    # That is an estimate: it may fall below what is certain, the error of independent sides.
    least = of_rows.square().sum() + of_others.square().sum()
    return float(mean + other_mean), float(torch.maximum(variance, least)) ** 0.5


def _sums(values: Tensor, group: Tensor, count: int) -> Tensor:
    """Return the sums of values (n,) over the groups they are of, by number: (count,)."""
    group = group.to(values.device)
    return torch.zeros(count).to(values).index_add(0, group, values)
