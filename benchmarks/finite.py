"""How well a map is learnt from few samples: this library beside the maps of discrete optimal transport.

    BRENIER_DATA=... python -m benchmarks.finite                     # d = 2, 16, 64; n = 100 ... 100,000 a side
    python -m benchmarks.finite --pairs tails clusters               # without data: pairs of `brenier.datasets.NEUTRAL`
    python -m benchmarks.finite --sizes 1000 --methods default entropic

n samples a side, drawn once, of a pair whose true map is known; errors of both maps on 16,384 points that no method has
seen. Nothing is chosen by the truth. Every method gets the same samples:

* default: `OptimalTransport()`, which selects by samples it holds out itself, or `--seconds` of training;
* one network, four networks: the default but for the number of networks whose mean is the potential, which is two;
* bandwidth 0, 3,000 steps: one network, from rows drawn as they are, or in as many steps as many rows get;
* affine map: the optimal map between the means and covariances of the samples, in closed form;
* exact plan: POT's optimal coupling, its barycentric projection moved along from the nearest sample;
* entropic map: Sinkhorn potentials of POT extended to new points, the regularisation chosen on held-out samples.

The last two need the distances between all samples: they use the first 10,000 and 4,096 where there are more, and the
column "samples used" says so. `benchmarks/discrete.py` tells how they work. They take the time they need.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import discrete, gaussians, neutral, options, tables
from benchmarks.scores import fresh, score, score_images, training
from benchmarks.tables import Column, Table
from brenier import OptimalTransport
from brenier.datasets import NEUTRAL, Pair, w2hd_pair

DIMS = (2, 16, 64)
SIZES = (100, 1_000, 10_000, 100_000)
MOST = {"exact": 10_000, "entropic": 4_096}  # samples whose distances can be held
PAIRS = ("w2hd", *NEUTRAL)


def choose(
    names: Sequence[str], dims: Sequence[int], manifold_dims: Sequence[int]
) -> Iterator[Pair]:
    """Yield the pairs of these names, in these dimensions."""
    for name in names:
        if name == "w2hd":
            yield from map(w2hd_pair, dims)
        else:
            yield from neutral.choose((name,), dims, manifold_dims)


def add_pairs(parser: argparse.ArgumentParser, default: Sequence[str]) -> None:
    """Give a parser the flags that `choose` needs."""
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(default))
    parser.add_argument(
        "--manifold-dims",
        type=int,
        nargs="+",
        default=list(neutral.MANIFOLD_DIMS),
        metavar="D",
    )


def fitted(
    x: Tensor, z: Tensor, pair: Pair, points: int, seed: int, **given: Any
) -> dict[str, Any]:
    """Fit with default settings but those given."""
    began = time.perf_counter()
    ot = OptimalTransport(random_state=seed, **given).fit(x, z)
    return (
        score(ot.map_, pair, points, seed)
        | training(ot)
        | {"fit_seconds": time.perf_counter() - began}
    )


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
    return discrete.entropic_map(
        x.double().numpy(), z.double().numpy(), float("inf"), seed
    )


OURS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "default": ("default", {}),
    "single": ("one network", {"n_networks": 1}),
    "unsmeared": ("bandwidth 0", {"n_networks": 1, "bandwidth": 0.0}),
    "long": ("3,000 steps", {"n_networks": 1, "max_steps": 3000}),
    "several": ("four networks", {"n_networks": 4}),
}
METHODS: Mapping[str, tuple[str, Callable[[Tensor, Tensor, int], discrete.Maps]]] = {
    "affine": ("affine map", affine),
    "exact": ("exact plan", exact),
    "entropic": ("entropic map", entropic),
}


def measure(
    name: str, pair: Pair, n: int, points: int, seed: int, seconds: float | None
) -> dict[str, Any]:
    """Draw the samples, fit one method to them, and score both maps on fresh points."""
    generator = torch.Generator().manual_seed(seed)
    x, z = pair.source(n, generator), pair.target(n, generator)
    used = min(n, MOST.get(name, n))
    if name in OURS:
        given = OURS[name][1] | ({"max_time": seconds} if seconds else {})
        return {"used": used} | fitted(x, z, pair, points, seed, **given)
    fit = METHODS[name][1]
    began = time.perf_counter()
    maps = fit(x[:used], z[:used], seed)
    took = time.perf_counter() - began
    a, _, b, _ = fresh(pair, points, seed)
    moved, back = (
        torch.from_numpy(f(side.numpy()))
        for f, side in ((maps.forward, a), (maps.backward, b))
    )
    return (
        {"used": used}
        | score_images(moved, back, pair, points, seed)
        | maps.facts
        | {"fit_seconds": took}
    )


TABLES = (
    Table(
        "finite",
        "finite",
        (
            Column("samples used", "used", ",.0f"),
            Column("forward UVP %", "forward_uvp", ".3f"),
            Column("backward UVP %", "backward_uvp", ".3f"),
            Column("cosine", "cosine", ".4f"),
            Column("seconds", "fit_seconds", ".1f"),
            Column("selected", "selected"),
            Column("stopped by", "stopped"),
            Column("epsilon", "epsilon", ".3g"),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__, DIMS)
    add_pairs(parser, ("w2hd",))
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=None,
        metavar="N",
        help=f"default {list(SIZES)}",
    )
    parser.add_argument(
        "--methods", nargs="+", choices=(*OURS, *METHODS), default=["default", *METHODS]
    )
    parser.add_argument("--seconds", type=float, help="of training, instead of steps")
    flags = options.parse(parser, arguments)
    seconds, points = (2.0, 1024) if flags.quick else (flags.seconds, 16_384)
    sizes = flags.sizes or (SIZES[:2] if flags.quick else SIZES)
    with options.open_ledger("finite", flags) as ledger:
        for pair in choose(flags.pairs, flags.dims, flags.manifold_dims):
            for n in sizes:
                for name in flags.methods:
                    label = OURS[name][0] if name in OURS else METHODS[name][0]
                    method = label + (
                        f", {seconds:.0f} s" if name in OURS and seconds else ""
                    )
                    settings = {"dim": pair.dim, "samples": n, "fresh": points}
                    for seed in flags.seeds:
                        run = partial(measure, name, pair, n, points, seed, seconds)
                        ledger.record(
                            f"{neutral.problem(pair)} n={n}",
                            method,
                            seed,
                            run,
                            **settings,
                        )
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
