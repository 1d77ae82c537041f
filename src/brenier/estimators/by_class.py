"""A fit by class: one map per class, all from one network.

    J = sum over classes k of p_k [ E_{mu_k} g(x, k) - E_{nu_k} min over y of |y - z|^2/2 + g(y, k) ]

("Fixed-Point Neural Optimal Transport...", Park et al., 2026, (39)). Both sides of a batch hold the classes in the same
proportions, p_k growing like the square root of the class's rows, or of what their weights make them worth: equal for
classes of equal size, and a class of few rows is not overfitted. Weights count within a class. Every class starts at
its own affine map, whose covariances lean on those of the other classes as far as these are alike
(`brenier.statistics.pool_covariances`). Classes are split, trained on, judged together and certified one by one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from brenier.datasets import Rows, Split, SplitSettings
from brenier.estimators.affine_parts import affine_parts
from brenier.estimators.class_draw import ClassDraw, class_points, side_points
from brenier.estimators.conditioned import (
    conditional_map,
    conditioned_identity,
    conditioned_task,
)
from brenier.estimators.inspection import inspected_classes
from brenier.estimators.kept_rows import kept_rows
from brenier.estimators.options import Options
from brenier.estimators.plan import Choice, RoundTripRows
from brenier.estimators.verdict import Comparison, network_or_start
from brenier.potentials import Potential
from brenier.statistics import Weighted, joined, moments, rows_of, weights_of
from brenier.training import Run
from brenier.transport.coordinates import (
    Classes,
    Coordinates,
    cost_units,
    moment_coordinates,
    plain_coordinates,
)
from brenier.transport.dual import DualTask
from brenier.transport.maps import ConditionalMap, TransportMap

Pairs: TypeAlias = Sequence[tuple[Rows, Rows]]  # both sides of every class
# Rows of either side of every class, at once or in chunks.
Sides: TypeAlias = Sequence[
    tuple[Weighted | Iterable[Weighted], Weighted | Iterable[Weighted]]
]


@dataclasses.dataclass(frozen=True)
class ClassPlan:
    """Two populations by class.

    Attributes:
        pairs: source and target rows, class by class.
        labels: of the classes.
    """

    pairs: Pairs
    labels: tuple[Hashable, ...]

    def prepare(self, options: Options, generator: torch.Generator) -> ClassProblem:
        """Return the problem, its samples split and encoded."""
        options.progress.phase("inspecting")
        pairs = inspected_classes(self.pairs, self.labels, options)
        options.progress.phase("preparing")
        plan = ClassPlan(pairs, self.labels)
        splits = _split_classes(plan.pairs, options.settings.split, generator)
        training = [(split.source, split.target) for split in splits]
        with options.pace.timed_coordinates():
            coordinates = _class_coordinates(training, options, generator)
        classes = Classes(self.labels, coordinates.to(options.device))
        task = _class_task(splits, classes, options, generator)
        return ClassProblem(plan, splits, classes, task, options, generator)


class ClassProblem:
    """The transport problems of all classes, each in its own coordinates.

    Args:
        plan: all rows.
        splits: of every class, into rows to train on, to select by and to certify with.
        classes: with the coordinates determined by training rows alone.
        task: the training of the potential.
        options: what the fit is told.
        generator: the only source of randomness.
    """

    def __init__(
        self,
        plan: ClassPlan,
        splits: Sequence[Split[Rows]],
        classes: Classes,
        task: DualTask,
        options: Options,
        generator: torch.Generator,
    ) -> None:
        self.plan, self.splits, self.classes, self.task = plan, splits, classes, task
        self.options, self.generator = options, generator

    @property
    def coordinates(self) -> Coordinates:
        """The coordinates of all classes."""
        return self.classes.coordinates

    def choose(self, run: Run[Potential]) -> Choice:
        """Return the network of a run, or the start where it is no better."""
        return network_or_start(self, run, self.options)

    def compare(self) -> Comparison:
        """Return many rows of all classes, as many of either side, in the proportions of those held out."""
        settings, generator = self.options.settings, self.generator
        compared = []
        for split in self.splits:
            # Of ten rows eight are trained on, for one that is selected by and one that certifies.
            times = settings.split.held_out_one_in - 2 if split.held_out else 1
            n = len(split.select[0]) * times
            x = split.source.sample_weighted(n, generator)
            compared.append((x, split.target.sample_weighted(n, generator)))
        points = class_points(compared, self.classes, self.options)
        return Comparison(*rows_of(points), weights=weights_of(points))

    def identity(self) -> Potential:
        """Return the potential of the maps that training started from."""
        return conditioned_identity(self.task, self.options)

    def certified_map(self, network: Potential, refit: bool) -> ConditionalMap:
        """Return the maps of a network, with the distance of every class measured on rows of its own."""
        kept = kept_rows(self._rows, network, self.options, self.generator)
        transport = conditional_map(
            network, self.classes, self.task, self.options, kept
        )
        parts = affine_parts(
            self.splits,
            self.coordinates.unit,
            self.generator,
            self.options,
            gain=not refit,
        )
        # Rows that are new to this fit may have been in the one it goes on from.
        unseen = [split.held_out and self.options.warm is None for split in self.splits]
        share = 1.0 if refit else self._measured_share()
        for k, (split, affine) in enumerate(zip(self.splits, parts, strict=True)):
            n = math.ceil(share * len(split.certify[0]))
            if len(split.certify[0]) > 1:
                n = max(2, n)
                rows = split.certify[0][:n], split.certify[1][:n]
                transport.held_out_distance[k] = transport.at_index(
                    torch.tensor(k)
                ).measure(
                    *rows_of(rows),
                    held_out=unseen[k],
                    affine=affine,
                    weights=weights_of(rows),
                )
        pace = self.options.pace
        what = "the affine maps rest on the rows of training alone"
        if refit and pace.affords(1, pace.settings.affine_share, what):
            transport.conditions = self._refitted()
        return transport

    def fault(self, transport: TransportMap | ConditionalMap) -> str | None:
        """Return how the figures of a map contradict each other, or None."""
        return transport.contradiction()

    def of_exact_plan(self) -> None:
        """Return nothing: each condition would need a plan of its own."""
        return

    def round_trip(self) -> RoundTripRows:
        """Return source rows of every class, not trained on, and their labels."""
        rows = joined([split.certify[0] for split in self.splits])
        labels = [
            label
            for label, split in zip(self.plan.labels, self.splits, strict=True)
            for _ in split.certify[0].rows
        ]
        return RoundTripRows(rows.rows, (labels,), rows.weights)

    def _rows(self, n: int, generator: torch.Generator) -> Tensor:
        """Return training rows of the source as conditioned points, as many of every class, and one at least."""
        each = max(1, n // len(self.splits))
        rows = [split.source.sample_distinct(each, generator) for split in self.splits]
        return side_points(rows, self.classes, False, self.options)

    def _measured_share(self) -> float:
        """Return the share of the rows that there is time to measure."""
        pace, most = (
            self.options.pace,
            sum(len(split.certify[0]) for split in self.splits),
        )
        found = pace.rows(most, pace.settings.measured_share, "measured")
        return found / max(1, most)

    def _refitted(self) -> Classes:
        """Return the classes with coordinates determined by all rows."""
        rows, generator = self.options.settings.pipeline.refit_rows, self.generator
        sides = []
        for source, target in self.plan.pairs:
            x = source.chunks(rows, generator)
            sides.append((x, target.chunks(rows, generator)))
        unit = self.coordinates.unit_of_cost().cpu()
        whole = _gaussian(sides, unit, self.options)
        return Classes(self.plan.labels, whole.to(self.options.device))


def _split_classes(
    pairs: Pairs, settings: SplitSettings, generator: torch.Generator
) -> list[Split[Rows]]:
    """Split every class, both sides alike, so that held-out J weights a class the same on either side.

    A class of few rows has none held out; where that is so of all, every part is all of the rows.
    """
    most, one_in = (
        max(2, settings.held_out_rows // len(pairs)),
        settings.held_out_one_in,
    )
    counts = [min(most, x.size // one_in, z.size // one_in) for x, z in pairs]
    if sum(counts) < 2:
        return [
            _unsplit(pair, rows)
            for pair, rows in zip(pairs, _sampled(pairs, most, generator), strict=True)
        ]
    rest: dict[int, tuple[Rows, list[Weighted]]] = {}
    splits = []
    for (source, target), n in zip(pairs, counts, strict=True):
        if id(source) not in rest:  # one source may serve all classes
            k = max(counts) if _serves_all(pairs) else n
            rest[id(source)] = source.split((k, k), generator)
        source, (x_select, x_certify) = rest[id(source)]
        target, (z_select, z_certify) = target.split((n, n), generator)
        select, certify = (x_select[:n], z_select), (x_certify[:n], z_certify)
        splits.append(Split(source, target, select, certify, held_out=True))
    return splits


def _unsplit(pair: tuple[Rows, Rows], rows: tuple[Weighted, Weighted]) -> Split[Rows]:
    """Return a split of which every part is all rows, as many of either side."""
    x, z = rows
    part = x[: len(z)], z[: len(x)]
    return Split(*pair, part, part, held_out=False)


def _serves_all(pairs: Pairs) -> bool:
    """Say whether one source serves all classes."""
    return len(pairs) > 1 and pairs[0][0] is pairs[1][0]


def _sampled(
    pairs: Pairs, n: int, generator: torch.Generator
) -> list[tuple[Weighted, Weighted]]:
    """Return n distinct rows of either side of every class, or all."""
    sampled = []
    for source, target in pairs:
        x = source.sample_weighted(n, generator)
        sampled.append((x, target.sample_weighted(n, generator)))
    return sampled


def _class_coordinates(
    pairs: Pairs, options: Options, generator: torch.Generator
) -> Coordinates:
    """Return the coordinates of every class, determined by training rows alone."""
    if options.warm is not None:
        return options.warm.coordinates
    rows = _sampled(pairs, options.settings.pipeline.coordinate_rows, generator)
    x = joined([source.levelled() for source, _ in rows]).of(Tensor.cpu)
    z = joined([target.levelled() for _, target in rows]).of(Tensor.cpu)
    unit = cost_units(x, z, options.scale, options.settings.coordinates)
    if options.start == "affine":
        return _gaussian(rows, unit, options)
    return plain_coordinates(x, z, unit).repeated(len(pairs))


def _gaussian(
    sides: Sides,
    unit: Tensor,
    options: Options,
) -> Coordinates:
    """Return the coordinates in which every class's map between Gaussian fits is the identity."""
    pairs = []
    for source, target in sides:
        x = moments(source, unit)
        pairs.append((x, moments(target, unit)))
    return moment_coordinates(pairs, unit, options.settings.gaussian)


def _class_task(
    splits: Sequence[Split[Rows]],
    classes: Classes,
    options: Options,
    generator: torch.Generator,
) -> DualTask:
    """Return the training of a new potential in the coordinates of the classes."""
    sizes = [min(split.source.effective, split.target.effective) for split in splits]
    shares = torch.tensor(sizes, dtype=torch.float64).sqrt()
    source = ClassDraw(
        [split.source for split in splits], shares, classes, False, options
    )
    target = ClassDraw(
        [split.target for split in splits], shares, classes, True, options
    )
    held_out = class_points([split.select for split in splits], classes, options)
    return conditioned_task(
        source,
        target,
        held_out,
        classes.coordinates.dim,
        options,
        generator,
    )
