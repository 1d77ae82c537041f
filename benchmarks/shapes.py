"""Shapes in the plane: where a map learnt from few rows puts fresh rows, beside the maps of discrete optimal transport.

    python -m benchmarks.shapes                             # `brenier.datasets.SHAPES`: 1,000 rows a side, seeds 0 to 2
    python -m benchmarks.shapes --sizes 200 1000 --methods default entropic --seconds 20

The true maps are not known. 4,000 fresh rows of the source are moved and compared with 4,000 fresh rows of the target,
and back likewise, by two distances between samples in the units of the data: the energy distance times 10,000, which is
below zero by chance where the laws agree, and the sliced Wasserstein distance. Every method gets the same rows:

* default: `OptimalTransport()`, or `--seconds` of the whole fit at most;
* exact plan: POT's optimal coupling, extended from the nearest row;
* entropic map: Sinkhorn potentials of POT extended to new points, the regularisation chosen on held-out rows;
* target against target: 4,000 other rows of the law in place of the moved ones: what chance alone makes of a true map.

`benchmarks/discrete.py` describes the second and the third. Seconds are those of the fit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import discrete, finite, scores
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Row,
    Table,
    choices,
    flag,
)
from brenier import OptimalTransport
from brenier.datasets import SHAPES, ShapePair
from brenier.metrics import energy_distance, sliced_w2

SIZE = 1000  # rows a side of the short table
TARGET = "target"
METHODS = {
    "default": "default",
    "exact": finite.METHODS["exact"][0],
    "entropic": finite.METHODS["entropic"][0],
    TARGET: "target against target",
}


class Sampled(NamedTuple):
    """Two shapes, and how many rows of either are drawn."""

    pair: ShapePair
    n: int


class Fresh(NamedTuple):
    """Rows that no method has seen, to be moved and to compare with, all (points, 2)."""

    source: Tensor
    target: Tensor
    other_source: Tensor
    other_target: Tensor


def fresh_rows(pair: ShapePair, points: int, seed: int) -> Fresh:
    """Return rows drawn with a seed that no fit uses."""
    generator = torch.Generator().manual_seed(scores.EVALUATION_SEED + seed)
    sides = (pair.source, pair.target, pair.source, pair.target)
    return Fresh(*(side(points, generator) for side in sides))


def problems(flags: Flags) -> Iterator[Choice]:
    for name in flags.shapes:
        for n in flags.sizes:
            settings = {"dim": 2, "samples": n, "fresh": flags.points}
            yield Choice(f"{name} n={n}", Sampled(SHAPES[name], n), settings)


def methods(flags: Flags, sampled: Sampled) -> Iterator[Choice]:
    for name in flags.methods:
        limited = name == "default" and flags.seconds
        limit = f", {flags.seconds:g} s" if limited else ""
        yield Choice(METHODS[name] + limit, name)


def measure(sampled: Sampled, name: str, seed: int, flags: Flags) -> dict[str, Any]:
    """Draw the rows, fit one method to them; return how far moved fresh rows are from fresh ones."""
    fresh = fresh_rows(sampled.pair, flags.points, seed)
    if name == TARGET:
        return distances(fresh.other_target, fresh.other_source, fresh)
    generator = torch.Generator().manual_seed(seed)
    x = sampled.pair.source(sampled.n, generator)
    z = sampled.pair.target(sampled.n, generator)
    began = time.perf_counter()
    maps = fit(name, x, z, seed, flags.seconds)
    facts = maps.facts | {"fit_seconds": time.perf_counter() - began}
    moved = torch.from_numpy(maps.forward(fresh.source.numpy()))
    back = torch.from_numpy(maps.backward(fresh.target.numpy()))
    return distances(moved, back, fresh) | facts


def fit(
    name: str, x: Tensor, z: Tensor, seed: int, seconds: float | None
) -> discrete.Maps:
    """Return the maps of one method, and what is worth telling about them."""
    if name in finite.METHODS:
        return finite.METHODS[name][1](x, z, seed)
    ot = OptimalTransport(max_time=seconds, random_state=seed).fit(x, z)
    names = ("selected", "stopped", "steps")
    facts = {fact: ot.diagnostics_[fact] for fact in names}
    return discrete.Maps(
        lambda a: np.asarray(ot.transform(a)),
        lambda a: np.asarray(ot.inverse_transform(a)),
        facts,
    )


def distances(moved: Tensor, back: Tensor, fresh: Fresh) -> dict[str, float]:
    """Return both distances of moved rows to fresh ones of the target, and of rows moved back to the source's."""
    return {
        "forward_energy": energy_distance(moved, fresh.target),
        "forward_sliced": sliced_w2(moved, fresh.target),
        "backward_energy": energy_distance(back, fresh.source),
        "backward_sliced": sliced_w2(back, fresh.source),
    }


def energy(title: str, name: str) -> Column:
    """Return a column of energy distances, times 10,000."""

    def value(row: Row) -> float | None:
        number = row.get(name)
        return None if number is None else 1e4 * number

    return Column(title, value, ".1f")


TABLE = Table(
    "shapes",
    "shapes",
    (
        energy("forward energy x 1e4", "forward_energy"),
        Column("forward sliced W2", "forward_sliced", ".3f"),
        energy("backward energy x 1e4", "backward_energy"),
        Column("backward sliced W2", "backward_sliced", ".3f"),
        Column("seconds", "fit_seconds", ".1f"),
        scores.SELECTED,
        scores.STEPS,
        scores.STOPPED,
        Column("epsilon", "epsilon", ".3g"),
    ),
)


def _is_typical(row: Row) -> bool:
    # What the circles become is in the backward columns of "moons to circles".
    hidden = ("circles to moons", "S-curve to moons")
    names = [f"{name} n={SIZE}" for name in SHAPES if name not in hidden]
    return row.problem in names and row.method in METHODS.values()


SHORT = TABLE.short(_is_typical, *(column.title for column in TABLE.columns[:6]))
ARGUMENTS = Arguments(
    (
        choices("--shapes", SHAPES),
        flag(
            "--sizes",
            type=int,
            nargs="+",
            default=[SIZE],
            metavar="N",
            help=f"rows of either side (default {SIZE})",
        ),
        choices("--methods", METHODS),
        flag("--seconds", type=float, help="of the default fit, at most"),
    ),
    seeds=(0, 1, 2),
    fixed={"points": 4000},
    quick={"points": 500, "sizes": [200], "seconds": 2.0},
)
BENCHMARK = Benchmark(
    "shapes", __doc__, problems, methods, measure, (TABLE, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
