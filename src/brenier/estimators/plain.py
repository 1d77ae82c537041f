"""A fit of plain samples: one map between two populations."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from brenier.datasets import Population, ScanRows, Split
from brenier.estimators.affine_parts import affine_parts
from brenier.estimators.exact import plan_potential, stray_share
from brenier.estimators.initial import identity_potential, initial_potential
from brenier.estimators.inspection import inspected
from brenier.estimators.kept_rows import kept_rows
from brenier.estimators.options import Options
from brenier.estimators.plan import Choice, RoundTripRows
from brenier.estimators.sharded import Encode, Sharded
from brenier.estimators.verdict import Comparison, network_or_start
from brenier.potentials import Potential
from brenier.statistics import (
    Calibration,
    Features,
    Weighted,
    drawn_positions,
    in_proportion,
    rows_of,
    weights_of,
)
from brenier.training import Run, led
from brenier.transport.coordinates import (
    Coordinates,
    cost_units,
    gaussian_coordinates,
    plain_coordinates,
    without_choice,
)
from brenier.transport.dual import Draw, DualTask, MemberSamples
from brenier.transport.maps import ConditionalMap, TransportMap


@dataclasses.dataclass(frozen=True)
class PlainPlan:
    """Two populations."""

    source: Population
    target: Population

    def prepare(self, options: Options, generator: torch.Generator) -> PlainProblem:
        """Return the problem, its samples split and encoded."""
        options.progress.phase("inspecting")
        plan = type(self)(*inspected(self.source, self.target, options))
        options.progress.phase("preparing")
        with options.pace.timed_draws():
            split = Split.of(
                plan.source, plan.target, generator, options.settings.split
            )
        return plan.problem(split, options, generator)

    def problem(
        self, split: Split[Population], options: Options, generator: torch.Generator
    ) -> PlainProblem:
        """Return the problem of a split of these populations."""
        rows = training_rows(split, options, generator)
        with options.pace.timed_coordinates():
            coordinates = _plain_coordinates(rows, options)
        task = plain_task(split, rows, coordinates, options, generator)
        return PlainProblem(self, split, coordinates, task, options, generator)


class PlainProblem:
    """The transport problem of two populations in affine coordinates.

    Args:
        plan: both populations, whole.
        split: into rows to train on, to select by and to certify with.
        coordinates: determined by training rows alone.
        task: the training of the potential.
        options: what the fit is told.
        generator: the only source of randomness.
    """

    def __init__(
        self,
        plan: PlainPlan,
        split: Split[Population],
        coordinates: Coordinates,
        task: DualTask,
        options: Options,
        generator: torch.Generator,
    ) -> None:
        self.plan, self.split, self.coordinates, self.task = (
            plan,
            split,
            coordinates,
            task,
        )
        self.options, self.generator = options, generator

    def choose(self, run: Run[Potential]) -> Choice:
        """Return the network of a run, or the start where it is no better."""
        return network_or_start(self, run, self.options)

    def compare(self) -> Comparison:
        """Return many rows of either side by which the network and the start are compared."""
        rows, device = self.options.settings.pipeline.moment_rows, self.options.device
        x = self.split.source.sample_weighted(rows, self.generator)
        z = self.split.target.sample_weighted(rows, self.generator)
        return Comparison(
            self.coordinates.encode_source(x.rows.to(device)),
            self.coordinates.encode_target(z.rows.to(device)),
            weights=(x.weights, z.weights),
        )

    def identity(self) -> Potential:
        """Return the potential of the map that training started from."""
        return identity_potential(self.coordinates.dim, self.options)

    def certified_map(self, network: Potential, refit: bool) -> TransportMap:
        """Return the map of a network, with the distance measured on rows that took part in nothing else.

        A refitted map keeps the distance of the one before, which is the poorer.
        """
        pipeline, objective = self.options.settings.pipeline, self.task.objective
        transport = TransportMap(
            network,
            self.coordinates,
            method=objective.method,
            tol=pipeline.inverse_tol_factor * objective.tol,
            start_rows=kept_rows(self._rows, network, self.options, self.generator),
        )
        (affine,) = affine_parts(
            [self.split],
            self.coordinates.unit,
            self.generator,
            self.options,
            gain=not refit,
        )
        # Rows that are new to this fit may have been in the one it goes on from.
        unseen = self.split.held_out and self.options.warm is None
        certify = self.split.certify
        if not refit:
            most = max(map(len, certify))
            pace = self.options.pace
            n = pace.rows(most, pace.settings.measured_share, "measured")
            certify = certify[0][:n], certify[1][:n]
        measured = transport.measure(
            *rows_of(certify),
            held_out=unseen,
            affine=affine,
            weights=weights_of(certify),
        )
        rows = min(pipeline.coordinate_rows + self.task.drawn, pipeline.refit_rows)
        if refit and self._affords_refit(rows):
            transport.coordinates = self._refitted(rows)
        transport.held_out_distance = measured
        return transport

    def fault(self, transport: TransportMap | ConditionalMap) -> str | None:
        """Return how figures contradict each other, or that moved rows lie where the target has none, or None."""
        settings = self.options.settings.plan
        held_out, fresh = self.split.certify
        x, condition, _ = self.round_trip()
        rows = self.split.target.sample_distinct(settings.compared_rows, self.generator)
        pace = self.options.pace
        most = pace.rows(
            settings.compared_rows, pace.settings.moved_share, "looked at", 1
        )
        moved = transport(x[:most].double(), *condition)

        def encode(rows: Tensor) -> Tensor:
            there = rows.to(self.options.device)
            return transport.coordinates.encode_target(there)

        stray = stray_share(
            held_out[:most].of(lambda _: encode(moved)),
            encode(fresh.rows[:most].double()),
            encode(rows),
            settings,
        )
        if stray > settings.max_stray_share:
            return (
                f"{stray:.0%} of held-out rows are moved to where the target has none"
            )
        return transport.contradiction()

    def of_exact_plan(self) -> Potential | None:
        """Return the potential of the exact plan between some training rows, as smooth as new rows want it."""
        x, z = (
            in_proportion(Weighted(rows, weights), self.generator)
            for rows, weights in zip(self.task.held_out, self.task.weights, strict=True)
        )
        rows = self._some_rows(self.options.settings.plan.plan_rows)
        return plan_potential(rows, (x, z), self.options)

    def round_trip(self) -> RoundTripRows:
        """Return source rows, not trained on, to go there and back."""
        x = self.split.certify[0]
        return RoundTripRows(x.rows, weights=x.weights)

    def _rows(self, n: int, generator: torch.Generator) -> Tensor:
        """Return training rows of the source in the coordinates."""
        x = self.split.source.sample_distinct(n, generator)
        return self.coordinates.encode_source(x.to(self.options.device))

    def _some_rows(self, most: int) -> tuple[Tensor, Tensor]:
        """Return training rows in the coordinates, as many of either side, in proportion to their weights."""
        x, z = (
            in_proportion(side.sample_weighted(most, self.generator), self.generator)
            for side in (self.split.source, self.split.target)
        )
        n, device = min(len(x), len(z)), self.options.device
        return (
            self.coordinates.encode_source(x[:n].to(device)),
            self.coordinates.encode_target(z[:n].to(device)),
        )

    def _affords_refit(self, rows: int) -> bool:
        """Say whether there is time to determine the coordinates by so many rows."""
        sizes = [side.size or rows for side in (self.plan.source, self.plan.target)]
        times = min(rows, max(sizes)) / self.options.settings.pipeline.coordinate_rows
        pace = self.options.pace
        what = "the affine map rests on the rows of training alone"
        return pace.affords(max(1.0, times), pace.settings.affine_share, what)

    def _refitted(self, rows: int) -> Coordinates:
        """Return the coordinates determined by many more rows."""
        x = self.plan.source.chunks(rows, self.generator)
        z = self.plan.target.chunks(rows, self.generator)
        unit = self.coordinates.unit_of_cost().cpu()
        coordinates = gaussian_coordinates(x, z, unit, self.options.settings.gaussian)
        return coordinates.to(self.options.device)


def training_rows(
    split: Split[Population], options: Options, generator: torch.Generator
) -> tuple[Weighted, Weighted]:
    """Return the training rows that determine coordinates, and what is known of the moments of batches."""
    most = options.settings.pipeline.coordinate_rows
    if split.source.size is None or split.target.size is None:
        held_out = sum(map(len, (*split.select, *split.certify)))
        most = options.pace.drawn_rows(most, held_out)
    x = split.source.sample_weighted(most, generator)
    return x, split.target.sample_weighted(most, generator)


def _plain_coordinates(
    rows: tuple[Weighted, Weighted], options: Options
) -> Coordinates:
    """Return the coordinates to train in, determined by training rows alone."""
    if isinstance(options.warm, TransportMap):
        return options.warm.coordinates.to(options.device)
    settings = options.settings
    x, z = (side.of(Tensor.cpu) for side in rows)
    unit = cost_units(x, z, options.scale, settings.coordinates)
    if options.start == "affine":
        coordinates = gaussian_coordinates(x, z, unit, settings.gaussian)
    else:
        plain = plain_coordinates(x, z, unit)
        coordinates = without_choice(plain, x, z)
    return coordinates.to(options.device)


def plain_task(
    split: Split[Population],
    known: tuple[Weighted, Weighted],
    coordinates: Coordinates,
    options: Options,
    generator: torch.Generator,
) -> DualTask:
    """Return the training of a new potential in these coordinates, which batches of known rows are calibrated by."""

    def encoding(encode: Encode) -> Encode:
        return lambda rows: encode(rows.to(options.device)).to(options.dtype)

    settings, source, target = options.settings, split.source, split.target
    rows = settings.pipeline.coordinate_rows
    potential = initial_potential(coordinates.dim, options, generator)
    encode_source = encoding(coordinates.encode_source)
    encode_target = encoding(coordinates.encode_target)
    x, z = split.select
    held_out = encode_source(x.rows), encode_target(z.rows)
    options.pace.try_out(potential, held_out[0])
    batch = options.pace.first_batch(
        min(settings.training.batch_size, source.size or rows, target.size or rows)
    )
    ranks = (
        led()
    )  # of which each has a part of a batch, and adds up the products of its features
    part = batch if ranks is None else max(1, batch // ranks.size)
    features = Features(part, held_out[0], generator, settings.calibration)
    calibration = [
        Calibration(
            features,
            encode(given.rows),
            complete=side.size is not None and side.size <= len(given),
            settings=settings.calibration,
            weights=given.weights,
        )
        for side, given, encode in (
            (source, known[0], encode_source),
            (target, known[1], encode_target),
        )
    ]
    weights = weights_of(split.select)
    # Scans begin to read here, after the potential was timed and while it is evaluated for the first time.
    draw_source, draw_target = (
        _draw(source, encode_source, generator),
        _draw(target, encode_target, generator),
    )
    samples = MemberSamples(
        draw_source, draw_target, held_out, calibration, weights=weights
    )
    task = DualTask(potential, options.objective, samples, settings.dual, generator)
    task.selected = options.pace.selected_rows(task.selected)
    return task


def _draw(side: Population, encode: Encode, generator: torch.Generator) -> Draw:
    """Return how batches of a population are drawn in the coordinates; rows in memory are encoded once."""
    if isinstance(side, ScanRows):
        return side.draws(encode, generator)
    if isinstance(side, Sharded):
        return side.draws(encode)
    if not side.in_memory:
        return lambda n, generator: encode(side.sample(n, generator))
    whole = side.sample_weighted(side.size or 0, torch.Generator())
    return draw_from(whole.of(encode))


def draw_from(given: Weighted) -> Draw:
    """Return how batches of some rows are drawn, in proportion to their weights, no more than there are."""
    rows, size = given.rows, len(given)
    cumulative = None if given.weights is None else given.weights.cumsum(0)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        if cumulative is None:
            index = torch.randint(size, (min(n, size),), generator=generator)
        else:
            index = drawn_positions(cumulative, min(n, size), generator)
        return rows[index.to(rows.device, non_blocking=True)]

    return draw
