"""What the inner problem costs: gradient evaluations per row until the residual is 1e-3.

    python -m benchmarks.inner            # trained potentials, d = 2, 16, 64; 4,096 target points

A potential is trained for `--train-seconds` on a pair of the Wasserstein-2 benchmark if BRENIER_DATA is set, else on a
separable pair. Then every method solves argmin_y |y - z|^2/2 + g(y) for the same target points, in batches of 2,048,

* in the library's coordinates, in which the map between the Gaussian fits of both sides is the identity, and
* in plain coordinates, centred and scaled by one number, as "Fixed-Point Neural Optimal Transport..." (Park et al.,
  2026) works: see `Plain`.

Both start at y = z, and in both the average feature has variance one. GradientStep.paper() is the published iteration.
Targets: the default, BFGS() in the library's coordinates, converges on every row, with at most a tenth of the
evaluations of the published iteration in plain coordinates. A Hessian product counts as two evaluations.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import options, tables
from benchmarks.rows import Ledger, Row
from benchmarks.scores import training
from benchmarks.tables import Column, Table
from brenier import (
    BFGS,
    LBFGS,
    Anderson,
    GradientStep,
    NewtonCG,
    OptimalTransport,
    Potential,
    Solution,
    TransportMap,
)
from brenier.datasets import Pair, separable_pair, w2hd_pair
from brenier.solve import Method, minimise
from brenier.transport.dual.conjugate import Proximal

DIMS = (2, 16, 64)
POTENTIALS = ("convex", "free")
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
DEFAULT, PUBLISHED = "BFGS, library", "GradientStep.paper, plain"


class Plain(Potential):
    """The same psi seen from coordinates that are only centred and scaled: psi(a) = k^2 psi~(V a).

        g(a) = k^2 psi~(V a) - |a|^2/2,   grad psi(a) = k^2 V' grad psi~(V a),   V = A^{-1} / k

    With the library's coordinates u = A^{-1} (x - m0)/s, w = A' (z - m1)/s and a = k (x - m0)/s, b = k (z - m1)/s, the
    map from a to b is k^2 V' T~(V a), where T~ takes u to w.

    Args:
        potential: g~(u) = psi~(u) - |u|^2/2.
        matrix: (d, d), V.
        scale: k.
    """

    def __init__(self, potential: Potential, matrix: Tensor, scale: float) -> None:
        super().__init__()
        self.dim, self.inner = potential.dim, potential
        self.scale: float = scale
        self.matrix: Tensor
        self.register_buffer("matrix", matrix)

    def forward(self, a: Tensor) -> Tensor:
        """Return g(a): (n, d) -> (n,)."""
        u = a @ self.matrix.mT
        psi = self.inner(u) + 0.5 * u.square().sum(-1)
        return self.scale**2 * psi - 0.5 * a.square().sum(-1)

    def value_and_gradient(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(a) (n,) and its gradient (n, d)."""
        u = a @ self.matrix.mT
        value, gradient = self.inner.value_and_gradient(u)
        psi = value + 0.5 * u.square().sum(-1)
        return self.scale**2 * psi - 0.5 * a.square().sum(-1), self.scale**2 * (
            gradient + u
        ) @ self.matrix - a

    def hessian_product(self, a: Tensor, v: Tensor) -> Tensor:
        """Return Hess g(a) v, row by row: (n, d)."""
        moved = v @ self.matrix.mT
        product = self.inner.hessian_product(a @ self.matrix.mT, moved) + moved
        return self.scale**2 * product @ self.matrix - v


class View(NamedTuple):
    """The inner problems of some target points in some coordinates.

    Attributes:
        potential: g.
        z: (n, d), the target points.
        decode_source: from coordinates of the source side to the data's.
    """

    potential: Potential
    z: Tensor
    decode_source: Callable[[Tensor], Tensor]


def library_view(transport: TransportMap, z: Tensor) -> View:
    """Return the problems as the library poses them."""
    coordinates = transport.coordinates
    points = coordinates.encode_target(z.double()).float()
    return View(
        transport.network, points, lambda u: coordinates.decode_source(u.double())
    )


def plain_view(transport: TransportMap, x: Tensor, z: Tensor) -> View:
    """Return the same problems in coordinates that are only centred and scaled by one number."""
    c = transport.coordinates
    a, b = (x.double() - c.source_mean) / c.unit, (z.double() - c.target_mean) / c.unit
    scale = float(2 / (a.square().mean() + b.square().mean())) ** 0.5
    potential = Plain(transport.network, (c.inverse / scale).float(), scale)
    return View(
        potential,
        (scale * b).float(),
        lambda y: y.double() / scale * c.unit + c.source_mean,
    )


def solve(view: View, method: Method, max_steps: int, tol: float = TOL) -> Solution:
    """Solve all problems, batch by batch, each from y = z."""
    parts = [
        minimise(Proximal(view.potential, z), method, z, tol=tol, max_steps=max_steps)
        for z in view.z.split(BATCH)
    ]
    return Solution.concatenate(parts)


class Answer(NamedTuple):
    """What the default found, in the units of the data: points (n, d), objective values (n,), evaluations per row."""

    points: Tensor
    values: Tensor
    evaluations: float


