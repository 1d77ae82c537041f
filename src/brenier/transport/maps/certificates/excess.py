"""What matchings tell of the gap of a map, and of its error.

The mean of FY over the best matching of some rows is owed to the gap of the map, and to the rows being few. The second
part is what the same matching has between rows whose true map is the fitted one; the difference is the gap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.statistics import Weighted
from brenier.transport.maps.certificates.figures import Figures, placed_rows
from brenier.transport.maps.certificates.matching import (
    MatchedRows,
    matching,
    own_matching,
)
from brenier.transport.maps.certificates.pooling import all_known
from brenier.transport.maps.certificates.settings import CERTIFICATES
from brenier.transport.maps.distance import Distance
from brenier.transport.maps.map import TransportMap


class Excess(NamedTuple):
    """What matchings tell of the gap of a map, in squared units.

    Attributes:
        gap: the estimate, with what is owed to few rows taken off, never below zero.
        error: its standard error.
        least: what an affine map misses for being fitted to few rows alone: half of what its dual value is higher by on
            the rows of the fit than on others (see `cross_fit`); None where that was not measured.
        stretch, shrink: mean eigenvalues of the map's derivative, and of its inverse's.
    """

    gap: float
    error: float
    least: float | None
    stretch: float
    shrink: float


def affine_gap(excess: Excess) -> float:
    """Return the gap of an affine map that was kept, in squared units.

    That is never less than what few rows explain; where that was not measured, never less than the noise.
    """
    floor = excess.error if excess.least is None else excess.least
    return max(floor, excess.gap)


def pooled_excess(
    parts: Sequence[Excess | None], shares: Sequence[float]
) -> Excess | None:
    """Return what matchings tell of several maps together, each counting by its share; None where one tells nothing."""
    known = all_known(parts)
    if known is None:
        return None
    pairs = list(zip(known, shares, strict=True))
    leasts = all_known([part.least for part in known])
    return Excess(
        gap=_sum_of_shares([part.gap for part in known], shares),
        error=math.hypot(*(share * part.error for part, share in pairs)),
        least=None if leasts is None else _sum_of_shares(leasts, shares),
        stretch=_sum_of_shares([part.stretch for part in known], shares),
        shrink=_sum_of_shares([part.shrink for part in known], shares),
    )


def _sum_of_shares(values: Sequence[float], shares: Sequence[float]) -> float:
    """Return the mean of values by their shares."""
    return sum(share * value for value, share in zip(values, shares, strict=True))


def excess_of(
    transport: TransportMap,
    figures: Figures,
    x: Weighted,
    z: Weighted,
    generator: torch.Generator,
    affine: bool,
) -> Excess | None:
    """Return what matchings tell of the gap of a map, None where there are too few rows, or its gap is not known.

    Args:
        transport: the map.
        figures: of its bounds.
        x, z: rows of either side.
        generator: the only source of randomness.
        affine: whether it is an affine one, with no twin to say more.
    """
    if figures.gap is None:
        return None
    wanted = CERTIFICATES.affine_rows if affine else CERTIFICATES.guard_rows
    most = 2 * wanted
    x_rows, z_rows = placed_rows(transport, x, z, generator, most)
    terms = MatchedRows.of(transport, x_rows, z_rows)
    rows = terms.pairs(most) // 2
    found = matching(terms, transport, rows)
    # The difference of matchings of as many rows has little of what is owed to few rows.
    found = found.less(own_matching(terms, transport, rows))
    error = figures.factor * found.variance**0.5
    distance = figures.distance
    crossed = isinstance(distance, Distance) and distance.affine_rows is not None
    stretch, shrink = _mean_eigenvalues(transport, terms, generator)
    return Excess(
        gap=max(0.0, figures.factor * found.mean + figures.optimism),
        error=math.hypot(error, figures.gap.error),
        least=max(0.0, figures.optimism / 2) if crossed else None,
        stretch=stretch,
        shrink=shrink,
    )


def _mean_eigenvalues(
    transport: TransportMap, terms: MatchedRows, generator: torch.Generator
) -> tuple[float, float]:
    """Return the mean eigenvalue of the map's derivative and of its inverse's, over rows of either side.

    By central differences along one random direction a row (Hutchinson, 1990); in units of the cost.
    """
    unit = transport.coordinates.unit
    return (
        _mean_trace(transport, transport.__call__, terms.x, unit, generator),
        _mean_trace(transport, _inverse_of(transport), terms.z, unit, generator),
    )


def _inverse_of(transport: TransportMap) -> Callable[[Tensor], Tensor]:
    """Return the inverse without its warnings."""

    def inverse(z: Tensor) -> Tensor:
        back: Tensor = transport.inverse(z, return_solution=True)[0]
        return back

    return inverse


def _mean_trace(
    transport: TransportMap,
    function: Callable[[Tensor], Tensor],
    rows: Tensor,
    unit: Tensor,
    generator: torch.Generator,
) -> float:
    """Return the mean over rows (n, d) of the trace of a function's derivative, over d."""
    rows = rows[: CERTIFICATES.traced_rows]
    probes = torch.randn(rows.shape, generator=generator, dtype=torch.float64)
    step = CERTIFICATES.trace_step * unit * probes.to(rows)
    change = function(rows + step) - function(rows - step)
    measured = transport.coordinates.measured
    a, b = measured(step) / unit, measured(change) / unit
    return float((a * b).sum() / (2 * a.square().sum()))
