"""What the tolerance of inner problems is worth: errors and seconds per step, from exact to coarse.

    python -m benchmarks.tolerance                              # d = 32, 40 s a fit
    python -m benchmarks.tolerance --minutes 5 --seeds 0 1 2

Pairs of Gaussians as in `gaussians`, endless samples, the identity as start, the coordinates of the data. Every inner
problem of training is solved to one tolerance, throughout; "falling" is the rule of the library, which follows the
learning rate down to 1e-3. Both methods have the same seconds. Both maps are scored on 16,384 fresh points with the
inverse solved by `BFGS` to 1e-4, so that the tolerance counts in training alone ("Fixed-Point Neural Optimal
Transport...", Park et al., 2026, Table 5, whose tolerances are not legible to us). Inner problems start at the best of
z and the batch's source points, so that even the coarsest tolerance leaves the discrete c-transform of the batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks import options, preset, tables
from benchmarks.scores import score
from benchmarks.tables import Column, Table
from brenier import Settings, TransportMap
from brenier.datasets import gaussian_pair

DIMS = (32,)
MINUTES = 2 / 3  # of training
LEAST = 1e-3  # where the tolerance that falls ends
TOLERANCES: Mapping[
    str, tuple[float, float]
] = {  # least bound on residuals, and `Settings.loosest`
    "1e-4": (1e-4, 0.0),
    "1e-3": (1e-3, 0.0),
    "1e-2": (1e-2, 0.0),
    "1e-1": (1e-1, 0.0),
    "1": (1.0, 0.0),
    "falling": (LEAST, Settings().loosest),
}


def fit(
    method: str, dim: int, seed: int, tolerance: str, seconds: float, n: int
) -> dict[str, Any]:
    """Train for some time at a tolerance, and score both maps."""
    pair, (tol, loosest) = gaussian_pair(dim, seed), TOLERANCES[tolerance]
    run = preset.start_run(
        method,
        pair,
        seed,
        tol=tol,
        loosest=loosest,
        max_steps=options.UNLIMITED,
        max_time=seconds,
    )
    while not run.finished:
        run.advance()
    solved = [row for row in run.history if row["step"]]
    return score(TransportMap(run.result()), pair, n, seed) | {
        "steps": run.step,
        "setbacks": run.setbacks,
        "stopped": run.finished,
        "train_seconds": run.seconds,
        "step_seconds": run.seconds / max(1, run.step),
        "train_evaluations": sum(row["inner_evaluations"] for row in solved)
        / max(1, len(solved)),
        "train_unconverged": sum(row["unconverged"] for row in solved),
    }


TABLES = (
    Table(
        "tolerance",
        "tolerance",
        (
            Column("forward UVP %", "forward_uvp", ".3f"),
            Column("backward UVP %", "backward_uvp", ".3f"),
            Column("seconds per step", "step_seconds", ".3f"),
            Column("inner evaluations per row", "train_evaluations", ".1f"),
            Column("unconverged in training", "train_unconverged", ".0f", max),
            Column("setbacks", "setbacks", ".0f", max),
            Column("steps", "steps", ".0f"),
            Column("seconds", "train_seconds", ".0f"),
            Column("stopped by", "stopped"),
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
        "--tolerances", nargs="+", choices=tuple(TOLERANCES), default=list(TOLERANCES)
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        help="training time per fit (default 2/3)",
    )
    flags = options.parse(parser, arguments)
    seconds, n = (1.0, 1024) if flags.quick else (60 * flags.minutes, 16_384)
    with options.open_ledger("tolerance", flags) as ledger:
        chosen = itertools.product(
            flags.dims, flags.methods, flags.tolerances, flags.seeds
        )
        for dim, method, tolerance, seed in chosen:
            measure = partial(fit, method, dim, seed, tolerance, seconds, n)
            settings = {
                "dim": dim,
                "tolerance": tolerance,
                "max_time": seconds,
                "fresh": n,
            }
            ledger.record(
                f"d={dim}",
                f"{method}, {tolerance}, {seconds:.0f} s",
                seed,
                measure,
                **settings,
            )
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
