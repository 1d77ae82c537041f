"""What the inner problem costs: gradient evaluations per row until the residual is 1e-3.

    python -m benchmarks.inner            # trained potentials, d = 2, 16, 64; 4,096 target points

A potential is trained for `--train-seconds` on a pair of the Wasserstein-2 benchmark if BRENIER_DATA is set, otherwise
on a separable pair. Then every method solves argmin_y |y - z|^2/2 + g(y) for the same target points, in batches of
2,048,

* in the library's coordinates, in which the map between the Gaussian fits of both sides is the identity, and
* in plain coordinates, centred and scaled by one number, as in "Fixed-Point Neural Optimal Transport..." (Park et al.,
  2026): see `views.py`.

Both start at y = z, and in both the average feature has variance one. GradientStep.paper() is the published iteration.
Targets: the default, BFGS() in the library's coordinates, converges on every row, with at most a tenth of the
evaluations of the published iteration in plain coordinates. A Hessian product counts as two evaluations.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import pairs, scores
from benchmarks.harness import (
    UNLIMITED,
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Once,
    Row,
    Table,
    choices,
    flag,
)
from benchmarks.views import View, library_view, plain_view
from brenier import (
    BFGS,
    LBFGS,
    Anderson,
    GradientStep,
    NewtonCG,
    OptimalTransport,
    Solution,
    TransportMap,
)
from brenier.datasets import Pair, separable_pair, w2hd_pair
from brenier.solve import Method, minimise
from brenier.transport.dual.conjugate import Proximal

TOL = 1e-3
BATCH = 2048  # as in the paper, whose step is shared by a batch
FEWER = 10.0  # target: how many times fewer evaluations than the published iteration
FIRST_ORDER, SECOND_ORDER = 10_000, 500  # steps at most

METHODS: Mapping[str, tuple[Method, int]] = {
    "BFGS": (BFGS(), SECOND_ORDER),
    "LBFGS": (LBFGS(), SECOND_ORDER),
    "NewtonCG": (NewtonCG(), SECOND_ORDER),
    "Anderson": (Anderson(), FIRST_ORDER),
    "GradientStep": (GradientStep(), FIRST_ORDER),
    "GradientStep.paper": (GradientStep.paper(), FIRST_ORDER),
}
TRAINING = "training"
DEFAULT, PUBLISHED = "BFGS, library", "GradientStep.paper, plain"


def solve(view: View, method: Method, max_steps: int, tol: float = TOL) -> Solution:
    """Solve all problems, batch by batch, each from y = z."""
    solutions = []
    for z in view.z.split(BATCH):
        problem = Proximal(view.potential, z)
        solutions.append(minimise(problem, method, z, tol=tol, max_steps=max_steps))
    return Solution.concatenate(solutions)


class Answer(NamedTuple):
    """What a method found.

    Attributes:
        solution: in the coordinates of the view.
        points: (n, d), in the units of the data.
        values: (n,), the objective there, in the library's coordinates.
        seconds: of solving.
    """

    solution: Solution
    points: Tensor
    values: Tensor
    seconds: float


def value_at(transport: TransportMap, z: Tensor, points: Tensor) -> Tensor:
    """Return the inner objective of z, in the library's coordinates, at points in the units of the data: (n,)."""
    u = transport.coordinates.encode_source(points).float()
    return Proximal(transport.network, z).evaluate(u)[0].double()


class Trained:
    """A map, trained once for all methods; its inner problems in both views; and their answers."""

    def __init__(self, pair: Pair, potential: str, seed: int, flags: Flags) -> None:
        self.pair, self.potential, self.seed, self.flags = pair, potential, seed, flags
        self.estimator = Once(self._train)
        self.views = Once(self._views)
        self.answer = functools.cache(self._answer)

    def _train(self) -> OptimalTransport:
        ot = OptimalTransport(
            self.potential,
            scale="common",
            max_steps=UNLIMITED,
            max_time=self.flags.train_seconds,
            random_state=self.seed,
        )
        return ot.fit(self.pair.source, self.pair.target)

    def _views(self) -> dict[str, View]:
        generator = torch.Generator().manual_seed(self.seed + 1)
        x = self.pair.source(self.flags.points, generator)
        z = self.pair.target(self.flags.points, generator)
        transport = self.estimator().map_
        plain = plain_view(transport, x, z)
        return {"library": library_view(transport, z), "plain": plain}

    def _answer(self, method: str) -> Answer:
        """Return what a method, of a name like "BFGS, library", finds."""
        name, where = method.split(", ")
        views = self.views()
        view = views[where]
        solver, most = METHODS[name]
        solve(view._replace(z=view.z[:64]), solver, 5)  # first calls are slow
        began = time.perf_counter()
        solution = solve(view, solver, min(most, self.flags.max_steps))
        seconds = time.perf_counter() - began
        points = view.decode_source(solution.point)
        z = views["library"].z
        return Answer(
            solution, points, value_at(self.estimator().map_, z, points), seconds
        )


