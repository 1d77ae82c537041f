"""The parts of a fit that are certified one by one, each with rows of its own.

A plain fit is one part, a fit by class has one per class. A fit with covariates has one per value of them, where both
sides hold few values and enough rows of each; where values are nearly all different there are none.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from brenier.datasets import Population
from brenier.estimators.by_class import ClassPlan
from brenier.estimators.by_covariate import CovariatePlan
from brenier.estimators.parameters import FittedMap
from brenier.estimators.plain import PlainPlan
from brenier.estimators.plan import Plan
from brenier.statistics import Weighted
from brenier.transport.coordinates import CovariateRows, Metric
from brenier.transport.maps import (
    Audit,
    ConditionalMap,
    CostDistance,
    Distance,
    TransportMap,
    audited,
)


@dataclasses.dataclass(frozen=True)
class PartSettings:
    """When values of covariates are parts.

    Attributes:
        part_rows: rows of a side of a part that are looked at, at most.
        most_values: values of covariates, at most: each is matched by itself.
        value_rows: rows of either side at each value, at least.
        audited_rows: rows whose minima are searched for again where there are no parts.
    """

    part_rows: int = 20_000
    most_values: int = 20
    value_rows: int = 30
    audited_rows: int = 2000


PARTS = PartSettings()


# What a part is of, its map, its rows of either side, and how many source rows it counts for.
Counted: TypeAlias = tuple[Hashable, TransportMap, Weighted, Weighted, float]


class Part(NamedTuple):
    """A map and rows of its own.

    Attributes:
        condition: a label, the values of covariates, or None.
        transport: the map.
        x, z: rows of either side, in the units of the data, float64.
        distance: as measured at fit time, else on these rows.
        share: of the source rows that belong to it.
    """

    condition: Hashable
    transport: TransportMap
    x: Weighted
    z: Weighted
    distance: Distance | CostDistance
    share: float


def parts_of(
    transport: FittedMap, plan: Plan, new: bool, generator: torch.Generator
) -> list[Part]:
    """Return the parts of a fit.

    Args:
        transport: the fitted map.
        plan: its samples, or new ones.
        new: whether they are new: their distances are then measured on them.
        generator: of the rows that are drawn.
    """
    found = list(_parts(transport, plan, generator))
    total = math.fsum(share for *_, share in found)
    parts = []
    for condition, own, x, z, share in found:
        known = own.held_out_distance
        if new or known is None:
            weights = x.weights, z.weights
            known = own.measure(x.rows, z.rows, held_out=new, weights=weights)
        parts.append(Part(condition, own, x, z, known, share / total))
    return parts


def audited_values(
    transport: ConditionalMap, plan: CovariatePlan, generator: torch.Generator
) -> Audit | None:
    """Return the audit of inner minima at the values of covariates that target rows come with."""
    sides, drawn = (plan.source, plan.target), []
    for side, other in zip(sides, reversed(sides), strict=True):
        order = torch.randperm(len(side.rows), generator=generator)
        chosen = order[: PARTS.audited_rows]
        own = covariates_of(side, other, generator)[chosen]
        rows = rows_in_data(
            Weighted(side.rows[chosen]), transport.coordinates.metric
        ).rows
        index = transport.conditions.encode_index(own, "covariates", len(chosen))
        drawn.append((rows.to(transport.coordinates.unit), index))
    (x, of_x), (z, of_z) = drawn
    u = transport.row_map(of_x).coordinates.encode_source(x)
    factor = 2 * transport.unit_of_values()
    return audited(transport.row_map(of_z), u, z, generator, factor)


def target_spread(transport: FittedMap, parts: Sequence[Part], plan: Plan) -> float:
    """Return the root of the target's total variance, in the unit of distances."""
    coordinates = transport.coordinates
    if isinstance(plan, CovariatePlan):
        rows = rows_in_data(Weighted(plan.target.rows), coordinates.metric).rows
    else:
        rows = torch.cat([part.z.rows for part in parts])
    scaled = coordinates.measured(rows.to(coordinates.unit)) / coordinates.unit
    variance = float(scaled.var(0).sum()) if len(scaled) > 1 else 0.0
    return math.sqrt(coordinates.squared_unit() * variance)


def covariates_of(
    side: CovariateRows, other: CovariateRows, generator: torch.Generator
) -> Tensor:
    """Return the covariates of a side, those of random rows of the other where they do not matter to it: (n, p)."""
    if side.covariates is not None:
        return side.covariates
    if other.covariates is None:
        return side.rows[:, :0]
    lenders = torch.randint(
        len(other.covariates), (len(side.rows),), generator=generator
    )
    return other.covariates[lenders]


def _parts(
    transport: FittedMap, plan: Plan, generator: torch.Generator
) -> Iterator[Counted]:
    """Yield the parts of a plan, each with as many rows as it has."""
    metric = transport.coordinates.metric
    if isinstance(plan, PlainPlan) and isinstance(transport, TransportMap):
        x, z = (
            _rows_of(side, metric, generator) for side in (plan.source, plan.target)
        )
        yield None, transport, x, z, 1.0
    if isinstance(plan, ClassPlan) and isinstance(transport, ConditionalMap):
        for label, (source, target) in zip(plan.labels, plan.pairs, strict=True):
            if label not in transport.labels:
                continue
            own = transport.at(label)
            x, z = (_rows_of(side, metric, generator) for side in (source, target))
            yield label, own, x, z, source.effective
    if isinstance(plan, CovariatePlan) and isinstance(transport, ConditionalMap):
        yield from _parts_by_value(transport, plan, generator)


def _parts_by_value(
    transport: ConditionalMap, plan: CovariatePlan, generator: torch.Generator
) -> Iterator[Counted]:
    """Yield a part for every value of covariates; nothing where there are many values, or few rows of one."""
    given = plan.source.covariates, plan.target.covariates
    values = torch.cat([side for side in given if side is not None]).unique(dim=0)
    if len(values) > PARTS.most_values:
        return
    metric, parts = transport.coordinates.metric, []
    for value in values:
        sides = [_at(side, value) for side in (plan.source, plan.target)]
        if min(map(len, sides)) < PARTS.value_rows:
            return
        own = transport.at(value.tolist())
        x, z = (
            rows_in_data(Weighted(_drawn_rows(side, generator)), metric)
            for side in sides
        )
        condition = tuple(value.tolist())
        key = condition if len(condition) > 1 else condition[0]
        parts.append((key, own, x, z, float(len(sides[0]))))
    yield from parts


def _at(side: CovariateRows, value: Tensor) -> Tensor:
    """Return the rows of a side that belong to a value: all where covariates do not matter to it."""
    if side.covariates is None:
        return side.rows
    return side.rows[(side.covariates == value).all(-1)]


def _drawn_rows(rows: Tensor, generator: torch.Generator) -> Tensor:
    """Return some of the rows, in random order."""
    order = torch.randperm(len(rows), generator=generator)
    return rows[order[: PARTS.part_rows].to(rows.device)]


def _rows_of(
    side: Population, metric: Metric | None, generator: torch.Generator
) -> Weighted:
    """Return some rows of a population, in the units of the data."""
    found = side.sample_weighted(PARTS.part_rows, generator)
    return rows_in_data(found.of(lambda rows: rows.double()), metric)


def rows_in_data(rows: Weighted, metric: Metric | None) -> Weighted:
    """Return rows that a fit took through a metric in the units of the data."""
    if metric is None:
        return rows
    back = metric.inverse_root.cpu()
    return rows.of(lambda side: side.cpu() @ back)
