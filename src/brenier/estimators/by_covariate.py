"""A fit by covariate: a map at every value of some covariates, all from one network.

Conditioned on c, J is a mean over c of the dual objectives between mu_c and nu_c, and both sides of a batch must hold c
with the same density. No two rows need share a value of it: for values drawn from both sides alike each side gives one
of the rows nearest to them, and every row keeps its own value. Where the covariates do not matter to one side, its rows
are given those of the other side at random.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.datasets import SplitSettings
from brenier.estimators.conditioned import (
    conditional_map,
    conditioned_identity,
    conditioned_task,
)
from brenier.estimators.covariate_draw import CovariateDraw, common_values
from brenier.estimators.inspection import inspected_covariates
from brenier.estimators.kept_rows import kept_rows
from brenier.estimators.options import Options
from brenier.estimators.plan import Choice, RoundTripRows
from brenier.estimators.verdict import Comparison, network_or_start
from brenier.potentials import Potential
from brenier.statistics import Weighted
from brenier.training import Run
from brenier.transport.coordinates import (
    Coordinates,
    CovariateRows,
    Covariates,
    cost_units,
    covariate_coordinates,
    to_coordinates,
)
from brenier.transport.dual import DualTask
from brenier.transport.maps import (
    ConditionalMap,
    Distance,
    TransportMap,
    pooled_distance,
)


class Parts(NamedTuple):
    """Both sides' rows to train on, to select by or to certify with."""

    source: CovariateRows
    target: CovariateRows


@dataclasses.dataclass(frozen=True)
class CovariatePlan:
    """Two populations whose rows have covariates."""

    source: CovariateRows
    target: CovariateRows

    def prepare(self, options: Options, generator: torch.Generator) -> CovariateProblem:
        """Return the problem, its samples split and encoded."""
        options.progress.phase("inspecting")
        plan = CovariatePlan(*inspected_covariates(self.source, self.target, options))
        options.progress.phase("preparing")
        settings = options.settings
        train, select, certify = _split_sides(plan, settings.split, generator)
        with options.pace.timed_coordinates():
            conditions = _covariate_coordinates(train, options)
        draws = _draws(train, conditions, options, generator)
        held_out = _draws(select, conditions, options, generator)
        most = min(settings.split.held_out_rows, held_out[0].size, held_out[1].size)
        x, z = (Weighted(side.rows(most, generator)) for side in held_out)
        dim = conditions.coordinates.dim
        task = conditioned_task(*draws, (x, z), dim, options, generator)
        evidence = min(len(side.rows) for side in select)
        return CovariateProblem(
            plan, certify, conditions, draws, task, options, generator, evidence
        )


class CovariateProblem:
    """The transport problems at all values of the covariates.

    Args:
        plan: all rows.
        certify: rows that take part in nothing but the measurement.
        conditions: the coordinates at every value, determined by training rows alone.
        draws: how batches of either side are drawn.
        task: the training of the potential.
        options: what the fit is told.
        generator: the only source of randomness.
        evidence: how many rows of a side are selected by, at least, each counted once.
    """

    def __init__(
        self,
        plan: CovariatePlan,
        certify: Parts,
        conditions: Covariates,
        draws: tuple[CovariateDraw, CovariateDraw],
        task: DualTask,
        options: Options,
        generator: torch.Generator,
        evidence: int,
    ) -> None:
        self.evidence = evidence
        self.plan, self.certify, self.conditions = plan, certify, conditions
        self.draws, self.task = draws, task
        self.options, self.generator = options, generator

    @property
    def coordinates(self) -> Coordinates:
        """The coordinates at the knots."""
        return self.conditions.coordinates

    def choose(self, run: Run[Potential]) -> Choice:
        """Return the network of a run, or the start where it is no better."""
        return network_or_start(self, run, self.options)

    def compare(self) -> Comparison:
        """Return many rows of either side at like values, some of them more than once."""
        most = self.options.settings.pipeline.moment_rows
        source, target = self.draws
        x = source.rows(min(most, source.size), self.generator)
        z = target.rows(min(most, target.size), self.generator)
        return Comparison(x, z, distinct=False, evidence=self.evidence)

    def identity(self) -> Potential:
        """Return the potential of the maps that training started from."""
        return conditioned_identity(self.task, self.options)

    def certified_map(self, network: Potential, refit: bool) -> ConditionalMap:
        """Return the maps of a network, with the distance measured over the values of both sides."""
        rows = kept_rows(self.draws[0].distinct, network, self.options, self.generator)
        transport = conditional_map(
            network, self.conditions, self.task, self.options, rows
        )
        pace = self.options.pace
        measured = self._measured(transport, whole=refit)
        what = "the affine maps rest on the rows of training alone"
        if refit and pace.affords(1, pace.settings.affine_share, what):
            transport.conditions = self._refitted()
        transport.pooled_distance = measured
        return transport

    def fault(self, transport: TransportMap | ConditionalMap) -> str | None:
        """Return how the figures of a map contradict each other, or None."""
        return transport.contradiction()

    def of_exact_plan(self) -> None:
        """Return nothing: each condition would need a plan of its own."""
        return

    def round_trip(self) -> RoundTripRows:
        """Return source rows, not trained on, and their covariates."""
        source, target = self.certify
        return RoundTripRows(
            source.rows, (_own_or_lent(source, target, self.generator).covariates,)
        )

    def _measured(self, transport: ConditionalMap, whole: bool) -> Distance:
        """Return the distance over the values of both sides, at which rows of either side are drawn alike."""
        # A generator of its own: measuring is not to change what is drawn after it.
        generator = torch.Generator().manual_seed(self.generator.initial_seed())
        source, target = _draws(self.certify, self.conditions, self.options, generator)
        n, pace = min(source.size, target.size), self.options.pace
        if not whole:
            n = pace.rows(n, pace.settings.measured_share, "measured")
        return pooled_distance(
            transport,
            source.measured(n, generator),
            target.measured(n, generator),
            held_out=self.certify.source is not self.plan.source
            and self.options.warm is None,
        )

    def _refitted(self) -> Covariates:
        """Return the coordinates determined by all rows."""
        settings = self.options.settings
        conditions = covariate_coordinates(
            self.plan.source,
            self.plan.target,
            self.coordinates.unit_of_cost().cpu(),
            settings=settings.coordinates,
            regression=settings.regression,
        )
        return conditions.to(self.options.device)


