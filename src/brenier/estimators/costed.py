"""A fit of plain samples under another cost than the squared distance, or with unbalanced mass.

Rows go into coordinates that only centre and scale, since others would change the cost. There a network is trained from
the shift between the middles of both sides, J is compared with that of the shift on rows held out, and the transport
cost is measured on rows that took part in nothing else.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from brenier.datasets import Population, Split
from brenier.errors import ConvergenceWarning, DataError, warn
from brenier.estimators.kept_rows import kept_rows
from brenier.estimators.options import Options
from brenier.estimators.plain import PlainPlan, PlainProblem, plain_task, training_rows
from brenier.estimators.plan import Choice
from brenier.potentials import Potential, Quadratic
from brenier.statistics import (
    Weighted,
    in_proportion,
    normal_score,
    some_of,
    some_weights,
    standard_error,
)
from brenier.training import Run
from brenier.transport.coordinates import Coordinates, cost_units
from brenier.transport.costs import CostFacts, ScaledCost, SquaredEuclidean
from brenier.transport.dual import DualTask, DualValue
from brenier.transport.maps import CostRowMap, Ground, TransportMap


@dataclasses.dataclass(frozen=True)
class CostSettings:
    """How a fit under any cost begins, and what it warns of.

    Attributes:
        level_pairs: pairs of rows whose displacements say how large the cost is.
        shift_errors: standard errors beyond which a feature's shift is begun with, where the cost makes displacements
            sparse.
        nearly: share of the largest slope of a cost that a shift may not need more of.
        bounding_rows: of the target, whose displacements bound those of the source where the cost has a largest slope.
        told_steep: share of rows with steeper slopes than the cost has, from which on they are warned of.
    """

    level_pairs: int = 1024
    shift_errors: float = 4.0
    nearly: float = 1 - 1e-6
    bounding_rows: int = 4096
    told_steep: float = 0.01


COSTED = CostSettings()


class CostPlan(PlainPlan):
    """Two populations, a cost and a mass."""

    def problem(
        self, split: Split[Population], options: Options, generator: torch.Generator
    ) -> CostProblem:
        """Return the problem of a split of these populations."""
        rows = training_rows(split, options, generator)
        x, z = (side.of(Tensor.cpu) for side in rows)
        with options.pace.timed_coordinates():
            coordinates = _scaling_coordinates(x, z, options)
        ground = _ground(x, z, coordinates, options)
        cost = ground.scaled(coordinates)
        mass = None if ground.mass is None else ground.mass.scaled(cost.level)
        plain = isinstance(ground.cost, SquaredEuclidean)
        objective = dataclasses.replace(
            options.objective, cost=None if plain else cost, mass=mass
        )
        own = dataclasses.replace(options, objective=objective)
        task = plain_task(split, rows, coordinates, own, generator)
        slope = torch.zeros(coordinates.dim, dtype=torch.float64)
        if options.start != "identity" and options.warm is None:
            slope = _slope(x, z, coordinates, cost, options)
            if mass is not None and not _pays(slope, task):
                slope = torch.zeros_like(slope)
            task.model = begin_at(task.model, slope)
        return CostProblem(
            self, split, coordinates, task, own, generator, ground, slope
        )


class CostProblem(PlainProblem):
    """The transport problem of two populations under a cost and a mass.

    Args:
        plan, split, coordinates, task, options, generator: as in `PlainProblem`.
        ground: the cost and the mass.
        slope: (d,), grad g of the shift that training starts from.
    """

    def __init__(
        self,
        plan: PlainPlan,
        split: Split[Population],
        coordinates: Coordinates,
        task: DualTask,
        options: Options,
        generator: torch.Generator,
        ground: Ground,
        slope: Tensor,
    ) -> None:
        super().__init__(plan, split, coordinates, task, options, generator)
        self.ground, self.slope = ground, slope

    def choose(self, run: Run[Potential]) -> Choice:
        """Return the network of a run, or the start where it is no better on rows held out."""
        network, start = run.result(), self.identity()
        if self.options.warm is not None or self._better(network, start):
            return Choice(network, "network")
        return Choice(start, self.options.start)

    def identity(self) -> Potential:
        """Return the potential of the shift that training started from."""
        return _of_slope(self.slope, self.task.held_out[0])

    def certified_map(self, network: Potential, refit: bool) -> TransportMap:
        """Return the map of a network, with its cost measured on rows that took part in nothing else."""
        pipeline, objective = self.options.settings.pipeline, self.task.objective
        transport = TransportMap(
            network,
            self.coordinates,
            method=objective.method,
            tol=pipeline.inverse_tol_factor * objective.tol,
            ground=self.ground,
            start_rows=kept_rows(self._rows, network, self.options, self.generator),
        )
        if self.ground.mass is not None:
            transport.ground = self._balanced_ends(transport)
        bounded = math.isfinite(CostFacts.of(self.ground.cost).largest_slope)
        if bounded:
            transport.ground = self._bounded(transport, transport.ground or self.ground)
        unseen = self.split.held_out and self.options.warm is None
        certify = self.split.certify
        pace = self.options.pace
        n = pace.rows(max(map(len, certify)), pace.settings.measured_share, "measured")
        x, z = (side[:n] for side in certify)
        transport.held_out_distance = transport.measure(
            x.rows, z.rows, held_out=unseen, weights=(x.weights, z.weights)
        )
        if bounded:
            self._tell_steep(transport)
        return transport

    def fault(self, transport: TransportMap) -> str | None:  # type: ignore[override]
        """Return what shows that a map is wrong, or None; rows of no mass may be moved anywhere."""
        return None if self.ground.mass is not None else super().fault(transport)

    def of_exact_plan(self) -> Potential | None:
        """Return None: the plan of another cost has no potential of ours."""
        return None

    def _better(self, network: Potential, start: Potential) -> bool:
        """Say whether a network's J is surely below that of the start on the rows held out."""
        pace, settings = self.options.pace, self.options.settings.pipeline
        most = max(map(len, self.task.held_out))
        n = pace.rows(2 * most, pace.settings.judged_share, "judged") // 2
        x, z = (some_of(side, max(2, n)) for side in self.task.held_out)
        weights = some_weights(self.task.weights, (len(x), len(z)))
        tol = self.task.evaluation_tol
        with torch.no_grad():
            found, before = (
                self.task.objective(each, x, z, tol=tol).weighted(weights)
                for each in (network, start)
            )
        gains = _gains(found, before)
        if gains is None:
            return False
        gain = float(sum(side.mean() for side in gains))
        error = standard_error(*gains)
        if gain <= settings.min_gain * self.coordinates.dim:
            return False
        errors = gain / error if error else math.inf
        return normal_score(errors, min(map(len, gains))) > settings.z_threshold

    def _balanced_ends(self, transport: TransportMap) -> Ground:
        """Return the ground with the constant at which both sides transport the same mass, on rows selected by."""
        x, z = self.split.select
        phi, phi_c, _ = transport.dual_terms(x.rows, z.rows)
        terms = Weighted(phi, x.weights), Weighted(phi_c, z.weights)
        return self.ground.with_constant_of(*terms)

    def _bounded(self, transport: TransportMap, ground: Ground) -> Ground:
        """Return a ground with the displacements that rows of the target come from, on rows selected by."""
        z = self.split.select[1].rows[: COSTED.bounding_rows].double()
        z = z.to(self.options.device)
        back, solution = transport.inverse(z, return_solution=True)
        moves = transport.coordinates.in_units(z - back.to(z))
        moves = moves[solution.converged.to(moves.device)]
        if not len(moves):
            return ground
        bounds = tuple(moves.amin(0).tolist()), tuple(moves.amax(0).tolist())
        return dataclasses.replace(ground, reach=bounds)

    def _tell_steep(self, transport: TransportMap) -> None:
        """Warn of rows whose slope is steeper than that of any displacement."""
        rows = transport.rows()
        if not isinstance(rows, CostRowMap):
            return
        x = self.split.certify[0].rows.double().to(self.options.device)
        share = float(rows.steep(x).double().mean())
        if share > COSTED.told_steep:
            warn(
                f"cost: {share:.1%} of held-out rows need a slope that {self.ground.cost!r} reaches nowhere, and are "
                "moved as far as any row of the target has come from; give a larger scale, or another cost",
                ConvergenceWarning,
            )


