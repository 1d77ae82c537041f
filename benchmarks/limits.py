"""What bounds the accuracy of training by J: a network fitted to the true map itself, and what training makes of it.

    BRENIER_DATA=... python -m benchmarks.limits                     # w2hd, d = 16: 15 min
    python -m benchmarks.limits --pairs logsumexp --seconds 60
    BRENIER_DATA=... python -m benchmarks.limits --dims 2 4 16 64 --truth

"fitted to the truth": the default network, by least squares on pairs (x, T*(x)), which no user has: what it can hold.
"then by J": training goes on from there, at the default rate or a fifth of it. An exact J would leave the map where it
is; what is lost is the noise of J from batches. "by J": from a fresh start.

*J above its minimum*: the mean of |x - T*(x)|^2/2 - env(T*(x)) + g(x) in the coordinates of training, where the average
feature has variance one. It is zero for the true map and positive for any other, row by row, and near the optimum half
of E[e'(I + Hess g)^-1 e], e the error of the map. *Weight*: twice that divided by E|e|^2, what an error counts in J.

"true map", with `--truth` alone: *balance*, the backward L2-UVP over the forward one of a map whose small error e J
sees alike in all places and directions, with E[ee'] in proportion to I + Hess g at every point; the inverse then errs
by (I + Hess g)^-1 e.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cache, partial
from time import perf_counter
from typing import Any

import torch

from benchmarks import options, tables
from benchmarks.ablation import PAIRS
from benchmarks.scores import fresh, score
from benchmarks.tables import Column, Table
from brenier import DenseICNN, OptimalTransport, TransportMap
from brenier.datasets import Pair
from brenier.estimators.parameters import POTENTIALS
from brenier.training.run import follow
from brenier.training.settings import Settings, cosine
from brenier.transport.dual.conjugate import conjugate

Make = Callable[[], OptimalTransport]
TOL = 1e-4  # of the inner problems behind "J above its minimum", per root of the dimension


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
            group["lr"] = Settings.learning_rate * cosine(progress)
        x = pair.source(Settings.batch_size, generator)
        u, v = (
            coordinates.encode_source(x).float(),
            coordinates.encode_target(pair.forward(x)).float(),
        )
        optimizer.zero_grad()
        (u + network.gradient(u) - v).square().sum(-1).mean().backward()
        optimizer.step()
        follow(average, network, step, Settings.averaging)
        step += 1
    ot.map_.network = average.eval().requires_grad_(False)
    return ot


def trained(
    begin: Make | None, pair: Pair, seed: int, seconds: float, rate: float
) -> OptimalTransport:
    """Return an estimator trained by J, from where another is if one can be made."""
    ot = (
        OptimalTransport(POTENTIALS["free"])
        if begin is None
        else copy.deepcopy(begin()).set_params(warm_start=True)
    )
    ot.set_params(
        max_steps=options.UNLIMITED,
        max_time=seconds,
        learning_rate=rate,
        random_state=seed,
    )
    return ot.fit(pair.source, pair.target)


def above(transport: TransportMap, pair: Pair, n: int, seed: int) -> dict[str, float]:
    """Return how far J is above its minimum, and what the squared error of the map counts in it."""
    x, y, _, _ = fresh(pair, n, seed)
    coordinates, network = transport.coordinates, transport.network
    u, v = coordinates.encode_source(x).float(), coordinates.encode_target(y).float()
    tol = TOL * u.shape[1] ** 0.5
    with torch.no_grad():
        value, gradient = network.value_and_gradient(u)
        env = torch.minimum(
            *(
                conjugate(network, v, start=start, tol=tol, max_steps=500).value
                for start in (u, v)
            )
        )
        excess = 0.5 * (u - v).double().square().sum(-1) - env.double() + value.double()
        error = (u + gradient - v).double().square().sum(-1)
    return {
        "excess": float(excess.mean()),
        "weight": float(2 * excess.mean() / error.mean()),
    }


def balance(pair: Pair, n: int, seed: int) -> dict[str, Any]:
    """Return the backward error over the forward one of a map whose error J sees alike everywhere."""
    x = fresh(pair, n, seed)[0].requires_grad_()
    slopes = [
        torch.autograd.grad(part.sum(), x, retain_graph=True)[0]
        for part in pair.forward(x).unbind(-1)
    ]
    steep = torch.linalg.eigvalsh(torch.stack(slopes, 1))
    forward, backward = (
        steep.mean() / pair.variance_target,
        steep.reciprocal().mean() / pair.variance_source,
    )
    return {"balance": float(backward / forward)}


def methods(pair: Pair, seed: int, seconds: float) -> dict[str, Make]:
    """Return how to make the maps that are compared, by name; the fit to the truth is made once, and shared."""
    truth, rate = (
        cache(partial(fitted, pair, seed, seconds / 2)),
        Settings.learning_rate,
    )
    return {
        f"fitted to the truth, {seconds / 2:.0f} s": truth,
        f"then by J at a fifth of the rate, {seconds:.0f} s": partial(
            trained, truth, pair, seed, seconds, rate / 5
        ),
        f"then by J, {seconds:.0f} s": partial(
            trained, truth, pair, seed, seconds, rate
        ),
        f"by J, {seconds:.0f} s": partial(trained, None, pair, seed, seconds, rate),
    }


def measure(make: Make, pair: Pair, n: int, seed: int) -> dict[str, Any]:
    """Return the errors of a map and what they mean to J."""
    ot = make()
    return score(ot.map_, pair, n, seed) | above(ot.map_, pair, n, seed)


TABLES = (
    Table(
        "limits",
        "limits",
        (
            Column("forward UVP %", "forward_uvp", ".3f"),
            Column("backward UVP %", "backward_uvp", ".3f"),
            Column("J above its minimum", "excess", ".4f"),
            Column("weight", "weight", ".2f"),
            Column("balance", "balance", ".2f"),
            Column("unconverged", "unconverged", ".0f", max),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__, (16,))
    parser.add_argument("--pairs", nargs="+", choices=tuple(PAIRS), default=["w2hd"])
    parser.add_argument(
        "--seconds",
        type=float,
        default=240.0,
        help="of training by J; half for the fit (default 240)",
    )
    parser.add_argument(
        "--truth", action="store_true", help="only the row of the true map"
    )
    flags = options.parse(parser, arguments)
    seconds, n = (1.0, 1024) if flags.quick else (flags.seconds, 16_384)
    with options.open_ledger("limits", flags) as ledger:
        for name in flags.pairs:
            for dim in flags.dims:
                for seed in flags.seeds:
                    pair, problem = PAIRS[name](dim), f"{name} d={dim}"
                    ledger.record(
                        problem,
                        "true map",
                        seed,
                        partial(balance, pair, n, seed),
                        dim=dim,
                        n=n,
                    )
                    for method, make in (
                        {} if flags.truth else methods(pair, seed, seconds)
                    ).items():
                        ledger.record(
                            problem,
                            method,
                            seed,
                            partial(measure, make, pair, n, seed),
                            dim=dim,
                            n=n,
                        )
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