def _split_sides(
    plan: CovariatePlan, settings: SplitSettings, generator: torch.Generator
) -> Sequence[Parts]:
    """Return both sides in three parts: to train on, to select by, to certify with; all of it where rows are few."""
    sides = (plan.source, plan.target)
    counts = [settings.count(len(side.rows)) for side in sides]
    if min(counts) < 2:
        return [Parts(*sides)] * 3
    cut = [_cut(side, n, generator) for side, n in zip(sides, counts, strict=True)]
    return [Parts(*parts) for parts in zip(*cut, strict=True)]


def _cut(
    side: CovariateRows, n: int, generator: torch.Generator
) -> list[CovariateRows]:
    """Return the rows of a side but 2n, and twice n of them, disjoint."""
    order = torch.randperm(len(side.rows), generator=generator)
    parts = []
    for index in order.split([len(side.rows) - 2 * n, n, n]):
        own = None if side.covariates is None else side.covariates[index]
        parts.append(CovariateRows(side.rows[index], own))
    return parts


def _covariate_coordinates(train: Parts, options: Options) -> Covariates:
    """Return the coordinates at every value, determined by these rows."""
    if isinstance(options.warm, ConditionalMap) and isinstance(
        options.warm.conditions, Covariates
    ):
        return options.warm.conditions.to(options.device)
    settings = options.settings
    unit = cost_units(
        train.source.rows, train.target.rows, options.scale, settings.coordinates
    )
    conditions = covariate_coordinates(
        *train,
        unit,
        gaussian=options.start == "affine",
        settings=settings.coordinates,
        regression=settings.regression,
    )
    return conditions.to(options.device)


class RowCovariates(NamedTuple):
    """Covariates (n, p) of some rows, and which rows of the other side lent them: (n,), or None for their own."""

    covariates: Tensor
    lenders: Tensor | None


def _own_or_lent(
    side: CovariateRows, other: CovariateRows, generator: torch.Generator
) -> RowCovariates:
    """Return the covariates of a side, or those of the other at random where it has none."""
    if side.covariates is not None:
        return RowCovariates(side.covariates, None)
    lent = side.rows[:, :0] if other.covariates is None else other.covariates
    lenders = torch.randint(len(lent), (len(side.rows),), generator=generator)
    return RowCovariates(lent[lenders], lenders)


def _draws(
    parts: Parts, conditions: Covariates, options: Options, generator: torch.Generator
) -> tuple[CovariateDraw, CovariateDraw]:
    """Return how batches of both sides are drawn at like values."""
    pipeline = options.settings.pipeline
    sides, given = [], []
    for side, other in (parts, parts[::-1]):
        copies = 1
        if side.covariates is None:  # every row may come with every value
            copies = max(
                1, min(pipeline.lent_rows, 4 * len(other.rows)) // len(side.rows)
            )
        repeated = CovariateRows(side.rows.repeat(copies, 1), side.covariates)
        sides.append(repeated.rows)
        given.append(_own_or_lent(repeated, other, generator))
    index = [conditions.scaled(own.covariates) for own in given]
    values = common_values(*index)
    draws = []
    for k, target in enumerate((False, True)):
        points = to_coordinates(
            sides[k], index[k], conditions, target, options.device, options.dtype
        )
        draws.append(
            CovariateDraw(
                sides[k],
                index[k],
                points,
                values,
                pipeline,
                generator,
                different=len(parts[k].rows),
                lenders=given[k].lenders,
            )
        )
    return draws[0], draws[1]
