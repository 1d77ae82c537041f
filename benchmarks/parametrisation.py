"""Which network: signs of the weights and activation, their errors, and how deep their inner problems are.

    python -m benchmarks.parametrisation                        # d = 32, 40 s a fit
    python -m benchmarks.parametrisation --minutes 5 --seeds 0 1 2

Pairs of Gaussians as in `gaussians`, endless samples, the identity as start; both methods train the same variants of
their own network for the same seconds ("Fixed-Point Neural Optimal Transport...", Park et al., 2026, Table 6 and
Figure 7). "Convex" is a convex psi here, where theirs is a convex g; tanh cannot be made convex. Errors are those on
4,096 fresh points. *Depth* is how many steps the method's own solver takes from z to the residual that the map is
inverted to, on 2,048 target points, *residual* what is left there, in the coordinates of training.

The figure, `parametrisation.png` beside the rows and drawn from them, shows what inner problems cost while training
went on, and the residual after k steps once it was done.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import options, preset, tables
from benchmarks.rows import Row, latest, read
from benchmarks.scores import score, training
from benchmarks.tables import Column, Table
from brenier import DenseICNN, TransportMap
from brenier.datasets import Pair, gaussian_pair

DIMS = (32,)
MINUTES = 2 / 3  # of training
POINTS = 2048  # target points that inner problems are looked at for
DEPTHS = tuple(2**k for k in range(10))  # steps after which the residual is looked at
CURVE = 40  # points of a curve of the figure, at most
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "free, softplus": {"convex": False, "activation": "softplus"},
    "free, celu": {"convex": False, "activation": "celu"},
    "free, tanh": {"convex": False, "activation": "tanh"},
    "convex, softplus": {"convex": True, "activation": "softplus"},
    "convex, celu": {"convex": True, "activation": "celu"},
}
COLOURS = dict(
    zip(VARIANTS, ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"), strict=True)
)


def default_network(dim: int, generator: torch.Generator, **variant: Any) -> DenseICNN:
    """Return the default network in a variant."""
    return DenseICNN(dim, generator=generator, **variant)


NETWORKS = {"default": default_network, "paper": preset.network}


def inner(transport: TransportMap, z: torch.Tensor) -> dict[str, Any]:
    """Return how deep the inner problems of some target points are, and the residual after so many steps."""
    _, solution = transport.inverse(z, return_solution=True)
    numbers = {
        "median_depth": float(solution.steps.double().median()),
        "most_depth": float(solution.steps.max()),
        "median_residual": float(solution.residual.median()),
        "worst_residual": float(solution.residual.max()),
    }
    kept, after = (transport.tol, transport.max_steps), list[float]()
    for depth in DEPTHS:
        transport.tol, transport.max_steps = 0.0, depth
        after.append(
            float(transport.inverse(z, return_solution=True)[1].residual.median())
        )
    transport.tol, transport.max_steps = kept
    return numbers | {"depths": list(DEPTHS), "residuals": after}


def curve(history: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return evaluations per row against steps, thinned out."""
    solved = [row for row in history if row["step"]]
    some = solved[:: max(1, len(solved) // CURVE)]
    return {
        "train_steps": [row["step"] for row in some],
        "train_costs": [row["inner_evaluations"] for row in some],
    }


def fit(
    method: str, variant: str, pair: Pair, seed: int, seconds: float, n: int
) -> dict[str, Any]:
    """Fit endless samples for some time, score both maps, and look at the inner problems."""
    network = partial(NETWORKS[method], **VARIANTS[variant])
    changes = {
        "start": "identity",
        "max_steps": options.UNLIMITED,
        "max_time": seconds,
        "random_state": seed,
    }
    ot = preset.fit(method, pair, potential=network, **changes)
    z = pair.target(min(n, POINTS), torch.Generator().manual_seed(seed + 1))
    return (
        score(ot.map_, pair, n, seed)
        | training(ot)
        | inner(ot.map_, z)
        | curve(ot.history_)
    )


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write the figure of the rows that have curves, those of the first seed; none where no row has."""
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


TABLES = (
    Table(
        "parametrisation",
        "parametrisation",
        (
            Column("forward UVP %", "forward_uvp", ".3f"),
            Column("backward UVP %", "backward_uvp", ".3f"),
            Column("median depth", "median_depth", ".0f"),
            Column("most", "most_depth", ".0f", max),
            Column("median residual", "median_residual", ".1e"),
            Column("worst", "worst_residual", ".1e", max),
            Column("inner evaluations per row in training", "train_evaluations", ".1f"),
            Column("setbacks", "setbacks", ".0f", max),
            Column("selected", "selected"),
            Column("steps", "steps", ".0f"),
            Column("seconds", "train_seconds", ".0f"),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__, DIMS, quick_dims=(2,))
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=tuple(preset.METHODS),
        default=list(preset.METHODS),
    )
    parser.add_argument(
        "--variants", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS)
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        help="training time per fit (default 2/3)",
    )
    flags = options.parse(parser, arguments)
    seconds, n = (1.0, 512) if flags.quick else (60 * flags.minutes, 4096)
    with options.open_ledger("parametrisation", flags) as ledger:
        for dim, method, variant, seed in itertools.product(
            flags.dims, flags.methods, flags.variants, flags.seeds
        ):
            measure = partial(
                fit, method, variant, gaussian_pair(dim, seed), seed, seconds, n
            )
            settings = {
                "dim": dim,
                "preset": method,
                "variant": variant,
                "max_time": seconds,
                "fresh": n,
            }
            ledger.record(
                f"d={dim}",
                f"{method}, {variant}, {seconds:.0f} s",
                seed,
                measure,
                **settings,
            )
        tables.show(TABLES, ledger.folder)
        draw(latest(read(ledger.path)), ledger.folder / "parametrisation.png")


if __name__ == "__main__":
    main()
