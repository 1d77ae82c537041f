"""The distance over all values of some covariates, from rows of which some count more than once.

    W2^2 = E over c of W2(mu_c, nu_c)^2

Rows are drawn with replacement, so that both sides hold c with the same density. A row that was drawn several times is
one observation, and counts as one in the standard error.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.distance import Distance, Measured


@dataclasses.dataclass(frozen=True)
class CountedRows:
    """Rows of which some count more than once.

    Attributes:
        rows: (n, d).
        index: (n, ...), of their conditions.
        times: (n,), how often each counts.
    """

    rows: Tensor
    index: Tensor
    times: Tensor


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
    measured = Measured(
        phi=_balanced(phi, source.times),
        phi_c=_balanced(phi_c, target.times),
        cost=_balanced(transport.cost_at(source.rows, source.index), source.times),
        residual=solution.residual,
        unconverged=solution.unconverged,
        strong_convexity=transport.network.strong_convexity(),
    )
    coordinates = transport.coordinates
    return measured.distance(
        scale=2.0 * coordinates.squared_unit(),
        unit="units of the data"
        if coordinates.common
        else "units of each feature's scale",
        held_out=held_out,
    )


def _balanced(terms: Tensor, counts: Tensor) -> Tensor:
    """Return terms (n,) whose plain mean is the mean of these by their counts, and whose spread gives its error.

    With t the mean, m_i = t + n c_i (t_i - t) / sum c has the mean t, and sum (m_i - t)^2 / n^2 is the variance of t as
    a mean of n independent rows with fixed weights c_i / sum c.
    """
    weights = counts.to(terms) / counts.sum()
    mean = (weights * terms).sum()
    balanced: Tensor = mean + len(terms) * weights * (terms - mean)
    return torch.as_tensor(balanced)
