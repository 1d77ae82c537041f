"""What bounds the accuracy of training by J: a network fitted to the true map, and training that goes on from there.

    BRENIER_DATA=... python -m benchmarks.limits                     # w2hd, d = 16: 15 min
    python -m benchmarks.limits --pairs logsumexp --seconds 60
    BRENIER_DATA=... python -m benchmarks.limits --dims 2 4 16 64 --truth

"fitted to the truth": the default network, by least squares on pairs (x, T*(x)), which no user has: what it can
represent. "then by J": training by J goes on from there, at the default rate or a fifth of it. An exact J would not
change the map; what is lost is the noise of J from batches. "by J": from a new network.

*J above its minimum*: the mean of |x - T*(x)|^2/2 - env(T*(x)) + g(x) in the coordinates of training, where the average
feature has variance one. It is zero for the true map and positive for any other, row by row, and near the optimum half
of E[e'(I + Hess g)^-1 e], e the error of the map. *Weight*: twice that divided by E|e|^2, the weight of an error in J.

"true map", with `--truth` alone: *balance*, the backward L2-UVP over the forward one of a map whose small error e has
the same weight in J at all places and in all directions, with E[ee'] in proportion to I + Hess g at every point; the
error of the inverse is then (I + Hess g)^-1 e.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from functools import partial
from time import perf_counter
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
    Table,
    choices,
    flag,
)
from brenier import DenseICNN, OptimalTransport, Settings, TransportMap
from brenier.datasets import Pair
from brenier.estimators import POTENTIALS
from brenier.training.optimiser import ema_update
from brenier.training.settings import cosine_schedule
from brenier.transport.dual import conjugate

TOL = 1e-4  # of inner problems in "J above its minimum", per root of the dimension
SLOWER = 0.2  # of the default learning rate


def fitted(pair: Pair, seed: int, seconds: float) -> OptimalTransport:
    """Return an estimator whose network was fitted to the true map for some seconds."""
    ot = OptimalTransport(max_steps=1, random_state=seed).fit(pair.source, pair.target)
    coordinates, generator = ot.map_.coordinates, torch.Generator().manual_seed(seed)
    network = DenseICNN(ot.map_.dim, generator=generator)
    average = copy.deepcopy(network)
    optimizer = Settings().make_optimizer(network.parameter_groups())
    began, step = perf_counter(), 0
    while (progress := (perf_counter() - began) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = Settings.learning_rate * cosine_schedule(progress)
        x = pair.source(Settings.batch_size, generator)
        u = coordinates.encode_source(x).float()
        v = coordinates.encode_target(pair.forward(x)).float()
        optimizer.zero_grad()
        (u + network.gradient(u) - v).square().sum(-1).mean().backward()
        optimizer.step()
        ema_update(average, network, step, Settings.ema_decay)
        step += 1
    ot.map_.network = average.eval().requires_grad_(False)
    return ot


def trained(
    begin: OptimalTransport | None, pair: Pair, seed: int, seconds: float, rate: float
) -> OptimalTransport:
    """Return an estimator trained by J, from a copy of another if there is one."""
    ot = OptimalTransport(POTENTIALS["free"])
    if begin is not None:
        ot = copy.deepcopy(begin).set_params(warm_start=True)
    ot.set_params(
        max_steps=UNLIMITED, max_time=seconds, learning_rate=rate, random_state=seed
    )
    return ot.fit(pair.source, pair.target)


def above_minimum(
    transport: TransportMap, pair: Pair, n: int, seed: int
) -> dict[str, float]:
    """Return how far J is above its minimum, and the weight of the squared error of the map in it."""
    x, y, _, _ = scores.evaluation_points(pair, n, seed)
    coordinates, network = transport.coordinates, transport.network
    u, v = coordinates.encode_source(x).float(), coordinates.encode_target(y).float()
    tol = TOL * u.shape[1] ** 0.5

    def value_from(start: Tensor) -> Tensor:
        solved = conjugate(network, v, start=start, tol=tol, max_steps=500)
        return solved.value

    with torch.no_grad():
        value, gradient = network.value_and_gradient(u)
        env = torch.minimum(value_from(u), value_from(v))
        cost = 0.5 * (u - v).double().square().sum(-1)
        excess = cost - env.double() + value.double()
        error = (u + gradient - v).double().square().sum(-1)
    return {
        "excess": float(excess.mean()),
        "weight": float(2 * excess.mean() / error.mean()),
    }


def balance(pair: Pair, n: int, seed: int) -> dict[str, Any]:
    """Return the backward error over the forward one of a map whose error has one weight in J everywhere."""
    x = scores.evaluation_points(pair, n, seed)[0].requires_grad_()
    slopes = [
        torch.autograd.grad(part.sum(), x, retain_graph=True)[0]
        for part in pair.forward(x).unbind(-1)
    ]
    steep = torch.linalg.eigvalsh(torch.stack(slopes, 1))
    forward = steep.mean() / pair.variance_target
    backward = steep.reciprocal().mean() / pair.variance_source
    return {"balance": float(backward / forward)}


class Truth(NamedTuple):
    """A pair, and an estimator fitted to its true map, made once for all methods."""

    pair: Pair
    fitted: Once[OptimalTransport]


class Training(NamedTuple):
    """Training by J: whether from the fit to the true map, and the factor on the rate."""

    from_truth: bool
    factor: float


def methods(flags: Flags, pair: Pair) -> Iterator[Choice]:
    settings = {"n": flags.points}
    yield Choice("true map", "true map", settings)
    if flags.truth:
        return
    seconds = f"{flags.seconds:.0f} s"
    for name, value in (
        (f"fitted to the truth, {flags.seconds / 2:.0f} s", "fitted"),
        (f"then by J at a fifth of the rate, {seconds}", Training(True, SLOWER)),
        (f"then by J, {seconds}", Training(True, 1.0)),
        (f"by J, {seconds}", Training(False, 1.0)),
    ):
        yield Choice(name, value, settings)


@contextlib.contextmanager
def prepare(pair: Pair, seed: int, flags: Flags) -> Iterator[Truth]:
    yield Truth(pair, Once(partial(fitted, pair, seed, flags.seconds / 2)))


def measure(
    truth: Truth, method: str | Training, seed: int, flags: Flags
) -> dict[str, Any]:
    """Return the errors of a map, and their weight in J."""
    pair, n = truth.pair, flags.points
    if method == "true map":
        return balance(pair, n, seed)
    if isinstance(method, Training):
        begin = truth.fitted() if method.from_truth else None
        rate = method.factor * Settings.learning_rate
        ot = trained(begin, pair, seed, flags.seconds, rate)
    else:
        ot = truth.fitted()
    return scores.score(ot.map_, pair, n, seed) | above_minimum(ot.map_, pair, n, seed)


TABLE = Table(
    "limits",
    "limits",
    (
        scores.FORWARD,
        scores.BACKWARD,
        Column("J above its minimum", "excess", ".4f"),
        Column("weight", "weight", ".2f"),
        Column("balance", "balance", ".2f"),
        scores.UNCONVERGED,
    ),
)
SHORT = TABLE.short(
    lambda row: row.problem == "w2hd d=16",
    "forward UVP %",
    "backward UVP %",
    "J above its minimum",
    "weight",
    "balance",
)
BENCHMARK = Benchmark(
    "limits",
    __doc__,
    pairs.problems,
    methods,
    measure,
    (TABLE, SHORT),
    Arguments(
        (
            choices("--pairs", pairs.PAIRS, ["w2hd"]),
            flag(
                "--seconds",
                type=float,
                default=240.0,
                help="of training by J; half for the fit (default 240)",
            ),
            flag("--truth", action="store_true", help="only the row of the true map"),
        ),
        dims=(16,),
        fixed={"points": 16_384},
        quick={"points": 1024, "seconds": 1.0},
    ),
    prepare,
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
