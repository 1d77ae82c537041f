"""What bounds are made of: the dual value, the audit of its minima, and the cost of exact matchings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from brenier.statistics import Weighted, in_proportion, widening
from brenier.transport.maps.certificates.audit import Audit, audited, pooled_audit
from brenier.transport.maps.certificates.matching import (
    MatchedRows,
    Matching,
    matching,
    some_rows,
)
from brenier.transport.maps.certificates.pooling import all_known
from brenier.transport.maps.certificates.settings import CERTIFICATES
from brenier.transport.maps.conditional import ConditionalMap
from brenier.transport.maps.cost_distance import CostDistance
from brenier.transport.maps.distance import Distance
from brenier.transport.maps.map import TransportMap


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A figure, its standard error, and the skewness of its law, which matters where rows have heavy tails."""

    value: float
    error: float
    skewness: float = 0.0

    def at_most(self, quantile: float) -> float:
        """Return the upper end of the interval of so many errors, farther out where the law is skewed to the right.

        "On the Removal of Skewness by Transformation", Hall, 1992, (1.2): rows without the rare large values that a
        mean rests on have a small mean and a small error, both at once.
        """
        skewed = max(0.0, self.skewness) * (2 * quantile**2 + 1) / 6
        return self.value + self.error * (quantile + skewed)

    @classmethod
    def pooled(cls, parts: Sequence[Estimate], shares: Sequence[float]) -> Estimate:
        """Return the mean of independent estimates by their shares."""
        pairs = list(zip(parts, shares, strict=True))
        value = sum(share * part.value for part, share in pairs)
        error = math.hypot(*(share * part.error for part, share in pairs))
        cubes = [part.skewness * (share * part.error) ** 3 for part, share in pairs]
        return cls(value, error, math.fsum(cubes) / error**3 if error else 0.0)


@dataclasses.dataclass(frozen=True)
class Figures:
    """What the bounds of one map are made of, in units of squared distance, or of the cost.

    Attributes:
        distance: as measured.
        factor: from cost units to these.
        dual: the dual value, in expectation none too high but for minima missed.
        optimism: by how much the dual value of the rows matched is above that.
        audit: of the minima.
        above: the cost of matchings, in expectation none too low; None where there are too few rows.
        gap: the difference of both, with the noise that does not cancel; None where it is not known.
        rows: of either side whose dual terms were found, and how many were matched.
        held_out: whether the map was trained on none of the rows of `dual`.
        remarks: what cannot be said, and why.
    """

    distance: Distance | CostDistance
    factor: float
    dual: Estimate
    optimism: float
    audit: Audit | None
    above: Estimate | None
    gap: Estimate | None
    rows: tuple[int, int]
    matched_rows: int
    held_out: bool
    remarks: tuple[str, ...]


def figures_of(
    transport: TransportMap,
    distance: Distance | CostDistance,
    x: Weighted,
    z: Weighted,
    generator: torch.Generator,
    same_rows: bool,
) -> Figures:
    """Return what the bounds of a map are made of.

    Args:
        transport: the map.
        distance: its dual value.
        x, z: (n, d), (m, d), float64, independent rows of either side.
        generator: the only source of randomness.
        same_rows: whether the distance was measured on these very rows.
    """
    most = CERTIFICATES.solved_rows
    effective = x.effective, z.effective
    x_rows, z_rows = placed_rows(transport, x, z, generator, most)
    factor = factor_of(transport)
    dual = dual_of(distance)
    remarks = list(_remarks_of(distance))
    few = min(effective) < CERTIFICATES.least_rows
    if few:
        remarks.append(
            f"With fewer than {CERTIFICATES.least_rows} rows of a side no bound says anything here."
        )
    audit = None
    if len(x_rows) and len(z_rows):
        chosen = z_rows[: CERTIFICATES.audit_rows]
        u = transport.coordinates.encode_source(x_rows)
        audit = audited(transport.rows(), u, chosen, generator, factor)
    above = gap = None
    matched_rows, optimism = 0, 0.0
    if not few:
        terms = MatchedRows.of(transport, x_rows, z_rows, effective)
        matched_rows = terms.pairs(CERTIFICATES.matched_rows)
        found = matching(terms, transport, matched_rows)
        above = _matched_cost(found, terms, factor)
        gap = _gap(above, found, terms, distance, factor, same_rows)
        optimism = above.value - factor * found.mean - dual.value
    return Figures(
        distance=distance,
        factor=factor,
        dual=dual,
        optimism=optimism,
        audit=audit,
        above=above,
        gap=gap,
        rows=(len(x_rows), len(z_rows)),
        matched_rows=matched_rows,
        held_out=distance.held_out,
        remarks=tuple(remarks),
    )


def placed_rows(
    transport: TransportMap,
    x: Weighted,
    z: Weighted,
    generator: torch.Generator,
    most: int,
) -> tuple[Tensor, Tensor]:
    """Return at most so many rows of either side in random order, as often as weights say, where the map lies."""
    device = transport.coordinates.unit.device
    sides = [
        some_rows(in_proportion(side, generator), generator, most) for side in (x, z)
    ]
    return sides[0].to(device), sides[1].to(device)


def factor_of(transport: TransportMap) -> float:
    """Return the factor from cost units to squared distances, or where there is a ground to costs as reported."""
    unit = transport.unit_of_values()
    return unit if transport.ground is not None else 2 * unit


