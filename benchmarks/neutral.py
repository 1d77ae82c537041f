"""How well maps are learnt that no network of the library contains: the pairs of `brenier.datasets.NEUTRAL`.

    python -m benchmarks.neutral                                          # all pairs, a minute a fit
    python -m benchmarks.neutral --pairs tails clusters --dims 16 --seconds 20 60 300 --seeds 0 1 2

Fresh samples throughout, `--seconds` of training (several budgets are several fits), all other settings the defaults;
errors of both maps on 16,384 fresh points. Nothing is chosen by the truth. Every row also holds the errors of the
affine map between the Gaussian fits of 100,000 fresh samples a side, on the same points. The pairs are those of seed 0,
whatever the seed of training. The surface, "manifold", has dimensions of its own, `--manifold-dims`, 50 by default.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from benchmarks import options, tables
from benchmarks.scores import fresh, score, training
from benchmarks.tables import Column, Table
from brenier import OptimalTransport
from brenier.datasets import NEUTRAL, Pair
from brenier.estimators.parameters import POTENTIALS
from brenier.metrics import l2_uvp
from brenier.statistics.gaussian import fit_gaussian, gaussian_map

DIMS = (2, 16, 64)
MANIFOLD_DIMS = (50,)
SECONDS = (60.0,)


def choose(
    names: Sequence[str] = tuple(NEUTRAL),
    dims: Sequence[int] = DIMS,
    manifold_dims: Sequence[int] = MANIFOLD_DIMS,
) -> Iterator[Pair]:
    """Yield the pairs of these names, in these dimensions."""
    for name in names:
        for dim in manifold_dims if name == "manifold" else dims:
            yield NEUTRAL[name](dim)


def problem(pair: Pair) -> str:
    """Return what a pair is called in the rows."""
    return f"{pair.name} d={pair.dim}"


def affine(pair: Pair, samples: int, n: int, seed: int) -> dict[str, float]:
    """Return the errors of the map between Gaussian fits of fresh samples, on the points that maps are measured on."""
    generator = torch.Generator().manual_seed(seed)
    source, target = (
        fit_gaussian(draw(samples, generator)) for draw in (pair.source, pair.target)
    )
    x, truth, z, preimage = fresh(pair, n, seed)
    moved = target.mean + (x - source.mean) @ gaussian_map(source, target)
    back = source.mean + (z - target.mean) @ gaussian_map(target, source)
    return {
        "affine_forward_uvp": l2_uvp(moved, truth, pair.variance_target),
        "affine_backward_uvp": l2_uvp(back, preimage, pair.variance_source),
    }


def fit(
    pair: Pair, potential: str, seed: int, seconds: float, samples: int, n: int
) -> dict[str, Any]:
    """Fit endless samples for some time, and score both maps and the affine ones."""
    ot = OptimalTransport(potential, max_time=seconds, random_state=seed)
    ot.fit(pair.source, pair.target)
    return score(ot.map_, pair, n, seed) | affine(pair, samples, n, seed) | training(ot)


TABLES = (
    Table(
        "neutral",
        "neutral",
        (
            Column("forward UVP %", "forward_uvp", ".3f"),
            Column("affine map", "affine_forward_uvp", ".1f"),
            Column("backward UVP %", "backward_uvp", ".3f"),
            Column("affine map", "affine_backward_uvp", ".1f"),
            Column("cosine", "cosine", ".4f"),
            Column("round trip", "round_trip", ".1e", max),
            Column("unconverged", "unconverged", ".0f", max),
            Column("selected", "selected"),
            Column("steps", "steps", ".0f"),
            Column("inner evaluations per row", "train_evaluations", ".1f"),
            Column("seconds", "train_seconds", ".0f"),
            Column("stopped by", "stopped"),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__, DIMS)
    parser.add_argument(
        "--pairs", nargs="+", choices=tuple(NEUTRAL), default=list(NEUTRAL)
    )
    parser.add_argument(
        "--manifold-dims", type=int, nargs="+", default=list(MANIFOLD_DIMS), metavar="D"
    )
    parser.add_argument(
        "--potentials",
        nargs="+",
        choices=tuple(POTENTIALS),
        default=[OptimalTransport().potential],
    )
    parser.add_argument(
        "--seconds",
        type=float,
        nargs="+",
        default=list(SECONDS),
        help="of training (default 60)",
    )
    flags = options.parse(parser, arguments)
    budgets, samples, n = (
        ([1.0], 10_000, 1024) if flags.quick else (flags.seconds, 100_000, 16_384)
    )
    with options.open_ledger("neutral", flags) as ledger:
        for pair in choose(flags.pairs, flags.dims, flags.manifold_dims):
            for potential in flags.potentials:
                for seconds in budgets:
                    for seed in flags.seeds:
                        measure = partial(
                            fit, pair, potential, seed, seconds, samples, n
                        )
                        settings = {
                            "dim": pair.dim,
                            "max_time": seconds,
                            "samples": samples,
                            "fresh": n,
                        }
                        ledger.record(
                            problem(pair),
                            f"{potential}, {seconds:g} s",
                            seed,
                            measure,
                            **settings,
                        )
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
