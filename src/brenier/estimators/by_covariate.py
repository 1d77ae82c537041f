"""From two populations with covariates to a map at every value of these, all from one network.

Conditioned on c, J is a mean over c of the dual objectives between mu_c and nu_c, and both sides of a batch must hold c
with the same density. No two rows need share a value of it: for values drawn from both sides alike each side gives one
of the rows nearest to them, and every row keeps its own value. Where the covariates do not matter to one side, its rows
are given those of the other side at random.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from brenier.datasets import Population, Rows, SplitSettings, read_covariates
from brenier.errors import DataError
from brenier.estimators.conditioned import conditioned_map, conditioned_run, inward
from brenier.estimators.pipeline import (
    MANY,
    Fitted,
    Options,
    begin,
    conclude,
    learn,
    units_of,
)
from brenier.estimators.verdict import beats_start
from brenier.transport.coordinates import Covariates, covariate_coordinates
from brenier.transport.maps import ConditionalMap

NEIGHBOURS = 8  # rows from which the one for a value is chosen
JITTER = 1e-6  # of the range: among rows of one value all are met
POOL = 2**17  # rows at most that one side is given values of the other for

Side = tuple[
    Tensor, Tensor | None
]  # rows (n, d), and their covariates (n, p) if they have any


def sides_of(
    source: Population,
    target: Population,
    source_covariates: Any,
    target_covariates: Any,
) -> tuple[Side, Side]:
    """Return both sides with their covariates, checked.

    Args:
        source, target: tables in memory.
        source_covariates, target_covariates: (n, p), or (n,); None on one side where they do not matter to it.

    Raises:
        DataError: for covariates that cannot be used, populations that are no tables, or ranges that do not overlap.
    """
    sides: list[Side] = []
    for side, given, name in (
        (source, source_covariates, "source"),
        (target, target_covariates, "target"),
    ):
        if not isinstance(side, Rows) or not side.in_memory:
            raise DataError(
                f"{side.name}: with covariates samples must be a table in memory; load it, or take a part"
            )
        covariates = (
            None
            if given is None
            else read_covariates(given, f"{name}_covariates", side.size)
        )
        sides.append(
            (side.sample_distinct(side.size, torch.Generator()).cpu(), covariates)
        )
    first, second = (covariates for _, covariates in sides)
    if first is not None and second is not None:
        if first.shape[1] != second.shape[1]:
            raise DataError(
                f"target_covariates: has {second.shape[1]} columns, source_covariates {first.shape[1]}; give the same"
            )
        if bool(
            (
                torch.maximum(first.amin(0), second.amin(0))
                > torch.minimum(first.amax(0), second.amax(0))
            ).any()
        ):
            raise DataError(
                "source_covariates, target_covariates: their ranges do not overlap, so there is nothing to transport "
                "between; give samples of both sides at like values, or None for a side to which they do not matter"
            )
    return sides[0], sides[1]


def fit_covariates(source: Side, target: Side, options: Options) -> Fitted:
    """Return the maps between both sides at every value of their covariates."""
    state, seed, generator = begin(options)
    x, z = _split(source, target, generator)
    conditions = _coordinates(x[0], z[0], options)
    (draw_x, draw_z), held_out = (
        _draws(x[k], z[k], conditions, options, generator) for k in range(2)
    )
    most = min(SplitSettings().held_out_rows, held_out[0].size, held_out[1].size)
    select = held_out[0].rows(most, generator), held_out[1].rows(most, generator)
    run = conditioned_run(
        draw_x, draw_z, select, conditions.coordinates.dim, options, generator
    )
    learn(run, options, state, seed, conditions.coordinates)
    many_x, many_z = (
        draw.rows(min(MANY, draw.size), generator) for draw in (draw_x, draw_z)
    )
    learnt = options.warm is not None or beats_start(
        run, many_x, many_z, distinct=False
    )
    transport = conditioned_map(run, conditions, learnt, options)
    if not learnt and options.start == "affine":
        unit = (conditions.coordinates.unit / conditions.coordinates.spread).cpu()
        transport.conditions = covariate_coordinates(source, target, unit).to(
            options.device
        )
    return conclude(
        transport, run, options, learnt, x[2][0], _own_or_lent(x[2], z[2], generator)
    )


def _split(
    source: Side, target: Side, generator: torch.Generator
) -> tuple[list[Side], list[Side]]:
    """Return each side in three parts: to train on, to select by, to certify with; all of it where rows are few."""
    counts = [SplitSettings().count(len(rows)) for rows, _ in (source, target)]
    if min(counts) < 2:
        return [source] * 3, [target] * 3
    parts = []
    for (rows, covariates), n in zip((source, target), counts, strict=True):
        order = torch.randperm(len(rows), generator=generator).split(
            [len(rows) - 2 * n, n, n]
        )
        parts.append(
            [
                (rows[index], None if covariates is None else covariates[index])
                for index in order
            ]
        )
    return parts[0], parts[1]


def _coordinates(source: Side, target: Side, options: Options) -> Covariates:
    """Return the coordinates at every value, determined by these rows."""
    if isinstance(options.warm, ConditionalMap) and isinstance(
        options.warm.conditions, Covariates
    ):
        return options.warm.conditions.to(options.device)
    unit = units_of(source[0], target[0], options)
    return covariate_coordinates(
        source, target, unit, gaussian=options.start == "affine"
    ).to(options.device)


def _own_or_lent(side: Side, other: Side, generator: torch.Generator) -> Tensor:
    """Return the covariates of a side (n, p), or those of the other at random where it has none."""
    rows, own = side
    if own is not None:
        return own
    lent = other[1] if other[1] is not None else rows[:, :0]
    return lent[torch.randint(len(lent), (len(rows),), generator=generator)]


def _draws(
    source: Side,
    target: Side,
    conditions: Covariates,
    options: Options,
    generator: torch.Generator,
) -> tuple[CovariateDraw, CovariateDraw]:
    """Return how batches of both sides are drawn at like values."""
    keys, sides = [], []
    for (rows, own), other in ((source, target), (target, source)):
        if own is None:  # every row may come with every value
            rows = rows.repeat(max(1, min(POOL, 4 * len(other[0])) // len(rows)), 1)
        keys.append(conditions.scaled(_own_or_lent((rows, own), other, generator)))
        sides.append(rows)
    low, high = (
        torch.stack([edge(each) for each in keys])
        for edge in (lambda k: k.amin(0), lambda k: k.amax(0))
    )
    both = torch.cat(keys)
    anchors = both[((both >= low.amax(0)) & (both <= high.amin(0))).all(-1)]
    if anchors.shape[1] == 1:
        anchors = anchors.sort(0).values
    ways = ("encode_source", "encode_target")
    first, second = (
        CovariateDraw(
            inward(rows, key, conditions, way, options), key, anchors, generator
        )
        for rows, key, way in zip(sides, keys, ways, strict=True)
    )
    return first, second


class CovariateDraw:
    """Batches of one side: for values drawn from both sides alike, one of the rows nearest to each.

    Args:
        points: (n, d + c), the side's rows as conditioned points.
        keys: (n, p), their scaled covariates.
        anchors: (a, p), the values; sorted where p is one, and then every batch is spread evenly over them.
        generator: source of the jitter that tells rows of one value apart.
    """

    def __init__(
        self, points: Tensor, keys: Tensor, anchors: Tensor, generator: torch.Generator
    ) -> None:
        self.points, self.anchors, self.size = points, anchors, len(points)
        self.tree = KDTree(_jittered(keys, generator))

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        """Return a batch: (n, d + c), or as many as there are rows."""
        return self.rows(min(n, self.size), generator)

    def rows(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows drawn with replacement, in random order."""
        places = (
            torch.arange(n, dtype=torch.float64)
            + torch.rand(1, generator=generator, dtype=torch.float64)
        ) / n
        if self.anchors.shape[1] > 1:
            places = torch.rand(n, generator=generator, dtype=torch.float64)
        values = self.anchors[
            (places * len(self.anchors)).long().clamp(max=len(self.anchors) - 1)
        ]
        k = min(NEIGHBOURS, self.size)
        _, near = self.tree.query(_jittered(values, generator), k=np.arange(1, k + 1))
        chosen = torch.randint(k, (n, 1), generator=generator)
        index = (
            torch.from_numpy(near)
            .gather(1, chosen)
            .squeeze(1)[torch.randperm(n, generator=generator)]
        )
        return self.points[index.to(self.points.device)]


def _jittered(values: Tensor, generator: torch.Generator) -> Any:
    return (
        values
        + JITTER * torch.rand(values.shape, generator=generator, dtype=values.dtype)
    ).numpy()
