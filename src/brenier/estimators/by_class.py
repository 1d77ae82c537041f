"""From two labelled populations to one map per class, all from one network.

    J = sum over classes k of p_k [ E_{mu_k} g(x, k) - E_{nu_k} min over y of |y - z|^2/2 + g(y, k) ]

("Fixed-Point Neural Optimal Transport...", Park et al., 2026, (39)). Both sides of a batch hold the classes in the same
proportions, p_k growing like the square root of the class's rows: equal for classes of equal size, and a class of few
rows is not learnt by heart. Every class starts at its own affine map, whose covariances lean on those of the other
classes as far as these are alike (`gaussian.shared`). Classes are split, trained on, judged together and certified one
by one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from brenier.datasets import (
    HELD_OUT,
    ONE_IN,
    Population,
    Rows,
    Split,
    grouped,
    listed,
    read_labels,
)
from brenier.errors import DataError, DataWarning, warn
from brenier.estimators.conditioned import conditioned_map, conditioned_run, inward
from brenier.estimators.pipeline import (
    MANY,
    MOMENTS,
    REFITTED,
    Fitted,
    Options,
    begin,
    conclude,
    learn,
    units_of,
)
from brenier.estimators.verdict import beats_start
from brenier.statistics import moments, shared
from brenier.training.run import Run
from brenier.transport.coordinates import (
    Classes,
    Coordinates,
    aligned_coordinates,
    gaussian_pair,
    plain_coordinates,
)

Pairs = Sequence[tuple[Rows, Rows]]  # both sides of every class


def classes_of(
    source: Population, target: Population, source_labels: Any, target_labels: Any
) -> tuple[list[tuple[Rows, Rows]], tuple[Hashable, ...]]:
    """Return both sides of every class that both have, and the labels; warn of rows whose class only one side has.

    Args:
        source, target: tables.
        source_labels, target_labels: one label per row; None on one side where all its rows belong to every class.

    Raises:
        DataError: for labels that cannot be used, endless populations, or sides that share no class.
    """
    rows, found = [], list[dict[Hashable, list[int]] | None]()
    for side, labels, name in (
        (source, source_labels, "source"),
        (target, target_labels, "target"),
    ):
        if not isinstance(side, Rows):
            raise DataError(
                f"{side.name}: a function that draws samples has no labels; give an array with one per row"
            )
        rows.append(side)
        found.append(
            None
            if labels is None
            else grouped(read_labels(labels, f"{name}_labels", side.size))
        )
    first, second = (mine or other or {} for mine, other in (found, found[::-1]))
    common = tuple(label for label in first if label in second)
    odd = [
        label for label in (*first, *second) if not (label in first and label in second)
    ]
    if not common:
        raise DataError(
            f"source_labels, target_labels: share no class ({listed(tuple(first))} and {listed(tuple(second))}); "
            "transport goes from a class to the same class, so name them alike on both sides",
            argument="source_labels, target_labels",
        )
    if odd:
        warn(
            f"source_labels, target_labels: only one side has {listed(tuple(odd))}; those rows are left out, and such "
            "labels cannot be transported",
            DataWarning,
        )
    sides = [
        [
            side
            if group is None
            else Rows(side.values, side.name, torch.tensor(group[label]))
            for label in common
        ]
        for side, group in zip(rows, found, strict=True)
    ]
    return list(zip(*sides, strict=True)), common


def fit_classes(pairs: Pairs, labels: tuple[Hashable, ...], options: Options) -> Fitted:
    """Return the maps between both sides of every class.

    Args:
        pairs: source and target rows, class by class.
        labels: of the classes.
        options: what the fit is told.
    """
    state, seed, generator = begin(options)
    splits = _split(pairs, generator)
    training = [(split.source, split.target) for split in splits]
    classes = Classes(
        labels, _coordinates(training, options, generator).to(options.device)
    )
    run = _run(splits, classes, options, generator)
    learn(run, options, state, seed, classes.coordinates)
    most = MANY // len(pairs) + 1
    many = [
        (x.sample_distinct(most, generator), z.sample_distinct(most, generator))
        for x, z in training
    ]
    compared = _inward(_like_held_out(splits, generator), classes, options)
    learnt = options.warm is not None or beats_start(run, *compared)
    transport = conditioned_map(run, classes, learnt, options)
    for k, (split, rows) in enumerate(zip(splits, many, strict=True)):
        if len(split.certify[0]) > 1:
            transport.held_out_distance[k] = transport.of(torch.tensor(k)).measure(
                *split.certify, held_out=split.held_out, many=rows
            )
    certify = torch.cat([split.certify[0] for split in splits])
    named = [
        label
        for label, split in zip(labels, splits, strict=True)
        for _ in split.certify[0]
    ]
    if not learnt and options.start == "affine":
        unit = (classes.coordinates.unit / classes.coordinates.spread).cpu()
        whole = _gaussian(
            [
                (x.chunks(REFITTED, generator), z.chunks(REFITTED, generator))
                for x, z in pairs
            ],
            unit,
        )
        transport.conditions = Classes(labels, whole.to(options.device))
    return conclude(transport, run, options, learnt, certify, named)


def _split(pairs: Pairs, generator: torch.Generator) -> list[Split[Rows]]:
    """Split every class, both sides alike, so that held-out J weighs a class the same on either side.

    A class of few rows has none held out; where that is so of all, every part is all of the rows.
    """
    most = max(2, HELD_OUT // len(pairs))
    counts = [min(most, x.size // ONE_IN, z.size // ONE_IN) for x, z in pairs]
    if sum(counts) < 2:
        whole = [
            (x.sample_distinct(most, generator), z.sample_distinct(most, generator))
            for x, z in pairs
        ]
        even = [(x[: len(z)], z[: len(x)]) for x, z in whole]
        return [
            Split(*pair, part, part, held_out=False)
            for pair, part in zip(pairs, even, strict=True)
        ]
    rest: dict[int, tuple[Rows, list[Tensor]]] = {}
    splits = []
    for (source, target), n in zip(pairs, counts, strict=True):
        if id(source) not in rest:  # one source may serve all classes
            rest[id(source)] = source.split(
                (max(counts), max(counts)) if _serves_all(pairs) else (n, n), generator
            )
        source, (x_select, x_certify) = rest[id(source)]
        target, (z_select, z_certify) = target.split((n, n), generator)
        splits.append(
            Split(
                source,
                target,
                (x_select[:n], z_select),
                (x_certify[:n], z_certify),
                held_out=True,
            )
        )
    return splits


def _like_held_out(
    splits: Sequence[Split[Rows]], generator: torch.Generator
) -> list[tuple[Tensor, Tensor]]:
    """Return many rows of both sides of every class, as many of either, in the proportions of those held out."""
    counts = [
        len(split.select[0]) * (ONE_IN - 2 if split.held_out else 1) for split in splits
    ]
    return [
        (
            split.source.sample_distinct(n, generator),
            split.target.sample_distinct(n, generator),
        )
        for split, n in zip(splits, counts, strict=True)
    ]


def _serves_all(pairs: Pairs) -> bool:
    return len(pairs) > 1 and pairs[0][0] is pairs[1][0]


def _coordinates(
    pairs: Pairs, options: Options, generator: torch.Generator
) -> Coordinates:
    """Return the coordinates of every class, determined by training rows alone."""
    if options.warm is not None:
        return options.warm.coordinates
    some = [
        (x.sample_distinct(MOMENTS, generator), z.sample_distinct(MOMENTS, generator))
        for x, z in pairs
    ]
    x, z = (torch.cat(side).cpu() for side in zip(*some, strict=True))
    unit = units_of(x, z, options)
    if options.start == "affine":
        return _gaussian(some, unit)
    return plain_coordinates(x, z, unit).repeated(len(pairs))


def _gaussian(
    sides: Sequence[tuple[Iterable[Tensor] | Tensor, ...]], unit: Tensor
) -> Coordinates:
    """Return the coordinates in which every class's map between Gaussian fits is the identity."""
    source, target = (
        shared([moments(rows, unit) for rows in side])
        for side in zip(*sides, strict=True)
    )
    return aligned_coordinates(
        [gaussian_pair(*pair) for pair in zip(source, target, strict=True)], unit
    )


