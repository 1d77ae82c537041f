"""Which network: signs of the weights and activation, their errors, and how many steps their inner problems take.

    python -m benchmarks.parametrisation                        # d = 32, 40 s a fit
    python -m benchmarks.parametrisation --minutes 5 --seeds 0 1 2

Pairs of Gaussians as in `gaussians`, endless samples, the identity as start; both methods train the same variants of
their own network for the same seconds ("Fixed-Point Neural Optimal Transport...", Park et al., 2026, Table 6 and
Figure 7). "Convex" is a convex psi here, a convex g there; tanh cannot be made convex. Errors are those on 4,096 new
points. *Depth*: steps of the method's own solver from z to the residual that the map is inverted to, on 2,048 target
points. *Residual*: what remains there, in the coordinates of training.

The figure `parametrisation.png` is drawn from the rows: the cost of inner problems during training, and the residual
after k steps at its end.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import gaussians, preset, scores
from benchmarks.harness import (
    UNLIMITED,
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Ledger,
    Row,
    Table,
    choices,
    minutes_flag,
)
from benchmarks.harness.rows import latest, read
from brenier import DenseICNN, TransportMap
from brenier.datasets import gaussian_pair

POINTS = 2048  # target points whose inner problems are examined
DEPTHS = tuple(2**k for k in range(10))  # steps after which the residual is measured
CURVE = 40  # points of a curve of the figure, at most
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "free, softplus": {"convex": False, "activation": "softplus"},
    "free, celu": {"convex": False, "activation": "celu"},
    "free, tanh": {"convex": False, "activation": "tanh"},
    "convex, softplus": {"convex": True, "activation": "softplus"},
    "convex, celu": {"convex": True, "activation": "celu"},
}
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
COLOURS = dict(zip(VARIANTS, PALETTE, strict=True))


def default_network(dim: int, generator: torch.Generator, **variant: Any) -> DenseICNN:
    """Return the default network in a variant."""
    return DenseICNN(dim, generator=generator, **variant)


NETWORKS = {"default": default_network, "paper": preset.network}


def inner_problems(transport: TransportMap, z: torch.Tensor) -> dict[str, Any]:
    """Return the steps that the inner problems of some target points take, and the residual after so many steps."""
    _, solution = transport.inverse(z, return_solution=True)
    numbers = {
        "median_depth": float(solution.steps.double().median()),
        "most_depth": float(solution.steps.max()),
        "median_residual": float(solution.residual.median()),
        "worst_residual": float(solution.residual.max()),
    }
    tol, max_steps = transport.tol, transport.max_steps
    residuals = []
    for depth in DEPTHS:
        transport.tol, transport.max_steps = 0.0, depth
        _, solution = transport.inverse(z, return_solution=True)
        residuals.append(float(solution.residual.median()))
    transport.tol, transport.max_steps = tol, max_steps
    return numbers | {"depths": list(DEPTHS), "residuals": residuals}


def curve(history: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return evaluations per row against steps, at most about `CURVE` points."""
    solved = [row for row in history if row["step"]]
    thinned = solved[:: max(1, len(solved) // CURVE)]
    return {
        "train_steps": [row["step"] for row in thinned],
        "train_costs": [row["inner_evaluations"] for row in thinned],
    }


def methods(flags: Flags, dim: int) -> Iterator[Choice]:
    seconds = 60 * flags.minutes
    for name, variant in itertools.product(flags.methods, flags.variants):
        settings = {
            "preset": name,
            "variant": variant,
            "max_time": seconds,
            "fresh": flags.points,
        }
        yield Choice(f"{name}, {variant}, {seconds:.0f} s", (name, variant), settings)


def measure(
    dim: int, method: tuple[str, str], seed: int, flags: Flags
) -> dict[str, Any]:
    """Fit endless samples for some time; return the errors of both maps, and facts about the inner problems."""
    name, variant = method
    pair = gaussian_pair(dim, seed)
    ot = preset.fit(
        name,
        pair,
        potential=partial(NETWORKS[name], **VARIANTS[variant]),
        start="identity",
        max_steps=UNLIMITED,
        max_time=60 * flags.minutes,
        random_state=seed,
    )
    generator = torch.Generator().manual_seed(seed + 1)
    z = pair.target(min(flags.points, POINTS), generator)
    return {
        **scores.score(ot.map_, pair, flags.points, seed),
        **scores.training_facts(ot),
        **inner_problems(ot.map_, z),
        **curve(ot.history_),
    }


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write the figure of the rows with curves of the first seed; no figure where no row has curves."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [row for row in rows if row.get("residuals") and row.seed == rows[0].seed]
    if not shown:
        return
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for row in shown:
        method, variant = row.settings["preset"], row.settings["variant"]
        style = {
            "color": COLOURS[variant],
            "ls": "-" if method == "default" else "--",
            "lw": 1.6,
            "marker": "o",
            "ms": 3,
        }
        left.plot(
            row.get("train_steps"),
            row.get("train_costs"),
            label=f"{method}: {variant}",
            **style,
        )
        right.plot(row.get("depths"), row.get("residuals"), **style)
    left.set(xlabel="training step", ylabel="evaluations per row", yscale="log")
    right.set(
        xlabel="steps of the inner solver",
        ylabel="median residual",
        xscale="log",
        yscale="log",
    )
    figure.legend(frameon=False, loc="outside right center", fontsize="small")
    figure.savefig(path, dpi=140)


def finish(ledger: Ledger) -> None:
    """Draw the figure beside the rows."""
    draw(latest(read(ledger.path)), ledger.folder / "parametrisation.png")


TABLE = Table(
    "parametrisation",
    "parametrisation",
    (
        scores.FORWARD,
        scores.BACKWARD,
        Column("median depth", "median_depth", ".0f"),
        Column("most", "most_depth", ".0f", max),
        Column("median residual", "median_residual", ".1e"),
        Column("worst", "worst_residual", ".1e", max),
        Column("inner evaluations per row in training", "train_evaluations", ".1f"),
        scores.ROLLBACKS,
        scores.SELECTED,
        scores.STEPS,
        scores.SECONDS,
    ),
)
SHORT = TABLE.short(
    lambda row: row.method.split(", ")[2] == "softplus",
    "forward UVP %",
    "backward UVP %",
    "median depth",
    "inner evaluations per row in training",
    "selected",
)
BENCHMARK = Benchmark(
    "parametrisation",
    __doc__,
    gaussians.problems,
    methods,
    measure,
    (TABLE, SHORT),
    Arguments(
        (
            choices("--methods", preset.METHODS),
            choices("--variants", VARIANTS),
            minutes_flag(2 / 3, "2/3"),
        ),
        dims=(32,),
        quick_dims=(2,),
        fixed={"points": 4096},
        quick={"points": 512, "minutes": 1 / 60},
    ),
    finish=finish,
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
