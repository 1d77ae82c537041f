"""What `distance()` claims, over many draws of samples whose distance is known.

    python -m benchmarks.distance                                    # all, the affine part: 20 min on a core
    python -m benchmarks.distance --cells null --methods default convex --draws 200
    python -m benchmarks.distance --cells small --draws 200

Every row is of many fits, each to fresh samples. "differs": the share of them whose interval leaves out zero, so that
the statement says that the samples differ. "covered": the share whose 95 % interval holds the true distance, "lower":
the share whose lower bound less 1.645 of its errors is below it. "width": of the interval, on average.

* null: both samples from N(0, I), n = 500, d = 10; n = 2,000, d = 5; n = 20,000, d = 4. The distance is zero;
* gaussian: N(0, S) to one that is shifted and stretched, at distances 0, .1, .3 and 1.3;
* neutral: pairs of `brenier.datasets.NEUTRAL` whose true map is known, by the displacement of 200,000 points. What a
  map misses the interval does not know, so the lower bound is what counts;
* small: from 2 to 1,000 rows and features: shifts, Gaussians, permutations of the same rows, one-hot rows, counts and
  constant columns, whose distance is known. "worst" is the largest error in its own stated errors.

"affine part" is what a fit reports where its network is no better than the affine map, without the fit; "default" and
"convex" are fits as users make them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

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
from brenier.datasets import NEUTRAL
from brenier.statistics import Root, root_of
from brenier.transport.coordinates import gaussian_fits
from brenier.transport.maps import CrossFitSettings, combined, cross_fitted

NULL = ((500, 10), (2_000, 5), (20_000, 4))
SIZES, DIMS = (500, 2_000, 10_000), (2, 5, 16)
DISTANCES = (0.0, 0.1, 0.3, 1.3)
PAIRS = ("separable", "logsumexp", "tails")
DISPLACED = 200_000  # points by which the distance of a neutral pair is known
ONE_SIDED = 1.645  # errors below which a lower bound is with 95 % confidence


class Claim(NamedTuple):
    """What is claimed of the distance of some samples."""

    root: Root
    lower: Root
    network: bool


def affine_part(x: Tensor, z: Tensor, draw: int) -> Claim:
    """Return what cross-fitted Gaussian fits claim."""
    generator = torch.Generator().manual_seed(draw)

    (terms,) = cross_fitted([(x, z)], gaussian_fits, generator, CrossFitSettings())
    value, below, error, _ = combined(terms, None)
    root = root_of(2 * value, 2 * error)
    return Claim(root, root_of(2 * below, 2 * error), network=False)


def fitted(x: Tensor, z: Tensor, draw: int, **arguments: Any) -> Claim:
    """Return what a fit claims."""
    ot = OptimalTransport(random_state=draw, **arguments).fit(x, z)
    found = ot.map_.distance()
    lower = Root(found.lower, found.lower_error, 0.0, 0.0)
    root = Root(found.w2, found.w2_error, *found.interval)
    kept = ot.diagnostics_["selected"] not in ("affine", "identity")
    return Claim(root, lower, network=kept)


METHODS: Mapping[str, tuple[str, Callable[[Tensor, Tensor, int], Claim]]] = {
    "affine": ("affine part", affine_part),
    "default": ("default", fitted),
    "convex": ("convex", partial(fitted, potential="convex")),
}


class Cell(NamedTuple):
    """Samples of a known distance: a generator -> source, target and the distance."""

    draw: Callable[[torch.Generator], tuple[Tensor, Tensor, float]]


def normal(generator: torch.Generator, n: int, d: int) -> Tensor:
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def stretched(n: int, d: int, distance: float) -> Cell:
    """Return two Gaussians with unequal spreads, half of whose squared distance is a shift and half a stretch."""
    spreads = torch.exp(-torch.arange(d, dtype=torch.float64) / d)
    stretch = 1 + distance / 2**0.5 / float(spreads.square().sum()) ** 0.5
    shift = torch.zeros(d, dtype=torch.float64)
    shift[0] = distance / 2**0.5

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
        x, z = normal(generator, n, d), normal(generator, n, d)
        return x * spreads, stretch * z * spreads + shift, distance

    return Cell(draw)


def null(n: int, d: int) -> Cell:
    return Cell(
        lambda generator: (normal(generator, n, d), normal(generator, n, d), 0.0)
    )


def neutral(name: str, d: int, n: int) -> Cell:
    """Return samples of a neutral pair; its distance is the displacement of its map."""
    pair = NEUTRAL[name](d)
    generator = torch.Generator().manual_seed(10**6)
    x = pair.source(DISPLACED, generator)
    distance = float((pair.forward(x) - x).square().sum(-1).mean()) ** 0.5

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
        return pair.source(n, generator), pair.target(n, generator), distance

    return Cell(draw)


def small(generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
    """Return samples of one of six kinds, with from 2 to 1,000 rows and features."""
    n, m, d = (int(k) for k in 10 ** (0.31 + 2.69 * torch.rand(3, generator=generator)))
    n, m = max(2, n), max(2, m)
    kind = int(torch.randint(6, (), generator=generator))
    x, z = normal(generator, n, d), normal(generator, m, d)
    if kind == 0:  # a shift
        return x, z + 1, d**0.5
    if kind == 1:  # unequal spreads, stretched
        spreads = torch.exp(-3 * torch.arange(d, dtype=torch.float64) / d)
        return x * spreads, 1.5 * z * spreads, 0.5 * float(spreads.norm())
    if kind == 2:  # the same rows in another order
        return x, x[torch.randperm(n, generator=generator)], 0.0
    if kind == 3:  # one-hot rows, some of them rare
        chances = torch.exp(-torch.arange(d, dtype=torch.float64) / 8)
        sides = [
            torch.multinomial(chances, k, replacement=True, generator=generator)
            for k in (n, m)
        ]
        one_hot = [torch.nn.functional.one_hot(side, d).double() for side in sides]
        return one_hot[0], one_hot[1], 0.0
    if kind == 4:  # counts, most of them zero
        rates = torch.exp(1.5 * normal(generator, 1, d) - 3)
        counts = [
            torch.poisson(rates.expand(k, d), generator=generator).log1p()
            for k in (n, m)
        ]
        return counts[0], counts[1], 0.0
    x[:, ::2], z[:, ::2] = 3.0, 5.0  # constant columns
    return x, z, 2 * len(range(0, d, 2)) ** 0.5


def problems(flags: Flags) -> Iterator[Choice]:
    sizes, dims = flags.sizes or SIZES, flags.dims
    if "null" in flags.cells:
        for n, d in NULL[: 1 if flags.quick else None]:
            yield Choice(f"null n={n} d={d}", null(n, d))
    for n in sizes:
        for d in dims:
            if "gaussian" in flags.cells:
                for distance in DISTANCES:
                    name = f"gaussian W2={distance} n={n} d={d}"
                    yield Choice(name, stretched(n, d, distance))
            if "neutral" in flags.cells:
                for name in PAIRS:
                    yield Choice(f"{name} n={n} d={d}", neutral(name, d, n))
    if "small" in flags.cells:
        yield Choice("small n, d = 2 to 1,000", Cell(small))


def methods(flags: Flags, cell: Cell) -> Iterator[Choice]:
    for name in flags.methods:
        yield Choice(METHODS[name][0], METHODS[name][1], {"draws": flags.draws})


def measure(
    cell: Cell, claim: Callable[[Tensor, Tensor, int], Claim], seed: int, flags: Flags
) -> dict[str, Any]:
    """Return shares over many fits."""
    found = []
    for draw in range(flags.draws):
        generator = torch.Generator().manual_seed(10_000 * seed + draw)
        x, z, true = cell.draw(generator)
        root, lower, network = claim(x.double(), z.double(), draw)
        off = abs(root.value - true)
        found.append(
            {
                "distance": true,
                "w2": root.value,
                "differs": float(root.low > 0),
                "covered": float(root.low <= true <= root.high),
                "lower": float(lower.value - ONE_SIDED * lower.error <= true),
                "width": root.high - root.low,
                "within": float(off <= 3 * root.error + 1e-9),
                "network": float(network),
                "errors": off / root.error if root.error > 0 else 0.0,
            }
        )
    mean = {key: sum(one[key] for one in found) / len(found) for key in found[0]}
    return {**mean, "errors": max(one["errors"] for one in found)}


TABLE = Table(
    "distance",
    "distance",
    (
        Column("draws", "draws", ",.0f"),
        Column("true W2", "distance", ".3f"),
        Column("W2", "w2", ".3f"),
        Column("differs", "differs", ".3f"),
        Column("covered", "covered", ".3f"),
        Column("lower", "lower", ".3f"),
        Column("within 3 errors", "within", ".3f"),
        Column("worst", "errors", ".1f"),
        Column("width", "width", ".3f"),
        Column("network", "network", ".2f"),
    ),
)


def _is_null(row: Row) -> bool:
    return row.problem.startswith(("null", "small"))


SHORT = TABLE.short(_is_null, "draws", "differs", "covered", "within 3 errors", "worst")
ARGUMENTS = Arguments(
    (
        choices("--cells", ("null", "gaussian", "neutral", "small")),
        choices("--methods", METHODS, ("affine",)),
        flag("--draws", type=int, default=100, help="fits per row (default 100)"),
        flag("--sizes", type=int, nargs="+", metavar="N", help=f"default {SIZES}"),
    ),
    dims=DIMS,
    quick={"draws": 3, "sizes": [200]},
)
BENCHMARK = Benchmark(
    "distance", __doc__, problems, methods, measure, (TABLE, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
