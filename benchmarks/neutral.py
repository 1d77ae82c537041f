"""The error on pairs whose maps no network of the library contains: those of `brenier.datasets.NEUTRAL`.

    python -m benchmarks.neutral                                          # all pairs, a minute a fit
    python -m benchmarks.neutral --pairs tails clusters --dims 16 --seconds 20 60 300 --seeds 0 1 2

New samples for every batch, `--seconds` of training (several budgets are several fits), default settings otherwise.
Errors of both maps on 16,384 new points. Nothing is chosen by the true map. Every row also holds the errors of the
affine map between the Gaussian fits of 100,000 new samples a side, on the same points. The pairs are those of seed 0,
whatever the seed of training. The surface, "manifold", has dimensions of its own, `--manifold-dims`, 50 by default.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks import scores
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Table,
    choices,
    flag,
)
from benchmarks.pairs import DIMS, pair_flags, problems
from brenier import OptimalTransport
from brenier.datasets import NEUTRAL, Pair
from brenier.estimators import POTENTIALS
from brenier.metrics import l2_uvp
from brenier.statistics import gaussian_map
from brenier.statistics.gaussian import fit_gaussian


def affine(pair: Pair, samples: int, n: int, seed: int) -> dict[str, float]:
    """Return the errors of the map between the Gaussian fits of new samples, on the evaluation points."""
    generator = torch.Generator().manual_seed(seed)
    source = fit_gaussian(pair.source(samples, generator))
    target = fit_gaussian(pair.target(samples, generator))
    x, truth, z, preimage = scores.evaluation_points(pair, n, seed)
    moved = target.mean + (x - source.mean) @ gaussian_map(source, target)
    back = source.mean + (z - target.mean) @ gaussian_map(target, source)
    return {
        "affine_forward_uvp": l2_uvp(moved, truth, pair.variance_target),
        "affine_backward_uvp": l2_uvp(back, preimage, pair.variance_source),
    }


def methods(flags: Flags, pair: Pair) -> Iterator[Choice]:
    for potential, seconds in itertools.product(flags.potentials, flags.seconds):
        settings = {
            "max_time": seconds,
            "samples": flags.samples,
            "fresh": flags.points,
        }
        yield Choice(f"{potential}, {seconds:g} s", (potential, seconds), settings)


def measure(
    pair: Pair, method: tuple[str, float], seed: int, flags: Flags
) -> dict[str, Any]:
    """Fit endless samples for some time; return the errors of both maps, and those of the affine map."""
    potential, seconds = method
    ot = OptimalTransport(potential, max_time=seconds, random_state=seed)
    ot.fit(pair.source, pair.target)
    errors = scores.score(ot.map_, pair, flags.points, seed)
    linear = affine(pair, flags.samples, flags.points, seed)
    return errors | linear | scores.training_facts(ot)


TABLE = Table(
    "neutral",
    "neutral",
    (
        scores.FORWARD,
        Column("affine map", "affine_forward_uvp", ".1f"),
        scores.BACKWARD,
        Column("affine map", "affine_backward_uvp", ".1f"),
        scores.COSINE,
        scores.ROUND_TRIP,
        scores.UNCONVERGED,
        scores.SELECTED,
        scores.STEPS,
        scores.INNER,
        scores.SECONDS,
        scores.STOPPED,
    ),
)
SHORT = TABLE.short(
    lambda row: row.problem.endswith((" d=16", " d=50")),
    "forward UVP %",
    "affine map",
    "backward UVP %",
    "cosine",
)
ARGUMENTS = Arguments(
    (
        *pair_flags(NEUTRAL, known=NEUTRAL),
        choices("--potentials", POTENTIALS, [str(OptimalTransport().potential)]),
        flag(
            "--seconds",
            type=float,
            nargs="+",
            default=[60.0],
            help="of training (default 60)",
        ),
    ),
    dims=DIMS,
    fixed={"points": 16_384, "samples": 100_000},
    quick={"points": 1024, "samples": 10_000, "seconds": [1.0]},
)
BENCHMARK = Benchmark(
    "neutral", __doc__, problems, methods, measure, (TABLE, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
