"""The error where mass may change: pairs whose optimal plan is known, and outliers that must not drag the map.

    python -m benchmarks.masses --seeds 0 1 2                       # all problems, a minute a fit
    python -m benchmarks.masses --pairs outliers clean --rho 0.3 1 3 10 30 --minutes 0.5

New samples for every batch, `--minutes` of training (1 by default), default settings otherwise; 16,384 new points.

* squared, power 1.5, elastic, d = 2, 16: `unbalanced_pair`, rho = 0.5 on both sides; *one-sided*: the source is exact.
  Forward errors on new rows of the source, backward on new rows of the target. *Growth* and *explained*: errors of the
  two densities of the plan, relative in L2, after the best factor, in percent. Targets: errors of the map below 1 %, of
  the densities below 5 %. The row `balanced` takes masses as equal: its densities are constants;
* outliers, d = 2: a pair with 5 % of outliers at distance 10 in the target, and *clean*, the same without them. Errors
  are those of the map on clean rows: the unbalanced fit's should grow by less than 20 % from clean to outliers. `--rho`
  are its prices, the same on both sides. *Outliers explained*: the mean of that density over outliers, over its mean
  over the other rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import costs, scores
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
    OutlierPair,
    UnbalancedPair,
    outlier_pair,
    unbalanced_pair,
)
from brenier.metrics import l2_uvp
from brenier.transport.costs import Elastic, Power, SquaredEuclidean

RHO = 0.5  # of the exact pairs
RHOS = (0.3, 1.0, 3.0, 10.0, 30.0)
SHARE, DISTANCE = 0.05, 10.0  # of outliers
PAIRS: Mapping[str, Callable[[int], CostPair]] = {
    "squared": lambda d: unbalanced_pair(SquaredEuclidean(), RHO, RHO, d),
    "power 1.5": lambda d: unbalanced_pair(Power(1.5), RHO, RHO, d),
    "elastic": lambda d: unbalanced_pair(Elastic(0.1), RHO, RHO, d),
    "one-sided": lambda d: unbalanced_pair(SquaredEuclidean(), math.inf, RHO, d),
    "outliers": lambda d: outlier_pair(SHARE, DISTANCE, d),
    "clean": lambda d: outlier_pair(0.0, DISTANCE, d),
}
OUTLIERS = ("outliers", "clean")


class Prices(NamedTuple):
    """What changes of mass cost; None where masses are taken as equal."""

    source: float
    target: float


def problems(flags: Flags) -> Iterator[Choice]:
    for name in flags.pairs:
        for dim in (2,) if name in OUTLIERS else flags.dims:
            yield Choice(f"{name} d={dim}", PAIRS[name](dim), {"dim": dim})


def methods(flags: Flags, pair: CostPair) -> Iterator[Choice]:
    known: dict[str, Prices | None] = {"balanced": None}
    if isinstance(pair, UnbalancedPair):
        known["unbalanced"] = Prices(pair.rho_source, pair.rho_target)
    else:
        known |= {f"unbalanced, rho {rho:g}": Prices(rho, rho) for rho in flags.rho}
    for minutes in flags.minutes:
        seconds = 60 * minutes
        settings = {"max_time": seconds, "fresh": flags.points}
        for name, prices in known.items():
            yield Choice(f"{name}, {seconds:.0f} s", (prices, seconds), settings)


def measure(
    pair: CostPair, method: tuple[Prices | None, float], seed: int, flags: Flags
) -> dict[str, Any]:
    """Fit endless samples for some time; return the errors of the map and of the densities of the plan."""
    prices, seconds = method
    began = time.perf_counter()
    ot = fit(pair, prices, seconds, seed)
    fitted = {"fit_seconds": time.perf_counter() - began}
    if isinstance(pair, UnbalancedPair):
        errors = score(ot.map_, pair, prices is not None, flags.points, seed)
    else:
        errors = scores.score(ot.map_, pair, flags.points, seed)
        if prices is not None and isinstance(pair, OutlierPair):
            errors |= outliers_explained(ot.map_, pair, flags.points, seed)
    return errors | costs.facts(ot) | fitted


def fit(
    pair: CostPair, prices: Prices | None, seconds: float, seed: int
) -> OptimalTransport:
    """Return the default fit with the pair's cost, balanced or with these prices."""
    arguments: dict[str, Any] = {}
    if not isinstance(pair.cost, SquaredEuclidean):
        arguments["cost"] = pair.cost
    if prices is not None:
        from brenier import UnbalancedMass  # type: ignore[attr-defined]

        arguments["mass"] = UnbalancedMass(source=prices.source, target=prices.target)
    ot = OptimalTransport(max_time=seconds, random_state=seed, **arguments)
    return ot.fit(pair.source, pair.target)


