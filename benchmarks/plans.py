"""What the cost of an exact plan between two samples tells of the squared distance between their laws.

    python -m benchmarks.plans                # pairs whose maps are known, 1,000 rows a side, d = 4 and 16

On average a plan between n rows a side costs more than W2^2 between the laws, in high dimension much more. Corrections:

    debiased    half - (W2^2(x0, x1) + W2^2(z0, z1)) / 2, half the mean of W2^2(x0, z0) and W2^2(x1, z1), where x0, x1
                are halves of the rows ("Faster Wasserstein Distance Estimation with the Sinkhorn Divergence", Chizat et
                al., 2020, without entropy)
    corrected   full - (half - full) (full' - W2'^2) / (half' - full'), full the cost for all rows. Halving the rows
                adds to the bias; how much bias remains is estimated from Gaussians with the moments of the samples, as
                many rows, and a distance W2' in closed form (the primes).

`benchmarks.images` reports both for its latents.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import pairs
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Table,
    ratio,
)
from brenier.datasets import NEUTRAL, Pair
from brenier.metrics import bures_w2, exact_w2
from brenier.statistics import matrix_power

SAMPLES, QUICK_SAMPLES = 1000, 100
TRUTH = 500_000  # rows that determine E|T(x) - x|^2


class Costs(NamedTuple):
    """Costs of exact plans between samples, and between samples of Gaussians with their moments."""

    full: float
    half: float
    debiased: float
    gaussian_full: float
    gaussian_half: float
    gaussian: float  # W2^2 between the Gaussians

    @property
    def corrected(self) -> float:
        """The cost for all rows, less its bias as estimated by halving."""
        added = self.half - self.full
        gaussian_added = self.gaussian_half - self.gaussian_full
        gaussian_bias = self.gaussian_full - self.gaussian
        return self.full - added * gaussian_bias / gaussian_added


def plan_costs(x: Tensor, z: Tensor, generator: torch.Generator) -> Costs:
    """Return the costs for rows x (n, d) and z (m, d) in any order; n and m exceed 2 d."""
    x, z = x.double(), z.double()
    moments = [(side.mean(0), torch.cov(side.mT)) for side in (x, z)]
    gaussians = []
    for (mean, covariance), side in zip(moments, (x, z), strict=True):
        noise = torch.randn(side.shape, generator=generator).double()
        gaussians.append(mean + noise @ matrix_power(covariance, 0.5))
    full, half = _between(x, z)
    within = 0.5 * (_cost(*_halves(x)) + _cost(*_halves(z)))
    distance = bures_w2(*moments[0], *moments[1]) ** 2
    return Costs(full, half, half - within, *_between(*gaussians), distance)


def mean_costs(costs: Sequence[Costs]) -> Costs:
    """Return the mean of every cost."""
    return Costs(*map(statistics.fmean, zip(*costs, strict=True)))


def _between(x: Tensor, z: Tensor) -> tuple[float, float]:
    """Return the cost between all rows, and the mean of those between halves of either side."""
    (x0, x1), (z0, z1) = _halves(x), _halves(z)
    return _cost(x, z), 0.5 * (_cost(x0, z0) + _cost(x1, z1))


def _halves(rows: Tensor) -> tuple[Tensor, Tensor]:
    return rows[::2], rows[1::2]


def _cost(x: Tensor, z: Tensor) -> float:
    return exact_w2(x, z, max_points=max(len(x), len(z))) ** 2


def problems(flags: Flags) -> Iterator[Choice]:
    for pair in pairs.select(NEUTRAL, flags.dims, flags.dims):
        yield Choice(pairs.problem(pair), pair, {"dim": pair.dim})


def methods(flags: Flags, pair: Pair) -> Iterator[Choice]:
    yield Choice(f"{flags.samples:,} rows", flags.samples)


def measure(pair: Pair, n: int, seed: int, flags: Flags) -> dict[str, Any]:
    """Return the costs between n rows a side, and the cost of the true map."""
    generator = torch.Generator().manual_seed(seed)
    found = plan_costs(pair.source(n, generator), pair.target(n, generator), generator)
    x = pair.source(TRUTH, generator)
    truth = float((pair.forward(x) - x).double().square().sum(-1).mean())
    return {"truth": truth, "corrected": found.corrected, **found._asdict()}


TABLE = Table(
    "plans",
    "plans",
    (
        Column("W2²", "truth", ".2f"),
        Column("plan's cost over it", ratio("full", "truth"), ".2f"),
        Column("with half the rows", ratio("half", "truth"), ".2f"),
        Column("debiased", ratio("debiased", "truth"), ".2f"),
        Column("corrected by halving", ratio("corrected", "truth"), ".2f"),
    ),
)
TYPICAL = ("logsumexp d=16", "manifold d=16", "tails d=16")
SHORT = TABLE.short(lambda row: row.problem in TYPICAL)
ARGUMENTS = Arguments(
    dims=(4, 16),
    seeds=range(5),
    fixed={"samples": SAMPLES},
    quick={"samples": QUICK_SAMPLES},
)
BENCHMARK = Benchmark(
    "plans", __doc__, problems, methods, measure, (TABLE, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
