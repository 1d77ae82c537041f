"""The error for other costs than the squared distance, on pairs whose true maps are known.

    python -m benchmarks.costs --seeds 0 1 2                        # all pairs, a minute a fit
    python -m benchmarks.costs --pairs "power 1.5" elastic --dims 16 --methods default same --minutes 0.5 1 5

New samples for every batch, `--minutes` of training (1 by default), default settings otherwise. Errors of both maps on
16,384 new points. Nothing is chosen by the true map. The pairs, those of seed 0 whatever the seed of training:

* power 1.5, 2, 3, elastic, log-cosh: `convex_cost_pair`, a log-sum-exp g, d = 2, 16. Target: at most three times the
  error of the squared distance with the same g, the method `same`;
* radial 1.2, 1.5, 3, d = 2, 8, and coordinatewise 1.5, 3, d = 16: below 0.5 % both ways;
* sparse, d = 30: the cost is elastic, and three features are moved. Below 1 %, and of the coordinates that the true map
  leaves where they are ("not moved") at least 95 % left exactly there ("of them exactly 0");
* monotone 1.5, 2, 3, d = 1: below 0.1 %.

Methods: `default`, with the pair's cost; `same`, the squared distance on a pair of its own, made of the same g;
`squared`, the squared distance on the pair, whose map is not optimal for it; `identity`; `exact`, the exact assignment
of 2,000 rows a side under the cost, extended from the nearest row.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchmarks import discrete, scores
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
from brenier.datasets import (
    CostPair,
    convex_cost_pair,
    coordinatewise_pair,
    monotone_pair,
    power_radial_pair,
    sparse_pair,
)
from brenier.transport.costs import (
    Cost,
    Elastic,
    LogCosh,
    Power,
    SquaredEuclidean,
)

ROWS = 2_000  # a side, of the exact assignment
BLOCK = 2**22  # entries of a block of displacements
METHODS = {
    "default": "default",
    "same": "squared distance, same g",
    "squared": "squared distance",
    "identity": "identity",
    "exact": "exact assignment",
}


class Known(NamedTuple):
    """A pair by dimension, the dimensions it is measured in, and the error to reach, %."""

    make: Callable[[int], CostPair]
    dims: tuple[int, ...]
    to_reach: float | None = None


class Problem(NamedTuple):
    """A pair, that of the squared distance with the same g where there is one, and the error to reach, %."""

    pair: CostPair
    same: CostPair | None
    to_reach: float | None


def convex_costs(dim: int) -> dict[str, Cost]:
    """Return the costs of the convex pairs; the coordinates of a displacement are about d^(-1/2)."""
    return {
        "power 1.5": Power(1.5),
        "power 2": Power(2.0),
        "power 3": Power(3.0),
        "elastic": Elastic(0.25),
        "log-cosh": LogCosh(1 / math.sqrt(dim)),
    }


def _convex(name: str) -> Known:
    return Known(lambda d: convex_cost_pair(convex_costs(d)[name], d), (2, 16))


def _radial(p: float) -> Known:
    return Known(lambda d: power_radial_pair(p, d), (2, 8), 0.5)


def _coordinatewise(p: float) -> Known:
    return Known(lambda d: coordinatewise_pair(p, d), (16,), 0.5)


def _monotone(p: float) -> Known:
    return Known(lambda d: monotone_pair(p), (1,), 0.1)


PAIRS: Mapping[str, Known] = {
    **{name: _convex(name) for name in convex_costs(1)},
    **{f"radial {p:g}": _radial(p) for p in (1.2, 1.5, 3.0)},
    **{f"coordinatewise {p:g}": _coordinatewise(p) for p in (1.5, 3.0)},
    "sparse": Known(sparse_pair, (30,), 1.0),
    **{f"monotone {p:g}": _monotone(p) for p in (1.5, 2.0, 3.0)},
}
DIMS = (1, 2, 8, 16, 30)


def problems(flags: Flags) -> Iterator[Choice]:
    for name in flags.pairs:
        known = PAIRS[name]
        for dim in known.dims:
            if dim in flags.dims:
                pair = known.make(dim)
                same = None
                if name in convex_costs(dim):
                    same = convex_cost_pair(
                        SquaredEuclidean(), dim, slopes_of=pair.cost
                    )
                value = Problem(pair, same, known.to_reach)
                yield Choice(f"{name} d={dim}", value, {"dim": dim})


def methods(flags: Flags, problem: Problem) -> Iterator[Choice]:
    for name in flags.methods:
        if name == "same" and problem.same is None:
            continue
        settings = {"fresh": flags.points}
        if name in ("identity", "exact"):
            yield Choice(METHODS[name], (name, 0.0), settings)
            continue
        for minutes in flags.minutes:
            timed = settings | {"max_time": 60 * minutes}
            title = f"{METHODS[name]}, {60 * minutes:.0f} s"
            yield Choice(title, (name, 60 * minutes), timed)


def measure(
    problem: Problem, method: tuple[str, float], seed: int, flags: Flags
) -> dict[str, Any]:
    """Fit endless samples for some time, or move points otherwise; return the errors of both maps."""
    name, seconds = method
    pair = problem.pair
    if name == "same" and problem.same is not None:
        pair = problem.same
    target = {} if problem.to_reach is None else {"to_reach": problem.to_reach}
    if name == "identity":
        return target | still(pair, flags.points, seed)
    if name == "exact":
        return target | assignment(pair, flags.rows, flags.points, seed)
    arguments: dict[str, Any] = {} if name == "squared" else {"cost": pair.cost}
    began = time.perf_counter()
    ot = OptimalTransport(max_time=seconds, random_state=seed, **arguments)
    ot.fit(pair.source, pair.target)
    fitted = {"fit_seconds": time.perf_counter() - began}
    errors = scores.score(ot.map_, pair, flags.points, seed)
    x, truth, *_ = scores.evaluation_points(pair, flags.points, seed)
    zeros = exact_zeros(x, ot.map_(x), truth)
    return target | errors | zeros | facts(ot) | fitted


def facts(ot: OptimalTransport) -> dict[str, Any]:
    """Return how training went."""
    names = ("selected", "stopped", "steps", "rollbacks")
    told = {name: ot.diagnostics_[name] for name in names}
    seconds = ot.history_[-1]["seconds"]
    return told | {"train_seconds": seconds} | scores.inner_facts(ot.history_)


def exact_zeros(x: Tensor, moved: Tensor, truth: Tensor) -> dict[str, float]:
    """Return which share of coordinates the true map leaves where they are, and which share of these stays exactly."""
    stays = truth == x
    if not bool(stays.any()):
        return {}
    exactly = (moved == x)[stays].double().mean()
    return {
        "not_moved": 100 * float(stays.double().mean()),
        "exactly_zero": 100 * float(exactly),
    }


def still(pair: CostPair, points: int, seed: int) -> dict[str, float]:
    """Return the errors of the identity."""
    x, _, z, _ = scores.evaluation_points(pair, points, seed)
    found = scores.score_images(x, z, pair, points, seed)
    return {name: found[name] for name in ("forward_uvp", "backward_uvp")}


def assignment(pair: CostPair, rows: int, points: int, seed: int) -> dict[str, Any]:
    """Return the errors of an exact assignment of rows under the pair's cost, extended from the nearest row."""
    generator = torch.Generator().manual_seed(seed)
    x = pair.source(rows, generator).double()
    z = pair.target(rows, generator).double()
    began = time.perf_counter()
    _, partner = linear_sum_assignment(cost_matrix(pair.cost, x, z))
    seconds = time.perf_counter() - began
    images = z[partner].numpy()
    forward = discrete.shifted(x.numpy(), images)
    backward = discrete.shifted(images, x.numpy())
    a, truth, b, _ = scores.evaluation_points(pair, points, seed)
    moved = torch.from_numpy(forward(a.numpy()))
    back = torch.from_numpy(backward(b.numpy()))
    errors = scores.score_images(moved, back, pair, points, seed)
    zeros = exact_zeros(a, moved, truth)
    return errors | zeros | {"used": rows, "fit_seconds": seconds}


