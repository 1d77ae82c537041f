"""What each default is worth: the default fit, and fits with one thing changed, side by side in one run.

    BRENIER_DATA=... python -m benchmarks.ablation                   # w2hd and logsumexp, d = 16, 60 s a fit
    BRENIER_DATA=... python -m benchmarks.ablation --pairs w2hd clusters --dims 2 16 64 --seconds 300
    BRENIER_DATA=... python -m benchmarks.ablation --steps 1000      # whatever the machine does meanwhile

Endless samples; errors of both maps on 16,384 fresh points. "no ..." takes a part of training out: the penalty on
segments that keeps psi convex, the candidates an inner problem may start at, the last rows left to the next batch;
"equal weights" those that give batches the moments of their populations; "least held-out J" the choice of the latest
among evaluations that cannot be told apart; "one rate for all" the higher rate of some parameters in short runs. With "rows
left four times" a batch is solved to the end when a row has been left so often, by default sixteen times; with "rows
used once" no solved row of the target enters a second step, as by default in runs of 3 minutes and more, and with "rows
used again" it does in those too. From 300 s on the default is the mean of two networks, and a potential of other layers
or widths is one.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks import options, tables
from benchmarks.scores import score, training
from benchmarks.tables import Column, Table
from brenier import LBFGS, DenseICNN, OptimalTransport, Potential
from brenier.datasets import NEUTRAL, Pair, w2hd_pair
from brenier.potentials.icnn import DenseSettings, widths
from brenier.training.settings import Settings
from brenier.transport.dual.objective import equal
from brenier.transport.dual.starts import Starts

DIMS = (16,)
PAIRS: Mapping[str, Callable[[int], Pair]] = {"w2hd": w2hd_pair, **NEUTRAL}


def scaled(factor: float) -> Callable[[int, torch.Generator], Potential]:
    """Return how to make the default network with other widths."""

    def make(dim: int, generator: torch.Generator) -> Potential:
        return DenseICNN(
            dim,
            [math.ceil(factor * width) for width in DenseICNN(dim).hidden],
            generator=generator,
        )

    return make


def deep(layers: int) -> Callable[[int, torch.Generator], Potential]:
    """Return how to make the default network with that many layers."""
    return lambda dim, generator: DenseICNN(
        dim, widths(dim, layers), generator=generator
    )


def spread(dim: int, generator: torch.Generator) -> Potential:
    """Return the default network with biases spread as widely as what they are added to."""
    potential = DenseICNN(dim, generator=generator)
    with torch.no_grad():
        potential.bias.copy_(torch.randn(len(potential.bias), generator=generator))
    return potential


def adam(parameters: Any) -> torch.optim.Optimizer:
    """Return Adam at the best rate of three tried (5e-3, 1e-2, 2e-2) on the pair with d = 16."""
    return torch.optim.Adam(parameters, lr=2e-2, betas=(0.5, 0.9))


def from_itself(potential: Potential, z: Tensor, x: Tensor, values: Tensor) -> Starts:
    """Start at z."""
    return Starts.apart(z)


def nothing(
    potential: Potential, points: Tensor, values: Tensor, generator: torch.Generator
) -> Tensor:
    """Ask no penalty."""
    return values.new_zeros(())


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
    "spread biases": {"potential": spread},
    "convex": {"potential": "convex"},
    "residual": {"potential": "residual"},
    "LBFGS": {"method": LBFGS()},
}
PATCHES: Mapping[str, tuple[str, Any]] = {
    "one rate for all": (
        "brenier.potentials.icnn.DENSE",
        DenseSettings(lr_multiplier=1.0),
    ),
    "no penalty": ("brenier.training.run.excess", nothing),
    "no candidates": ("brenier.transport.dual.objective.best_start", from_itself),
    "no rows left": ("brenier.transport.dual.batches.LEAVE", 0.0),
    "rows left four times": ("brenier.transport.dual.batches.OFTEN", 4),
    "rows used once": ("brenier.estimators.parameters.USES", 1),
    "rows used again": ("brenier.estimators.parameters.LONG_USES", Settings.uses),
    "equal weights": ("brenier.transport.dual.batches.Batches.weigh", (equal, equal)),
    "inner problems half as exact": (
        "brenier.estimators.parameters.Settings",
        partial(Settings, loosest=2 * Settings.loosest),
    ),
    "inner problems twice as exact": (
        "brenier.estimators.parameters.Settings",
        partial(Settings, loosest=Settings.loosest / 2),
    ),
    "averages of 100 steps": (
        "brenier.estimators.parameters.Settings",
        partial(Settings, averaging=0.99),
    ),
    "least held-out J": ("brenier.training.selection.WITHIN", 0.0),
}


@contextlib.contextmanager
def changed(variant: str) -> Iterator[Mapping[str, Any]]:
    """Take a part of training out, or change it, if the variant does, and yield the arguments of the fit."""
    if variant in ARGUMENTS:
        yield ARGUMENTS[variant]
    else:
        with mock.patch(*PATCHES[variant]):
            yield {}


def fit(
    pair: Pair, variant: str, seed: int, budget: Mapping[str, Any], n: int
) -> dict[str, Any]:
    """Fit endless samples for some time, or steps, and score both maps."""
    with changed(variant) as arguments:
        ot = OptimalTransport(random_state=seed, **budget, **arguments)
        ot.fit(pair.source, pair.target)
    return score(ot.map_, pair, n, seed) | training(ot)


TABLES = (
    Table(
        "ablation",
        "ablation",
        (
            Column("forward UVP %", "forward_uvp", ".3f"),
            Column("backward UVP %", "backward_uvp", ".3f"),
            Column("unconverged", "unconverged", ".0f", max),
            Column("steps", "steps", ".0f"),
            Column("setbacks", "setbacks", ".0f", max),
            Column("inner evaluations per row", "train_evaluations", ".1f"),
            Column("seconds", "train_seconds", ".0f"),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__, DIMS)
    parser.add_argument(
        "--pairs", nargs="+", choices=tuple(PAIRS), default=["w2hd", "logsumexp"]
    )
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=(*ARGUMENTS, *PATCHES),
        default=[*ARGUMENTS, *PATCHES],
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="training time per fit (default 60)"
    )
    parser.add_argument("--steps", type=int, help="of training, instead of a time")
    flags = options.parse(parser, arguments)
    seconds, fresh = (1.0, 1024) if flags.quick else (flags.seconds, 16_384)
    timed = flags.steps is None
    budget = {"max_time": seconds} if timed else {"max_steps": flags.steps}
    words = f"{seconds:.0f} s" if timed else f"{flags.steps} steps"
    with options.open_ledger("ablation", flags) as ledger:
        for name in flags.pairs:
            for dim in flags.dims:
                pair = PAIRS[name](dim)
                for variant in flags.variants:
                    for seed in flags.seeds:
                        measure = partial(fit, pair, variant, seed, budget, fresh)
                        problem, method = f"{name} d={dim}", f"{variant}, {words}"
                        ledger.record(
                            problem,
                            method,
                            seed,
                            measure,
                            dim=dim,
                            **budget,
                            fresh=fresh,
                        )
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