def score(
    transport: Any, pair: UnbalancedPair, weighted: bool, n: int, seed: int
) -> dict[str, Any]:
    """Return the errors of a map and of its densities; without weights these are ones."""
    generator = torch.Generator().manual_seed(scores.EVALUATION_SEED + seed)
    x = pair.source(n, generator).double()
    z, preimage = (a.double() for a in pair.target_with_preimage(n, generator))
    back, solution = transport.inverse(z, return_solution=True)
    growth = transport.growth(x) if weighted else torch.ones(len(x)).double()
    explained = transport.explained(z) if weighted else torch.ones(len(z)).double()
    return {
        "forward_uvp": l2_uvp(transport(x), pair.forward(x), pair.variance_target),
        "backward_uvp": l2_uvp(back, preimage, pair.variance_source),
        "unconverged": solution.unconverged,
        "growth_error": density_error(growth, pair.growth(x)),
        "explained_error": density_error(explained, pair.explained(z)),
    }


def density_error(found: Tensor, truth: Tensor) -> float:
    """Return min over c of 100 |c found - truth| / |truth| in L2: (n,), (n,) -> percent."""
    found, truth = found.double(), truth.double()
    factor = (found @ truth) / (found @ found)
    error = torch.linalg.vector_norm(factor * found - truth)
    return 100 * float(error / torch.linalg.vector_norm(truth))


def outliers_explained(
    transport: Any, pair: OutlierPair, n: int, seed: int
) -> dict[str, float]:
    """Return the mean of what is explained over outliers, over its mean over the other rows."""
    generator = torch.Generator().manual_seed(scores.EVALUATION_SEED + seed)
    clean = pair.forward(pair.source(n, generator)).double()
    far = pair.outliers(n, generator).double()
    ratio = transport.explained(far).mean() / transport.explained(clean).mean()
    return {"outliers_explained": float(ratio)}


TABLE = Table(
    "masses",
    "masses",
    (
        scores.FORWARD,
        scores.BACKWARD,
        Column("growth, error %", "growth_error", ".1f"),
        Column("explained, error %", "explained_error", ".1f"),
        Column("outliers explained", "outliers_explained", ".1e"),
        scores.UNCONVERGED,
        scores.SELECTED,
        scores.STEPS,
        scores.INNER,
        Column("seconds", "fit_seconds", ".0f"),
        scores.STOPPED,
    ),
)


def _is_typical(row: Row) -> bool:
    return (row.problem, row.method) in (
        ("squared d=16", "unbalanced, 60 s"),
        ("outliers d=2", "balanced, 60 s"),
        ("outliers d=2", "unbalanced, rho 3, 60 s"),
        ("clean d=2", "unbalanced, rho 3, 60 s"),
    )


SHORT = TABLE.short(_is_typical, *(column.title for column in TABLE.columns[:5]))
ARGUMENTS = Arguments(
    (
        choices("--pairs", PAIRS),
        flag(
            "--rho",
            type=float,
            nargs="+",
            default=list(RHOS),
            help=f"prices of changes of mass beside outliers (default {list(RHOS)})",
        ),
        flag(
            "--minutes",
            type=float,
            nargs="+",
            default=[1.0],
            help="training time per fit (default 1)",
        ),
    ),
    dims=(2, 16),
    fixed={"points": 16_384},
    quick={"points": 1024, "minutes": [2 / 60]},
)
BENCHMARK = Benchmark(
    "masses", __doc__, problems, methods, measure, (TABLE, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