def dual_of(distance: Distance | CostDistance) -> Estimate:
    """Return the dual value in squared units, in expectation none too high, and its error."""
    if isinstance(distance, CostDistance):
        return Estimate(distance.cost, distance.cost_error)
    value = distance.lower**2 if distance.lower > 0 else min(0.0, distance.squared)
    return Estimate(value, distance.squared_error)


def pooled_figures(parts: Sequence[Figures], shares: Sequence[float]) -> Figures:
    """Return the figures of several maps together, each counting by its share.

    Args:
        parts: of independent rows.
        shares: of sum one.
    """
    first = parts[0]
    dual = Estimate.pooled([part.dual for part in parts], shares)
    above = all_known([part.above for part in parts])
    gap = all_known([part.gap for part in parts])
    pairs = list(zip(parts, shares, strict=True))
    remarks = dict.fromkeys(remark for part in parts for remark in part.remarks)
    return Figures(
        distance=first.distance,
        factor=first.factor,
        dual=dual,
        optimism=sum(share * part.optimism for part, share in pairs),
        audit=pooled_audit([part.audit for part in parts], shares),
        above=None if above is None else Estimate.pooled(above, shares),
        gap=None if gap is None else Estimate.pooled(gap, shares),
        rows=(
            sum(part.rows[0] for part in parts),
            sum(part.rows[1] for part in parts),
        ),
        matched_rows=min(part.matched_rows for part in parts),
        held_out=all(part.held_out for part in parts),
        remarks=tuple(remarks),
    )


def over_covariates(
    transport: ConditionalMap,
    pooled: Figures | None,
    distance: Distance,
    audit: Audit | None,
) -> Figures:
    """Return the figures of a map over all values of its covariates.

    Args:
        transport: the map.
        pooled: those of single values together, or None where values are nearly all different.
        distance: over all values, as measured on held-out rows.
        audit: of the minima, where there are no figures.
    """
    dual = dual_of(distance)
    if pooled is None:
        remark = (
            "The upper bound and the gap say nothing here: covariates take too many values, or too few rows share one, "
            "to match rows of equal values."
        )
        return Figures(
            distance=distance,
            factor=2 * transport.unit_of_values(),
            dual=dual,
            optimism=0.0,
            audit=audit,
            above=None,
            gap=None,
            rows=distance.rows,
            matched_rows=0,
            held_out=distance.held_out,
            remarks=(remark, *_remarks_of(distance)),
        )
    gap = None
    if pooled.above is not None:
        difference = pooled.above.value - dual.value
        gap = Estimate(difference, math.hypot(pooled.above.error, dual.error))
    return dataclasses.replace(
        pooled,
        distance=distance,
        dual=dual,
        gap=gap,
        held_out=distance.held_out,
        remarks=tuple(_remarks_of(distance)),
    )


def _matched_cost(excess: Matching, terms: MatchedRows, factor: float) -> Estimate:
    """Return the cost of matchings, with the noise of the rows' dual terms taken as that of the rows."""
    sides = [factor * terms.phi, factor * terms.phi_c]
    variances = [
        float(side.var()) / rows
        for side, rows in zip(sides, terms.worth(), strict=True)
    ]
    variances.append(factor**2 * excess.variance)
    freedoms = [len(sides[0]) - 1, len(sides[1]) - 1, len(excess.parts) - 1]
    value = factor * excess.mean + sum(float(side.mean()) for side in sides)
    error = sum(variances) ** 0.5
    cubes = [
        float((side - side.mean()).pow(3).mean()) / rows**2
        for side, rows in zip(sides, terms.worth(), strict=True)
    ]
    skewness = math.fsum(cubes) / error**3 if error else 0.0
    return Estimate(value, error * widening(variances, freedoms), skewness)


def _gap(
    above: Estimate,
    excess: Matching,
    terms: MatchedRows,
    distance: Distance | CostDistance,
    factor: float,
    same_rows: bool,
) -> Estimate:
    """Return by how much the cost of matchings is above the dual value.

    Where both are of the same rows, the noise of their dual terms cancels; what is left is that of the matchings, of
    what a network adds to the affine part on its held-out rows, and of rows that only one of them rests on.
    """
    dual = dual_of(distance)
    value = above.value - dual.value
    affine_rows = distance.affine_rows if isinstance(distance, Distance) else None
    if affine_rows is None and not same_rows:
        return Estimate(value, math.hypot(above.error, dual.error))
    variances = [factor**2 * excess.variance]
    freedoms = [float(len(excess.parts) - 1)]
    measured = distance.rows if affine_rows is None else affine_rows
    sides = zip((terms.phi, terms.phi_c), terms.worth(), measured, strict=True)
    for side, worth, rows in sides:
        only_one = abs(1 / worth - 1 / rows)
        variances.append(factor**2 * float(side.var()) * only_one)
        freedoms.append(len(side) - 1)
    if isinstance(distance, Distance) and distance.gain_error is not None:
        variances.append(distance.gain_error**2)
        freedoms.append(min(distance.rows) - 1)
    return Estimate(value, sum(variances) ** 0.5 * widening(variances, freedoms))


def _remarks_of(distance: Distance | CostDistance) -> Sequence[str]:
    """Return what cannot be said because of how the dual value was measured."""
    if distance.held_out:
        return ()
    return (
        "The lower bound and the gap say nothing here: the fit held out no rows that it had not seen. Give new rows, "
        "`certify(X, Y)`.",
    )
