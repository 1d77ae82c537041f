"""A fit of few rows: none is only trained on or only selected by, and the discrete plan of the rows is a rival.

The rows fall into folds. Each network is trained on all folds but one, in coordinates in which the affine map of those
rows is the identity, and is judged by the fold left out; so every row judges, and the affine map that the networks have
to beat has not seen the rows that judge it either. The potential is the mean of the networks, in the coordinates of all
rows. By the same folds it is compared with the entropic plan of the rows (see `potentials.entropic`) at the temperature
that serves rows left out best, and with the mean of both: J is convex, so J of a mean is at most the mean of the J. Of
those the one with the least J on rows left out is taken, unless the affine map is as good.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from brenier.datasets import Population, Split
from brenier.estimators.entropic_fit import (
    CrossFittedPlan,
    annealed_potential,
    cross_fitted_plan,
)
from brenier.estimators.exact import plan_potential
from brenier.estimators.initial import initial_potential, mean_of
from brenier.estimators.options import Options
from brenier.estimators.plain import PlainPlan, PlainProblem, draw_from
from brenier.estimators.plan import Choice
from brenier.estimators.rivals import Rival, best_of, judged
from brenier.potentials import MeanPotential, Potential
from brenier.statistics import (
    Calibration,
    Features,
    Weighted,
    in_proportion,
    joined,
    moments,
    rows_of,
    weights_of,
)
from brenier.training import Run
from brenier.transport.coordinates import (
    Coordinates,
    cost_units,
    moment_coordinates,
    plain_coordinates,
    without_choice,
)
from brenier.transport.dual import DualTask, MemberSamples
from brenier.transport.maps import TransportMap

BothSides = tuple[Weighted, Weighted]
RowPairs = Sequence[BothSides]


class FoldedPlan(PlainPlan):
    """Two populations of few rows."""

    def problem(
        self, split: Split[Population], options: Options, generator: torch.Generator
    ) -> PlainProblem:
        """Return the problem, its rows in folds, or where there are too few or too many for that split once."""
        if split.held_out and self._fits(split, options):
            return FoldedProblem.of(self, split, options, generator)
        return super().problem(split, options, generator)

    @staticmethod
    def _fits(split: Split[Population], options: Options) -> bool:
        """Say whether there are neither too few nor too many rows for folds."""
        settings, folds = options.settings.entropic, options.folds
        sides = split.source, split.target
        fewest = min(side.effective or 0 for side in sides)
        most = max(side.size or 0 for side in sides)
        least = settings.rows_per_dimension * split.source.dim
        enough = fewest >= folds and fewest * (1 - 1 / folds) >= least
        return enough and most <= settings.most_folded_rows


class FoldedProblem(PlainProblem):
    """The transport problem of two populations of few rows.

    Args:
        plan: both populations, whole.
        split: into rows to fit to and rows to certify with.
        coordinates: determined by all rows to fit to.
        rows: those rows of either side, in the coordinates.
        folds: the rows of either side that each network is trained on, in its own coordinates.
        samples: what each network is trained on and judged by.
        options: what the fit is told.
        generator: the only source of randomness.
    """

    def __init__(
        self,
        plan: PlainPlan,
        split: Split[Population],
        coordinates: Coordinates,
        rows: BothSides,
        folds: RowPairs,
        samples: Sequence[MemberSamples],
        options: Options,
        generator: torch.Generator,
    ) -> None:
        task = _folded_task(coordinates.dim, samples, options, generator)
        super().__init__(plan, split, coordinates, task, options, generator)
        self.rows, self.samples = rows, samples
        self._of_all_rows: Callable[[BothSides], Potential] | None = None
        self.entropic: CrossFittedPlan | None = None
        if options.entropic:  # before training, which gets the time that is left
            self.entropic = cross_fitted_plan(
                folds, samples, task.evaluation_tol, options
            )

    @staticmethod
    def of(
        plan: PlainPlan,
        split: Split[Population],
        options: Options,
        generator: torch.Generator,
    ) -> FoldedProblem:
        """Return the problem of a split; the rows to select by are fitted to as well.

        Args:
            plan: both populations, whole.
            split: their rows.
            options: what the fit is told, `folds` among it.
            generator: the only source of randomness.
        """
        sides = [
            joined([side.sample_weighted(side.size or 0, generator), select]).of(
                Tensor.cpu
            )
            for side, select in zip(
                (split.source, split.target), split.select, strict=True
            )
        ]
        numbers = [
            torch.randperm(len(side), generator=generator) % options.folds
            for side in sides
        ]
        parts = [_parted(sides, numbers, k) for k in range(options.folds)]
        whole = (sides[0], sides[1])
        with options.pace.timed_coordinates():
            *own, shared = _coordinates(
                [fitted for fitted, _ in parts] + [whole], options
            )
        folds, samples = [], []
        for (fitted, left_out), coordinates in zip(parts, own, strict=True):
            rows = _encoded(fitted, coordinates, options)
            held_out = _encoded(left_out, coordinates, options)
            folds.append(rows)
            samples.append(_member_samples(rows, held_out, options, generator))
        return FoldedProblem(
            plan,
            split,
            shared,
            _encoded(whole, shared, options),
            folds,
            samples,
            options,
            generator,
        )

    def choose(self, run: Run[Potential]) -> Choice:
        """Return the best of networks, plan and their mean on rows left out, or the start where it is as good."""
        networks = run.result().members()
        rivals = [self._judged("network", networks)]
        temperatures: Sequence[float] = ()
        plans = self.entropic
        if plans:
            plan = plans.best()
            temperatures = plans.up_to(plan)
            pairs = zip(networks, plan.potentials, strict=True)
            means = [MeanPotential(pair) for pair in pairs]
            rivals += [plan, self._judged("network and plan", means)]
        facts = {"cross_fitted": {rival.name: rival.loss for rival in rivals}}
        settings = self.options.settings.entropic
        best = best_of(rivals)
        if not -best.loss > settings.choice_errors * best.value.standard_error():
            return Choice(self.identity(), self.options.start, facts)
        most = settings.worth(best.loss, self.coordinates.dim)
        sharp = plans.sharpest(most) if plans else None
        if plans and sharp:
            best, temperatures = sharp, plans.up_to(sharp)
        chosen = Choice(
            self._fitted(best.name, networks, temperatures, self.rows), best.name, facts
        )
        if best.name != "network":
            self._of_all_rows = functools.partial(
                self._fitted, best.name, networks, temperatures
            )
        return chosen

    def certified_map(self, network: Potential, refit: bool) -> TransportMap:
        """Return the map of a potential, certified; of a plan it is then that of all rows, those that certify too."""
        transport = super().certified_map(network, refit)
        most = self.options.settings.entropic.entropic_rows
        if self._of_all_rows is not None and min(map(len, self.rows)) < most:
            certify = _encoded(self.split.certify, self.coordinates, self.options)
            pairs = zip(self.rows, certify, strict=True)
            u, w = (joined(pair) for pair in pairs)
            transport.network = self._of_all_rows((u, w))
        return transport

    def of_exact_plan(self) -> Potential | None:
        """Return the potential of the exact plan between some rows, as smooth as other rows want it."""
        self._of_all_rows = None  # what was chosen is given up
        held_out = _encoded(self.split.select, self.coordinates, self.options)
        x, z = (in_proportion(side, self.generator) for side in held_out)
        rows = self._some_rows(self.options.settings.plan.plan_rows)
        return plan_potential(rows, (x, z), self.options)

    def _judged(self, name: str, potentials: Sequence[Potential]) -> Rival:
        """Return potentials, one for each fold, judged by the rows that it left out."""
        return judged(
            name,
            potentials,
            self.samples,
            self.task.objective,
            self.task.evaluation_tol,
        )

    def _fitted(
        self,
        name: str,
        networks: Sequence[Potential],
        temperatures: Sequence[float],
        rows: BothSides,
    ) -> Potential:
        """Return the potential of a name, with the plan of some rows."""
        mean = MeanPotential(networks).eval().requires_grad_(False)
        if name == "network":
            return mean
        of_plan = annealed_potential(rows, temperatures, self.options.settings)
        if name == "plan":
            return of_plan
        weights = [0.5 / len(networks)] * len(networks) + [0.5]
        both = MeanPotential([*networks, of_plan], weights)
        return both.eval().requires_grad_(False)


def _parted(
    sides: Sequence[Weighted], numbers: Sequence[Tensor], k: int
) -> tuple[BothSides, BothSides]:
    """Return the rows of either side that are not of a fold, and those that are."""
    x, z = sides
    of_x, of_z = (each == k for each in numbers)
    return (x[~of_x], z[~of_z]), (x[of_x], z[of_z])


def _coordinates(pairs: RowPairs, options: Options) -> list[Coordinates]:
    """Return coordinates for every pair of sides, the last pair being all rows; they share units and rotation."""
    settings = options.settings
    x, z = pairs[-1]
    unit = cost_units(x, z, options.scale, settings.coordinates)
    if options.start != "affine":
        plain = without_choice(plain_coordinates(x, z, unit), x, z)
        return [plain.to(options.device)] * len(pairs)
    found = [(moments(a, unit), moments(b, unit)) for a, b in pairs]
    together = moment_coordinates(found, unit, settings.gaussian, pooled=False)
    return [together.pick(k).to(options.device) for k in range(len(pairs))]


def _encoded(rows: BothSides, coordinates: Coordinates, options: Options) -> BothSides:
    """Return rows of both sides in coordinates, in the precision of the network."""
    x, z = (side.rows.to(options.device) for side in rows)
    u, w = coordinates.encode_source(x), coordinates.encode_target(z)
    return (
        Weighted(u.to(options.dtype), rows[0].weights),
        Weighted(w.to(options.dtype), rows[1].weights),
    )


def _member_samples(
    rows: BothSides,
    held_out: BothSides,
    options: Options,
    generator: torch.Generator,
) -> MemberSamples:
    """Return what a network is trained on and judged by."""
    settings = options.settings
    batch = min(settings.training.batch_size, *map(len, rows))
    features = Features(batch, held_out[0].rows, generator, settings.calibration)
    calibration = [
        Calibration(features, side.rows, True, settings.calibration, side.weights)
        for side in rows
    ]
    draws = [draw_from(side) for side in rows]
    return MemberSamples(
        draws[0],
        draws[1],
        rows_of(held_out),
        calibration,
        starts=rows[0].rows,
        weights=weights_of(held_out),
    )


def _folded_task(
    dim: int,
    samples: Sequence[MemberSamples],
    options: Options,
    generator: torch.Generator,
) -> DualTask:
    """Return the training of new networks, one for each fold."""
    make = mean_of(options.make_network, options.folds)
    told = dataclasses.replace(options, make_potential=make)
    potential = initial_potential(dim, told, generator)
    options.pace.try_out(potential, samples[0].held_out[0])
    return DualTask(
        potential, options.objective, samples, options.settings.dual, generator
    )