def _run(
    splits: Sequence[Split[Rows]],
    classes: Classes,
    options: Options,
    generator: torch.Generator,
) -> Run:
    """Return a fresh run in the coordinates of the classes."""
    shares = torch.tensor(
        [min(split.source.size, split.target.size) for split in splits],
        dtype=torch.float64,
    ).sqrt()
    source = ClassDraw(
        [split.source for split in splits], shares, classes, "encode_source", options
    )
    target = ClassDraw(
        [split.target for split in splits], shares, classes, "encode_target", options
    )
    held_out = _inward([split.select for split in splits], classes, options)
    return conditioned_run(
        source, target, held_out, classes.coordinates.dim, options, generator
    )


def _inward(
    pairs: Sequence[tuple[Tensor, Tensor]], classes: Classes, options: Options
) -> tuple[Tensor, Tensor]:
    """Return rows of every class as conditioned points of either side."""
    found = []
    for side, way in zip(
        zip(*pairs, strict=True), ("encode_source", "encode_target"), strict=True
    ):
        keys = torch.repeat_interleave(
            torch.arange(len(side)), torch.tensor([len(rows) for rows in side])
        )
        found.append(inward(torch.cat(side), keys, classes, way, options))
    return found[0], found[1]


class ClassDraw:
    """Batches of one side as conditioned points, every class with its share.

    Args:
        sides: rows, class by class.
        shares: (k,), proportional to what a class gets of a batch.
        classes: their coordinates.
        way: "encode_source" or "encode_target", into the coordinates.
        options: device and precision.
    """

    def __init__(
        self,
        sides: Sequence[Rows],
        shares: Tensor,
        classes: Classes,
        way: str,
        options: Options,
    ) -> None:
        self.sides, self.classes, self.way, self.options = sides, classes, way, options
        self.bounds = (shares / shares.sum()).cumsum(0)
        self.sizes = torch.tensor([side.size for side in sides])
        self.size = int(self.sizes.sum())
        alone = len({id(side) for side in sides}) == len(sides) and all(
            side.in_memory for side in sides
        )
        self.moved: Tensor | None = None
        if alone:  # every row is in memory once, and is moved there once
            rows = torch.cat(
                [side.sample_distinct(side.size, torch.Generator()) for side in sides]
            )
            self.moved = self._inward(
                rows, torch.repeat_interleave(torch.arange(len(sides)), self.sizes)
            )

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        """Return a batch: (n, d + c), or as many as there are rows."""
        return self.rows(min(n, self.size), generator)

    def rows(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows drawn with replacement, classes in their shares but for rounding, in random order."""
        places = (
            torch.arange(n, dtype=torch.float64)
            + torch.rand(1, generator=generator, dtype=torch.float64)
        ) / n
        keys = torch.searchsorted(self.bounds, places).clamp(max=len(self.sides) - 1)
        keys = keys[torch.randperm(n, generator=generator)]
        if self.moved is not None:
            at = (
                torch.rand(n, generator=generator, dtype=torch.float64)
                * self.sizes[keys]
            ).long()
            first = self.sizes.cumsum(0) - self.sizes
            return self.moved[(first[keys] + at).to(self.moved.device)]
        drawn = torch.empty(n, self.classes.coordinates.dim, dtype=torch.float64)
        for k in keys.unique().tolist():
            mine = keys == k
            drawn[mine] = self.sides[k].sample(int(mine.sum()), generator).cpu()
        return self._inward(drawn, keys)

    def _inward(self, rows: Tensor, keys: Tensor) -> Tensor:
        return inward(rows, keys, self.classes, self.way, self.options)