def value_at(transport: TransportMap, z: Tensor, points: Tensor) -> Tensor:
    """Return the inner objective, as the library poses it, of points in the units of the data: (n,)."""
    u, w = (
        transport.coordinates.encode_source(points).float(),
        library_view(transport, z).z,
    )
    return Proximal(transport.network, w).evaluate(u)[0].double()


def measure(
    view: View,
    method: Method,
    max_steps: int,
    value: Callable[[Tensor], Tensor],
    default: list[Answer],
) -> dict[str, Any]:
    """Return what solving costs, and how the answers differ from the default's, which the first call leaves behind."""
    solve(view._replace(z=view.z[:64]), method, 5)  # first calls are slow
    began = time.perf_counter()
    solution = solve(view, method, max_steps)
    seconds = time.perf_counter() - began
    points = view.decode_source(solution.point)
    found = Answer(points, value(points), solution.evaluations_per_row)
    if not default:
        default.append(found)
    away = torch.linalg.vector_norm(points - default[0].points, dim=-1)
    spread = (points - points.mean(0)).square().sum(-1).mean().sqrt()
    lower = found.values < default[0].values - TOL
    steps = solution.steps.double()
    return {
        "evaluations": found.evaluations,
        "times_default": found.evaluations / default[0].evaluations,
        "median_steps": float(steps.median()),
        "most_steps": float(steps.max()),
        "converged_percent": 100 * float(solution.converged.double().mean()),
        "unconverged": solution.unconverged,
        "worst_residual": float(solution.residual.max()),
        "elsewhere_percent": 100 * float((away > 0.01 * spread).double().mean()),
        "lower_percent": 100 * float(lower.double().mean()),
        "solve_seconds": seconds,
    }


def _train(pair: Pair, potential: str, seed: int, seconds: float) -> OptimalTransport:
    ot = OptimalTransport(
        potential, scale="common", max_steps=10**9, max_time=seconds, random_state=seed
    )
    return ot.fit(pair.source, pair.target)


def run_problem(
    ledger: Ledger, pair: Pair, potential: str, seed: int, flags: argparse.Namespace
) -> None:
    """Train one potential, and record a row per method and view; the default comes first, as all compare with it."""
    problem, dim = f"{pair.name} d={pair.dim}, {potential}", pair.dim
    trained: list[OptimalTransport] = []

    def train() -> dict[str, Any]:
        trained.append(_train(pair, potential, seed, flags.train_seconds))
        return training(trained[0])

    ledger.record(
        problem, "training", seed, train, dim=dim, max_time=flags.train_seconds
    )
    if not trained:
        return
    generator = torch.Generator().manual_seed(seed + 1)
    x, z = pair.source(flags.points, generator), pair.target(flags.points, generator)
    views = {
        "library": library_view(trained[0].map_, z),
        "plain": plain_view(trained[0].map_, x, z),
    }
    value, default = partial(value_at, trained[0].map_, z), list[Answer]()
    for where, view in views.items():
        for name, (method, most) in METHODS.items():
            max_steps = min(most, flags.max_steps)
            settings = {
                "dim": dim,
                "points": flags.points,
                "tol": TOL,
                "max_steps": max_steps,
            }
            ledger.record(
                problem,
                f"{name}, {where}",
                seed,
                partial(measure, view, method, max_steps, value, default),
                **settings,
            )


def _met(row: Row) -> bool | None:
    """Say of the default and of the published iteration whether the target holds; of others nothing."""
    if row.method == DEFAULT:
        return row.status == "ok"
    if row.method == PUBLISHED:
        return (row.get("times_default") or 0) >= FEWER
    return None


TABLES = (
    Table(
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
            Column("met", _met),
        ),
        where=lambda row: row.method != "training",
    ),
    Table(
        "inner-training",
        "inner",
        (
            Column("seconds", "train_seconds", ".0f"),
            Column("steps", "steps", ".0f"),
            Column("evaluations per row", "train_evaluations", ".1f"),
            Column("selected", "selected"),
        ),
        where=lambda row: row.method == "training",
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__, DIMS)
    parser.add_argument(
        "--train-seconds",
        type=float,
        default=None,
        help="default 60, or 2 with --quick",
    )
    parser.add_argument(
        "--potentials", nargs="+", choices=POTENTIALS, default=list(POTENTIALS)
    )
    parser.add_argument(
        "--pair",
        choices=("w2hd", "separable"),
        default=None,
        help="default w2hd if there is data",
    )
    parser.add_argument(
        "--max-steps",
        type=int,
        default=FIRST_ORDER,
        help="of every method at most (default 10,000)",
    )
    flags = options.parse(parser, arguments)
    flags.train_seconds = flags.train_seconds or (2.0 if flags.quick else 60.0)
    flags.points, flags.max_steps = (
        (256, 100) if flags.quick else (4096, flags.max_steps)
    )
    name = flags.pair or ("w2hd" if os.environ.get("BRENIER_DATA") else "separable")
    with options.open_ledger("inner", flags) as ledger:
        for dim in flags.dims:
            for seed in flags.seeds:
                pair = w2hd_pair(dim) if name == "w2hd" else separable_pair(dim, seed)
                for potential in flags.potentials:
                    run_problem(ledger, pair, potential, seed, flags)
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