def problems(flags: Flags) -> Iterator[Choice]:
    for dim in flags.dims:
        for potential in flags.potentials:
            make = partial(_pair, flags.pair, dim)
            name = f"{flags.pair} d={dim}, {potential}"
            yield Choice(name, (make, potential), {"dim": dim})


def _pair(name: str, dim: int, seed: int) -> Pair:
    return w2hd_pair(dim) if name == "w2hd" else separable_pair(dim, seed)


def methods(flags: Flags, problem: object) -> Iterator[Choice]:
    yield Choice(TRAINING, TRAINING, {"max_time": flags.train_seconds})
    for where in ("library", "plain"):
        for name, (_, most) in METHODS.items():
            settings = {
                "points": flags.points,
                "tol": TOL,
                "max_steps": min(most, flags.max_steps),
            }
            yield Choice(f"{name}, {where}", f"{name}, {where}", settings)


@contextlib.contextmanager
def prepare(
    problem: tuple[Callable[[int], Pair], str], seed: int, flags: Flags
) -> Iterator[Trained]:
    make, potential = problem
    yield Trained(make(seed), potential, seed, flags)


def measure(trained: Trained, method: str, seed: int, flags: Flags) -> dict[str, Any]:
    """Return what solving costs, and how the answers differ from the default's."""
    if method == TRAINING:
        return scores.training_facts(trained.estimator())
    found, default = trained.answer(method), trained.answer(DEFAULT)
    solution = found.solution
    evaluations = solution.evaluations_per_row
    away = torch.linalg.vector_norm(found.points - default.points, dim=-1)
    spread = (found.points - found.points.mean(0)).square().sum(-1).mean().sqrt()
    lower = found.values < default.values - TOL
    steps = solution.steps.double()
    return {
        "evaluations": evaluations,
        "times_default": evaluations / default.solution.evaluations_per_row,
        "median_steps": float(steps.median()),
        "most_steps": float(steps.max()),
        "converged_percent": 100 * float(solution.converged.double().mean()),
        "unconverged": solution.unconverged,
        "worst_residual": float(solution.residual.max()),
        "elsewhere_percent": 100 * float((away > 0.01 * spread).double().mean()),
        "lower_percent": 100 * float(lower.double().mean()),
        "solve_seconds": found.seconds,
    }


def _meets_target(row: Row) -> bool | None:
    """Say whether the default and the published iteration meet the target; nothing of other methods."""
    if row.method == DEFAULT:
        return row.status == "ok"
    if row.method == PUBLISHED:
        return (row.get("times_default") or 0) >= FEWER
    return None


def _check(parser: argparse.ArgumentParser, flags: Flags) -> None:
    flags.train_seconds = flags.train_seconds or (2.0 if flags.quick else 60.0)
    if flags.pair is None:
        flags.pair = "w2hd" if os.environ.get("BRENIER_DATA") else "separable"


SOLVING = Table(
    "inner",
    "inner",
    (
        Column("evaluations per row", "evaluations", ".1f"),
        Column("times the default (plain paper ≥ 10)", "times_default", ".1f"),
        Column("median steps", "median_steps", ".0f"),
        Column("most steps", "most_steps", ".0f"),
        Column("converged % (default 100)", "converged_percent", ".2f", min),
        Column("seconds", "solve_seconds", ".2f"),
        Column("elsewhere %", "elsewhere_percent", ".2f", max),
        Column("lower %", "lower_percent", ".2f", max),
        Column("met", _meets_target),
    ),
    where=lambda row: row.method != TRAINING,
)
TRAINED = Table(
    "inner-training",
    "inner",
    (
        scores.SECONDS,
        scores.STEPS,
        Column("evaluations per row", "train_evaluations", ".1f"),
        scores.SELECTED,
    ),
    where=lambda row: row.method == TRAINING,
)
SHORT = SOLVING.short(
    lambda row: (
        row.method in (DEFAULT, "LBFGS, library", PUBLISHED) and row.get("dim") != 2
    ),
    "evaluations per row",
    "times the default (plain paper ≥ 10)",
    "converged % (default 100)",
    "seconds",
)
ARGUMENTS = Arguments(
    (
        flag("--train-seconds", type=float, help="default 60, or 2 with --quick"),
        choices("--potentials", ("convex", "free")),
        flag(
            "--pair",
            choices=("w2hd", "separable"),
            help="default w2hd if there is data",
        ),
        flag(
            "--max-steps",
            type=int,
            default=FIRST_ORDER,
            help="of every method at most (default 10,000)",
        ),
    ),
    dims=pairs.DIMS,
    fixed={"points": 4096},
    quick={"points": 256, "max_steps": 100},
    check=_check,
)
BENCHMARK = Benchmark(
    "inner",
    __doc__,
    problems,
    methods,
    measure,
    (SOLVING, TRAINED, SHORT),
    ARGUMENTS,
    prepare,
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
