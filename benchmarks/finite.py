"""The error of a map learnt from few samples: this library beside the maps of discrete optimal transport.

    BRENIER_DATA=... python -m benchmarks.finite                     # d = 2, 16, 64; n = 100 ... 100,000 a side
    python -m benchmarks.finite --pairs tails clusters               # without data: pairs of `brenier.datasets.NEUTRAL`
    python -m benchmarks.finite --sizes 1000 --methods default entropic

n samples a side, drawn once, of a pair whose true map is known; errors of both maps on 16,384 points that no method has
seen. Nothing is chosen by the true map. Every method gets the same samples:

* default: `OptimalTransport()`, which selects by samples it holds out itself, or `--seconds` of training;
* one network, four networks: the default with another number of networks whose mean is the potential; it has two;
* bandwidth 0, 3,000 steps: one network, without the smoothed bootstrap, or with the steps that many rows get;
* affine map: the optimal map between the means and covariances of the samples, in closed form;
* exact plan: POT's optimal coupling, its barycentric projection extended from the nearest sample;
* entropic map: Sinkhorn potentials of POT extended to new points, the regularisation chosen on held-out samples.

The last two need the distances between all samples: they use the first 10,000 and 4,096 where there are more, as the
column "samples used" says. `benchmarks/discrete.py` describes them. They take the time they need.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks import discrete, gaussians, pairs, scores
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
from brenier.datasets import Pair

SIZES = (100, 1_000, 10_000, 100_000)
# Samples whose distances fit in memory.
MOST = {"exact": 10_000, "entropic": 4_096}

Fit = Callable[[Tensor, Tensor, int], discrete.Maps]


def affine(x: Tensor, z: Tensor, seed: int) -> discrete.Maps:
    """Return the maps between the moments of the samples, both ways."""
    source_mean, target_mean, matrix = gaussians.plug_in(x, z)
    return discrete.Maps(
        lambda a: target_mean + (a - source_mean) @ matrix,
        lambda a: source_mean + np.linalg.solve(matrix, (a - target_mean).T).T,
        {},
    )


def exact(x: Tensor, z: Tensor, seed: int) -> discrete.Maps:
    return discrete.exact_plan(x.double().numpy(), z.double().numpy())


def entropic(x: Tensor, z: Tensor, seed: int) -> discrete.Maps:
    unlimited = float("inf")
    return discrete.entropic_map(
        x.double().numpy(), z.double().numpy(), unlimited, seed
    )


# Name -> name in the rows, and arguments of the estimator.
OURS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "default": ("default", {}),
    "single": ("one network", {"n_networks": 1}),
    "unsmeared": ("bandwidth 0", {"n_networks": 1, "bandwidth": 0.0}),
    "long": ("3,000 steps", {"n_networks": 1, "max_steps": 3000}),
    "several": ("four networks", {"n_networks": 4}),
}
METHODS: Mapping[str, tuple[str, Fit]] = {
    "affine": ("affine map", affine),
    "exact": ("exact plan", exact),
    "entropic": ("entropic map", entropic),
}


class Sampled(NamedTuple):
    """A pair, and how many samples of either side are drawn."""

    pair: Pair
    n: int


def problems(flags: Flags) -> Iterator[Choice]:
    for problem in pairs.problems(flags):
        for n in flags.sizes:
            settings = {**problem.settings, "samples": n, "fresh": flags.points}
            value = Sampled(problem.value, n)
            yield Choice(f"{problem.name} n={n}", value, settings)


def methods(flags: Flags, sampled: Sampled) -> Iterator[Choice]:
    for name in flags.methods:
        if name in OURS:
            limit = f", {flags.seconds:.0f} s" if flags.seconds else ""
            yield Choice(OURS[name][0] + limit, name)
        else:
            yield Choice(METHODS[name][0], name)


def measure(sampled: Sampled, name: str, seed: int, flags: Flags) -> dict[str, Any]:
    """Draw the samples, fit one method to them; return the errors of both maps on new points."""
    pair, n = sampled
    generator = torch.Generator().manual_seed(seed)
    x, z = pair.source(n, generator), pair.target(n, generator)
    if name in OURS:
        arguments = dict(OURS[name][1])
        if flags.seconds:
            arguments["max_time"] = flags.seconds
        return {"used": n, **_fit_ours(x, z, pair, flags.points, seed, arguments)}
    used = min(n, MOST.get(name, n))
    began = time.perf_counter()
    maps = METHODS[name][1](x[:used], z[:used], seed)
    seconds = time.perf_counter() - began
    a, _, b, _ = scores.evaluation_points(pair, flags.points, seed)
    moved = torch.from_numpy(maps.forward(a.numpy()))
    back = torch.from_numpy(maps.backward(b.numpy()))
    errors = scores.score_images(moved, back, pair, flags.points, seed)
    return {"used": used, **errors, **maps.facts, "fit_seconds": seconds}


def _fit_ours(
    x: Tensor, z: Tensor, pair: Pair, points: int, seed: int, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Fit with default settings but for some; the seconds include the evaluation."""
    began = time.perf_counter()
    ot = OptimalTransport(random_state=seed, **arguments).fit(x, z)
    errors = scores.score(ot.map_, pair, points, seed)
    facts = scores.training_facts(ot)
    return errors | facts | {"fit_seconds": time.perf_counter() - began}


def _check(parser: argparse.ArgumentParser, flags: Flags) -> None:
    if flags.sizes is None:
        flags.sizes = SIZES[:2] if flags.quick else SIZES


TABLE = Table(
    "finite",
    "finite",
    (
        Column("samples used", "used", ",.0f"),
        scores.FORWARD,
        scores.BACKWARD,
        scores.COSINE,
        Column("seconds", "fit_seconds", ".1f"),
        scores.SELECTED,
        scores.STOPPED,
        Column("epsilon", "epsilon", ".3g"),
    ),
)


def _is_typical(row: Row) -> bool:
    default = (OURS["default"], *METHODS.values())
    sizes = ("w2hd d=16 n=1000", "w2hd d=16 n=10000")
    return row.problem in sizes and row.method in [name for name, _ in default]


SHORT = TABLE.short(
    _is_typical, "samples used", "forward UVP %", "backward UVP %", "seconds"
)
ARGUMENTS = Arguments(
    (
        *pairs.pair_flags(("w2hd",)),
        flag(
            "--sizes",
            type=int,
            nargs="+",
            metavar="N",
            help=f"default {list(SIZES)}",
        ),
        choices("--methods", (*OURS, *METHODS), ("default", *METHODS)),
        flag("--seconds", type=float, help="of training, instead of steps"),
    ),
    dims=pairs.DIMS,
    fixed={"points": 16_384},
    quick={"points": 1024, "seconds": 2.0},
    check=_check,
)
BENCHMARK = Benchmark(
    "finite", __doc__, problems, methods, measure, (TABLE, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