def cost_matrix(cost: Cost, x: Tensor, z: Tensor) -> discrete.Array:
    """Return c(x_i, z_j): (n, d), (m, d) -> (n, m)."""
    n = max(1, BLOCK // z.numel())
    parts = [
        cost.value((z - part[:, None]).reshape(-1, z.shape[1])).view(-1, len(z))
        for part in x.split(n)
    ]
    return np.asarray(torch.cat(parts).numpy())


TABLE = Table(
    "costs",
    "costs",
    (
        scores.FORWARD,
        scores.BACKWARD,
        Column("to reach", "to_reach", ".1f"),
        Column("not moved %", "not_moved", ".1f"),
        Column("of them exactly 0 %", "exactly_zero", ".1f"),
        scores.COSINE,
        scores.ROUND_TRIP,
        scores.UNCONVERGED,
        scores.SELECTED,
        scores.STEPS,
        scores.INNER,
        Column("seconds", "fit_seconds", ".0f"),
        scores.STOPPED,
        Column("rows used", "used", ",.0f"),
    ),
)


def _is_typical(row: Row) -> bool:
    names = [f"{name} d=16" for name in ("power 1.5", "power 3", "elastic", "log-cosh")]
    own = row.method == "default, 60 s" and row.problem in (*names, "sparse d=30")
    same = row.method == "squared distance, same g, 60 s"
    return own or (same and row.problem == names[0])


SHORT = TABLE.short(
    _is_typical, "forward UVP %", "backward UVP %", "to reach", "of them exactly 0 %"
)
ARGUMENTS = Arguments(
    (
        choices("--pairs", PAIRS),
        choices("--methods", METHODS),
        flag(
            "--minutes",
            type=float,
            nargs="+",
            default=[1.0],
            help="training time per fit (default 1)",
        ),
    ),
    dims=DIMS,
    quick_dims=DIMS,
    fixed={"points": 16_384, "rows": ROWS},
    quick={"points": 1024, "rows": 200, "minutes": [2 / 60]},
)
BENCHMARK = Benchmark(
    "costs", __doc__, problems, methods, measure, (TABLE, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
