"""Every baseline beside the default, on pairs with known maps, at equal seconds.

    python -m benchmarks.rivals                                        # Gaussians, d = 2 ... 64: Table 1 and Figure 1
    python -m benchmarks.rivals --pairs w2hd --dims 2 4 16 64 --seconds 60 300 --seeds 0 1 2
    python -m benchmarks.rivals --pairs tails clusters --dims 2 16     # neutral pairs
    python -m benchmarks.rivals --methods not --cost-weights 0         # a network without transport cost: no map

*default* is `OptimalTransport()`, *characteristic-flow* the method of `benchmarks.ncf`; all others are named as in
`brenier.baselines.BASELINES`, with their settings "fair" (`--presets published` for the published ones). *truth* is the
true map: its energy distance is that of two samples of the target, the noise floor. *identity*, *constant* and *linear*
(the closed form between the moments of the samples) are rows like all others: a method that does not beat them has
learnt nothing.

Between Gaussians 100,000 rows a side are drawn once, as in the published table; on other pairs every batch is new.
`--seconds` are those of the processor, the same for every method that is trained, on one thread by default. Errors of
both maps on 16,384 new points; nothing is chosen by the true map. *Last* and *average* are the forward errors of both
sets of weights: min-max methods orbit. *Energy* is the energy distance of moved rows to new target rows, which is blind
for pairing. *Numbers* counts what the maps store, both ways. Published figures, where a row has them, are those of the
forward map in Table 1 of "Fixed-Point Neural Optimal Transport without Implicit Differentiation" (Park et al., 2026);
its row of NOT is worse than the identity and is not what that method reaches (see `docs/baselines.md`).
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import scores
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Ledger,
    Row,
    Table,
    choices,
    flag,
)
from benchmarks.harness.budgets import in_processor_seconds
from benchmarks.pairs import PAIRS, problem
from benchmarks.rivals.figure import draw_costs
from brenier import NoInverseError, OptimalTransport
from brenier.baselines import BASELINES, CharacteristicFlow, LearnedBaseline
from brenier.datasets import Pair, gaussian_pair
from brenier.metrics import energy_distance, l2_uvp

OWN = ("default", "characteristic-flow", "truth")
# Methods that need a normal source, or classes, which pairs do not have.
ELSEWHERE = ("ffjord", "rnode", "ot-flow")
PUBLISHED: dict[str, dict[int, float]] = {
    "not": {2: 77.2, 4: 125.4, 8: 114.1, 16: 176.1, 32: 182.3, 64: 196.8},
    "ls": {2: 5.806, 4: 9.781, 8: 15.963, 16: 25.232, 32: 41.445, 64: 55.360},
    "wgan-qc": {2: 1.596, 4: 5.897, 8: 31.037, 16: 59.314, 32: 113.2, 64: 141.4},
    "mm-v1": {2: 0.161, 4: 0.172, 8: 0.173, 16: 0.210, 32: 0.374, 64: 0.415},
    "mm-reversed": {2: 0.012, 4: 0.048, 8: 0.117, 16: 0.202, 32: 0.354, 64: 0.604},
    "characteristic-flow": {2: 0.010, 4: 0.021, 8: 0.086, 16: 0.146, 32: 0.436, 64: 0.858},
    "default": {2: 0.013, 4: 0.016, 8: 0.046, 16: 0.053, 32: 0.054, 64: 0.0822},
}  # fmt: skip
ENERGY_ROWS = 4096
TIMED_ROWS = 10_000
POOL = 100_000  # rows a side between Gaussians, as in the published table


class Way(NamedTuple):
    """A method and how it is fitted."""

    name: str
    seconds: float
    preset: str
    cost_weight: float | None


class Fitted(NamedTuple):
    """Both maps on float64 tensors (n, d), the inverse where there is one, and facts about the fit."""

    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], Tensor] | None
    facts: dict[str, Any]


def takes_classes(name: str) -> bool:
    """Say whether a baseline is fitted to classes."""
    return (
        name in BASELINES
        and "source_labels" in inspect.signature(BASELINES[name].fit).parameters
    )


NAMES = (*OWN, *(name for name in BASELINES if not takes_classes(name)))
USUAL = tuple(name for name in NAMES if name not in ELSEWHERE)


def made_pair(name: str, dim: int) -> Pair:
    """Return the pair of a name in a dimension."""
    return gaussian_pair(dim) if name == "gaussian" else PAIRS[name](dim)


def problems(flags: Flags) -> Iterator[Choice]:
    for name in flags.pairs:
        for dim in flags.dims:
            pair = made_pair(name, dim)
            pool = flags.pool if name == "gaussian" else 0
            settings = {"dim": dim, "fresh": flags.points, "samples": pool}
            yield Choice(problem(pair), (pair, pool), settings)


def methods(flags: Flags, given: tuple[Pair, int]) -> Iterator[Choice]:
    for name in flags.methods:
        trained = name in ("default", "characteristic-flow") or (
            name in BASELINES and issubclass(BASELINES[name], LearnedBaseline)
        )
        if not trained:
            yield Choice(name, Way(name, 0.0, "fair", None))
            continue
        for seconds in flags.seconds:
            for preset in flags.presets if name in BASELINES else ["fair"]:
                for weight in flags.cost_weights if name == "not" else [None]:
                    told = {"max_time": seconds, "preset": preset}
                    title = f"{name}, {seconds:g} s"
                    title += "" if preset == "fair" else f", {preset}"
                    title += "" if weight is None else f", cost weight {weight:g}"
                    yield Choice(title, Way(name, seconds, preset, weight), told)


def measure(
    given: tuple[Pair, int], way: Way, seed: int, flags: Flags
) -> dict[str, Any]:
    """Fit a method to a pair; return the errors of its maps and facts about it."""
    pair, pool = given
    source: Any = pair.source
    target: Any = pair.target
    if pool:
        generator = torch.Generator().manual_seed(seed)
        source, target = source(pool, generator), target(pool, generator)
    began, cpu = time.perf_counter(), time.process_time()
    with in_processor_seconds():
        fitted = fit(way, pair, source, target, seed)
    facts = fitted.facts | {
        "fit_seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
        "published": PUBLISHED.get(way.name, {}).get(pair.dim),
    }
    return facts | errors(fitted, pair, flags.points, seed)


def fit(way: Way, pair: Pair, source: Any, target: Any, seed: int) -> Fitted:
    """Return the fitted maps of a method."""
    if way.name == "truth":
        return Fitted(pair.forward, None, {})
    if way.name == "default":
        ot = OptimalTransport(max_time=way.seconds, random_state=seed)
        ot.fit(source, target)
        numbers = sum(part.numel() for part in ot.map_.network.state_dict().values())
        facts = {"steps": ot.diagnostics_["steps"], "stored": numbers}
        return Fitted(ot.transform, ot.inverse_transform, facts)
    if way.name == "characteristic-flow":
        flow = CharacteristicFlow(max_time=way.seconds, random_state=seed)
        flow.fit(source, target)
        network = flow.map_.network
        numbers = sum(part.numel() for part in network.state_dict().values())
        facts = {"steps": flow.diagnostics_["steps"], "stored": numbers}
        return Fitted(flow.transform, flow.inverse_transform, facts)
    return fit_baseline(way, pair, source, target, seed)


def fit_baseline(way: Way, pair: Pair, source: Any, target: Any, seed: int) -> Fitted:
    """Return the fitted maps of a baseline, and the errors of its last and averaged weights."""
    kind = BASELINES[way.name]
    known = inspect.signature(kind).parameters
    told: dict[str, Any] = {"random_state": seed} if "random_state" in known else {}
    facts: dict[str, Any] = {}
    if not issubclass(kind, LearnedBaseline):
        estimator = kind(**told).fit(source, target)
    else:
        settings = kind.presets[way.preset]
        if way.cost_weight is not None:
            settings = dataclasses.replace(settings, cost_weight=way.cost_weight)
        trained = kind(settings, max_time=way.seconds, **told).fit(source, target)
        x, truth, _, _ = scores.evaluation_points(pair, 4096, seed)
        for weights in ("last", "average"):
            moved = trained.maps_[weights].forward(x).detach()
            facts[weights] = l2_uvp(moved, truth, pair.variance_target)
        for name in ("steps", "stopped", "rollbacks"):
            facts[name] = trained.diagnostics_[name]
        estimator = trained
    facts["stored"] = estimator.map_.parameters
    back = estimator.inverse_transform if kind.has_inverse else None
    return Fitted(estimator.transform, back, facts)


def errors(fitted: Fitted, pair: Pair, n: int, seed: int) -> dict[str, Any]:
    """Return the errors of both maps on new points, and what moving rows takes."""
    x, truth, z, preimage = scores.evaluation_points(pair, n, seed)
    moved, seconds = timed(fitted.forward, x)
    generator = torch.Generator().manual_seed(scores.EVALUATION_SEED - 1 - seed)
    fresh = pair.target(ENERGY_ROWS, generator).double()
    found = {
        "forward_uvp": l2_uvp(moved, truth, pair.variance_target),
        # Of a map that moves nothing there is none.
        "cosine": None if torch.equal(moved, x) else scores.cosine(x, moved, truth),
        "energy": energy_distance(moved[:ENERGY_ROWS], fresh),
        "forward_seconds": seconds,
    }
    if fitted.backward is None:
        return found
    try:
        back, seconds = timed(fitted.backward, z)
    except NoInverseError:
        return found
    again = fitted.backward(moved[:ENERGY_ROWS])
    spread = (x - x.mean(0)).square().sum(-1).mean()
    gap = (again - x[:ENERGY_ROWS]).square().sum(-1).mean()
    return found | {
        "backward_uvp": l2_uvp(back, preimage, pair.variance_source),
        "backward_seconds": seconds,
        "round_trip": float((gap / spread).sqrt()),
    }


def timed(function: Callable[[Tensor], Tensor], rows: Tensor) -> tuple[Tensor, float]:
    """Return a function of rows, and the seconds it takes for `TIMED_ROWS`."""
    began = time.perf_counter()
    found = function(rows).detach()
    return found, (time.perf_counter() - began) * TIMED_ROWS / len(rows)


def finish(ledger: Ledger) -> None:
    """Draw the figure from the rows."""
    draw_costs(ledger.folder)


def _check(parser: argparse.ArgumentParser, flags: Flags) -> None:
    if "--threads" not in flags.arguments:
        flags.threads = 1


TABLE = Table(
    "rivals",
    "rivals",
    (
        scores.FORWARD,
        Column("last", "last", ".3f"),
        Column("average", "average", ".3f"),
        Column("published", "published", ".3f"),
        scores.BACKWARD,
        scores.COSINE,
        Column("energy", "energy", ".1e"),
        Column("round trip, RMS", "round_trip", ".1e", max),
        Column("numbers", "stored", ".0f"),
        scores.STEPS,
        Column("fit, s", "fit_seconds", ".1f"),
        Column("CPU s", "cpu_seconds", ".1f"),
        Column("10,000 rows, s", "forward_seconds", ".3f"),
        Column("back, s", "backward_seconds", ".3f"),
        Column("memory, MiB", "peak_memory_mib", ".0f", max),
        scores.STOPPED,
    ),
)


# Variants of methods that are shown beside them, and what nobody would use: on the page alone.
LONG = {
    *("truth", "constant", "mm-reversed", "mm-convex", "mm-v1", "mm-batch"),
    *("ls-all-pairs", "ls-barycentric", "not-weak", "monge-gap", "ofm"),
}


def _is_short(row: Row) -> bool:
    return row.problem == "w2hd d=2" and row.method.split(",")[0] not in LONG


SHORT = TABLE.short(
    _is_short, "forward UVP %", "backward UVP %", "numbers", "CPU s", "back, s"
)
ARGUMENTS = Arguments(
    (
        choices("--pairs", ("gaussian", *PAIRS), ["gaussian"]),
        choices("--methods", NAMES, USUAL),
        choices("--presets", ("fair", "published"), ["fair"]),
        flag(
            "--seconds",
            type=float,
            nargs="+",
            default=[60.0],
            help="of every fit that is trained (default 60)",
        ),
        flag(
            "--cost-weights",
            type=float,
            nargs="+",
            default=[None],
            help="of NOT (default that of its settings)",
        ),
    ),
    dims=(2, 4, 8, 16, 32, 64),
    fixed={"points": 16_384, "pool": POOL},
    quick={"points": 1024, "pool": 5000, "seconds": [1.0]},
    check=_check,
)
BENCHMARK = Benchmark(
    "rivals",
    __doc__,
    problems,
    methods,
    measure,
    (TABLE, SHORT),
    ARGUMENTS,
    finish=finish,
)
main = BENCHMARK.main