def _pays(slope: Tensor, task: DualTask) -> bool:
    """Say whether J of a shift is below that of the identity, on rows held out: mass need not be moved."""
    x, z = (some_of(side, COSTED.level_pairs) for side in task.held_out)
    with torch.no_grad():
        shift, identity = (
            task.objective(_of_slope(each, x), x, z, tol=task.evaluation_tol).value()
            for each in (slope, torch.zeros_like(slope))
        )
    return shift < identity


def _of_slope(slope: Tensor, like: Tensor) -> Potential:
    """Return the potential of a shift, of one precision and device with some rows."""
    return Quadratic(len(slope), shift=slope).to(like).eval().requires_grad_(False)


def begin_at(potential: Potential, slope: Tensor) -> Potential:
    """Return a potential whose networks begin with a linear part of this slope (d,), where they have an affine part."""
    for member in potential.members():
        affine = getattr(member, "affine", None)
        if isinstance(affine, Quadratic):
            with torch.no_grad():
                affine.shift.add_(slope.to(affine.shift))
    return potential


def _gains(found: DualValue, before: DualValue) -> tuple[Tensor, Tensor] | None:
    """Return by how much J's terms fell, row by row, of rows that both have; None where a J is not finite."""
    if not (found.loss.isfinite() and before.loss.isfinite()):
        return None
    sides = [value.row_terms() for value in (before, found)]
    usable = torch.isfinite(found.solution.residual + before.solution.residual)
    (x_before, z_before), (x_found, z_found) = sides
    return (x_before - x_found).double(), (z_before - z_found)[usable].double()


