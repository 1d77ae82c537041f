"""What the cost of an exact plan between two samples tells of the squared distance between their laws.

    python -m benchmarks.plans                # pairs whose maps are known, 1,000 rows a side, d = 4 and 16

On average a plan between n rows a side costs more than W2^2 between the laws, in high dimension much more. Corrections:

    debiased    half - (W2^2(x0, x1) + W2^2(z0, z1)) / 2, half the mean of W2^2(x0, z0) and W2^2(x1, z1), where x0, x1
                are halves of the rows ("Faster Wasserstein Distance Estimation with the Sinkhorn Divergence", Chizat et
                al., 2020, without entropy)
    corrected   full - (half - full) (full' - W2'^2) / (half' - full'), full the cost for all rows: what halving adds
                tells how much there is still to take away. How much more, is read from Gaussians with the moments of
                the samples, as many rows, and a distance W2' in closed form (the primes).

`benchmarks.images` tells both of its latents.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import options, tables
from benchmarks.tables import Column, Table, ratio
from brenier.datasets import NEUTRAL, Pair
from brenier.metrics import bures_w2, exact_w2
from brenier.statistics.gaussian import matrix_power

SAMPLES = 1000
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
        """The cost for all rows, less its bias as halving tells."""
        added, known = self.half - self.full, self.gaussian_half - self.gaussian_full
        return self.full - added * (self.gaussian_full - self.gaussian) / known


def plan_costs(x: Tensor, z: Tensor, generator: torch.Generator) -> Costs:
    """Return the costs for rows x (n, d) and z (m, d) in any order; n and m exceed 2 d."""
    x, z = x.double(), z.double()
    moments = [(side.mean(0), torch.cov(side.mT)) for side in (x, z)]
    twins = (
        mean
        + torch.randn(side.shape, generator=generator).double()
        @ matrix_power(covariance, 0.5)
        for (mean, covariance), side in zip(moments, (x, z), strict=True)
    )
    full, half = _between(x, z)
    within = 0.5 * (_cost(*_halves(x)) + _cost(*_halves(z)))
    return Costs(
        full,
        half,
        half - within,
        *_between(*twins),
        bures_w2(*moments[0], *moments[1]) ** 2,
    )


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


def measure(pair: Pair, n: int, seed: int) -> dict[str, Any]:
    """Return the costs between n rows a side, and what the map moves."""
    generator = torch.Generator().manual_seed(seed)
    found = plan_costs(pair.source(n, generator), pair.target(n, generator), generator)
    x = pair.source(TRUTH, generator)
    truth = float((pair.forward(x) - x).double().square().sum(-1).mean())
    return {"truth": truth, "corrected": found.corrected, **found._asdict()}


TABLES = (
    Table(
        "plans",
        "plans",
        (
            Column("W2²", "truth", ".2f"),
            Column("plan's cost over it", ratio("full", "truth"), ".2f"),
            Column("with half the rows", ratio("half", "truth"), ".2f"),
            Column("debiased", ratio("debiased", "truth"), ".2f"),
            Column("corrected by halving", ratio("corrected", "truth"), ".2f"),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__, (4, 16), seeds=range(5))
    flags = options.parse(parser, arguments)
    n = 100 if flags.quick else SAMPLES
    with options.open_ledger("plans", flags) as ledger:
        for name, make in NEUTRAL.items():
            for dim in flags.dims:
                for seed in flags.seeds:
                    ledger.record(
                        f"{name} d={dim}",
                        f"{n:,} rows",
                        seed,
                        partial(measure, make(dim), n, seed),
                        dim=dim,
                    )
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
