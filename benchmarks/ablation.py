"""What each default is worth: the default fit, and fits with one thing changed, side by side in one run.

    BRENIER_DATA=... python -m benchmarks.ablation                   # w2hd and logsumexp, d = 16, 60 s a fit
    BRENIER_DATA=... python -m benchmarks.ablation --pairs w2hd clusters --dims 2 16 64 --seconds 300
    BRENIER_DATA=... python -m benchmarks.ablation --steps 1000      # independent of the speed of the machine

Endless samples; errors of both maps on 16,384 new points. A variant changes fields of the settings (`SETTINGS`) or
arguments of the constructor (`ARGUMENTS`). "no ..." takes a part of training out: the penalty that keeps psi convex
between rows, that around single rows (from 24 features on; `not_back` in the rows says what it holds),
the candidates for initial points of inner problems, the deferral of the last rows of a batch. "equal weights": batches
without the moments of their populations. "least held-out J": the evaluation with the least J is kept, not the latest of
those that do not differ significantly. "no kept rows": the map starts its inverse at z, and again at what it found for
other rows. "one rate for all": no higher learning rate for some parameters in short runs.
"rows left four times": a batch is solved to the end when a row was deferred four times, by default sixteen times.
"rows used once": no solved row of the target enters a second step, as by default in runs of 3 minutes and more; "rows
used again": they do in those too. From 300 s on the default is the mean of two networks, and a potential of other
layers or widths is one network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from benchmarks import pairs, scores
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Flags,
    Row,
    Table,
    choices,
    flag,
)
from brenier import LBFGS, DenseICNN, OptimalTransport, Potential, Settings
from brenier.datasets import Pair
from brenier.potentials import widths

# Variant -> fields of the settings, by name, and their values.
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "one rate for all": {"short_run_steps": 1},  # then no run is short
    "no penalty": {"penalty_rows": 0},
    "no curvature held": {"curvature_rows": 0},
    "no candidates": {"max_candidates": 0},
    "no rows left": {"skip_fraction": 0.0},
    "rows left four times": {"max_deferrals": 4},
    "rows used once": {"short_reuse": 1},
    "rows used again": {"long_reuse": 3},
    "equal weights": {"calibrated": False},
    "inner problems half as exact": {"initial_inner_tol": 0.1},
    "inner problems twice as exact": {"initial_inner_tol": 0.025},
    "averages of 100 steps": {"ema_decay": 0.99},
    "least held-out J": {"select_within": 0.0},
}


def scaled(factor: float) -> Callable[[int, torch.Generator], Potential]:
    """Return a function that makes the default network with other widths."""

    def make(dim: int, generator: torch.Generator) -> Potential:
        hidden = [math.ceil(factor * width) for width in DenseICNN(dim).hidden]
        return DenseICNN(dim, hidden, generator=generator)

    return make


def deep(layers: int) -> Callable[[int, torch.Generator], Potential]:
    """Return a function that makes the default network with so many layers."""

    def make(dim: int, generator: torch.Generator) -> Potential:
        return DenseICNN(dim, widths(dim, layers), generator=generator)

    return make


def wide_biases(dim: int, generator: torch.Generator) -> Potential:
    """Return the default network with standard normal biases, as wide as the inputs of its units."""
    potential = DenseICNN(dim, generator=generator)
    with torch.no_grad():
        potential.bias.copy_(torch.randn(len(potential.bias), generator=generator))
    return potential


def adam(parameters: Any) -> torch.optim.Optimizer:
    """Return Adam at the best rate of three tried (5e-3, 1e-2, 2e-2) on the pair with d = 16."""
    return torch.optim.Adam(parameters, lr=2e-2, betas=(0.5, 0.9))


# Variant -> arguments of the constructor.
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "Adam": {"optimizer": adam},
    "half the rate": {"learning_rate": 5e-3},
    "twice the rate": {"learning_rate": 2e-2},
    "batches do not grow": {"batch_size": Settings.batch_size},
    "half the batch": {"batch_size": 512},
    "twice the batch": {"batch_size": 2048},
    "half the width": {"potential": scaled(0.5)},
    "twice the width": {"potential": scaled(2.0)},
    "three layers": {"potential": deep(3)},
    "four layers": {"potential": deep(4)},
    "five layers": {"potential": deep(5)},
    "six layers": {"potential": deep(6)},
    "seven layers": {"potential": deep(7)},
    "one network": {"n_networks": 1},
    "two networks": {"n_networks": 2},
    "spread biases": {"potential": wide_biases},
    "convex": {"potential": "convex"},
    "residual": {"potential": "residual"},
    "no kept rows": {"keep_rows": False},
    "free": {"potential": "free"},
    "LBFGS": {"method": LBFGS()},
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    **ARGUMENTS,
    **{variant: {"settings": dict(values)} for variant, values in SETTINGS.items()},
}


def methods(flags: Flags, pair: Pair) -> Iterator[Choice]:
    budget, text = {"max_time": flags.seconds}, f"{flags.seconds:.0f} s"
    if flags.steps is not None:
        budget, text = {"max_steps": flags.steps}, f"{flags.steps} steps"
    for variant in flags.variants:
        arguments = {**budget, **VARIANTS[variant]}
        settings = {**budget, "fresh": flags.points}
        yield Choice(f"{variant}, {text}", arguments, settings)


def measure(
    pair: Pair, arguments: Mapping[str, Any], seed: int, flags: Flags
) -> dict[str, Any]:
    """Fit endless samples; return the errors of both maps."""
    ot = OptimalTransport(random_state=seed, **arguments)
    ot.fit(pair.source, pair.target)
    errors = scores.score(ot.map_, pair, flags.points, seed)
    return errors | scores.training_facts(ot)


TABLE = Table(
    "ablation",
    "ablation",
    (
        scores.FORWARD,
        scores.BACKWARD,
        scores.UNCONVERGED,
        scores.STEPS,
        scores.ROLLBACKS,
        scores.INNER,
        scores.SECONDS,
    ),
)
# Rows of one version of the library.
REUSE = ("default", "rows used once", "rows used again")


def _compares_reuse(row: Row) -> bool:
    variant, _, budget = row.method.partition(", ")
    return (
        row.problem == "w2hd d=16" and variant in REUSE and budget in ("60 s", "300 s")
    )


SHORT = TABLE.short(
    _compares_reuse,
    "forward UVP %",
    "backward UVP %",
    "steps",
    "inner evaluations per row",
)
BENCHMARK = Benchmark(
    "ablation",
    __doc__,
    pairs.problems,
    methods,
    measure,
    (TABLE, SHORT),
    Arguments(
        (
            choices("--pairs", pairs.PAIRS, ["w2hd", "logsumexp"]),
            choices("--variants", VARIANTS),
            flag(
                "--seconds",
                type=float,
                default=60.0,
                help="training time per fit (default 60)",
            ),
            flag("--steps", type=int, help="of training, instead of a time"),
        ),
        dims=(16,),
        fixed={"points": 16_384},
        quick={"points": 1024, "seconds": 1.0},
    ),
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