def _scaling_coordinates(x: Weighted, z: Weighted, options: Options) -> Coordinates:
    """Return coordinates that centre at the source and scale all features alike, in the units of the cost."""
    if isinstance(options.warm, TransportMap):
        return options.warm.coordinates.to(options.device)
    own_units = isinstance(options.scale, Tensor) or options.scale == "feature"
    scale = options.scale if own_units else "common"
    unit = cost_units(x, z, scale, options.settings.coordinates)
    if not own_units:
        unit = torch.ones_like(unit)
    spreads = [(side.variance() / unit.square()).mean() for side in (x, z)]
    variance = float(sum(spreads)) / 2
    centre = x.mean()
    if not variance > 0:  # two points
        variance = float(((z.mean() - centre) / unit).square().mean()) or 1.0
    length = torch.tensor(math.sqrt(variance), dtype=torch.float64)
    eye = torch.eye(len(unit), dtype=torch.float64)
    plain = Coordinates(unit * length, centre, centre.clone(), eye, eye.clone(), length)
    return plain.to(options.device)


def _ground(
    x: Weighted, z: Weighted, coordinates: Coordinates, options: Options
) -> Ground:
    """Return the cost and the mass, and the level at which the cost of usual displacements is about one."""
    if isinstance(options.warm, TransportMap) and options.warm.ground is not None:
        return options.warm.ground
    n = min(len(x), len(z), COSTED.level_pairs)
    unit = coordinates.unit.cpu()
    moves = (z.rows[:n] - x.rows[:n]) / unit
    level = ScaledCost.level_of(options.cost, float(coordinates.scale), moves)
    return Ground(options.cost, options.mass, level=level)


def _slope(
    x: Weighted,
    z: Weighted,
    coordinates: Coordinates,
    cost: ScaledCost,
    options: Options,
) -> Tensor:
    """Return grad h of the shift between both sides, in the coordinates: (d,).

    That is between their means, or with unbalanced mass their medians, which outliers move little.

    Raises:
        DataError: where a feature's shift needs a slope that the cost reaches nowhere.
    """
    unit = coordinates.unit.cpu()
    first, last = (_middle(side, options) for side in (x, z))
    shift = (last - first) / unit
    facts = CostFacts.of(cost)
    if facts.kink:
        variances = (side.variance() / side.effective for side in (x, z))
        error = sum(variances, torch.zeros(())).sqrt() / unit
        shift = torch.where(shift.abs() > COSTED.shift_errors * error, shift, 0.0)
    slope = cost.gradient(shift.unsqueeze(0))[0]
    if bool((slope.abs() > COSTED.nearly * facts.largest_slope).any()):
        column = int(slope.abs().argmax())
        raise DataError(
            f"cost: feature {column} is shifted by {float(shift[column] * unit[column]):.3g}, where {cost.cost!r} is "
            "as good as linear and no slope tells displacements apart; give a larger scale, or Power(1.5)"
        )
    return slope


def _middle(side: Weighted, options: Options) -> Tensor:
    """Return the mean of a side, with unbalanced mass the medians of its features: (d,)."""
    if options.mass is None:
        return side.mean()
    generator = torch.Generator().manual_seed(0)
    return in_proportion(side, generator).median(0).values
