"""What the tolerance of inner problems is worth: errors and seconds per step, from exact to coarse.

    python -m benchmarks.tolerance                              # d = 32, 40 s a fit
    python -m benchmarks.tolerance --minutes 5 --seeds 0 1 2

Pairs of Gaussians as in `gaussians`, endless samples, the identity as start, the coordinates of the data. Every inner
problem of training is solved to one tolerance throughout. "falling" is the rule of the library: the tolerance falls
with the learning rate to 1e-3. All have the same seconds. Both maps are evaluated on 16,384 new points with the
inverse solved by `BFGS` to 1e-4, so that the tolerance matters in training alone ("Fixed-Point Neural Optimal
Transport...", Park et al., 2026, Table 5, whose tolerances we cannot read). Inner problems start at the best of z and
the batch's source points, so that even the coarsest tolerance leaves the discrete c-transform of the batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import gaussians, preset, scores
from benchmarks.harness import (
    UNLIMITED,
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Table,
    choices,
    minutes_flag,
)
from brenier import TransportMap
from brenier.datasets import gaussian_pair

LEAST = 1e-3  # where the tolerance that falls ends
# Name -> the least bound on residuals, and whether it falls with the learning rate.
TOLERANCES: Mapping[str, tuple[float, bool]] = {
    "1e-4": (1e-4, False),
    "1e-3": (1e-3, False),
    "1e-2": (1e-2, False),
    "1e-1": (1e-1, False),
    "1": (1.0, False),
    "falling": (LEAST, True),
}


def methods(flags: Flags, dim: int) -> Iterator[Choice]:
    seconds = 60 * flags.minutes
    for method, name in itertools.product(flags.methods, flags.tolerances):
        settings = {"tolerance": name, "max_time": seconds, "fresh": flags.points}
        yield Choice(f"{method}, {name}, {seconds:.0f} s", (method, name), settings)


def measure(
    dim: int, method: tuple[str, str], seed: int, flags: Flags
) -> dict[str, Any]:
    """Train for some time at a tolerance; return the errors of both maps."""
    name, tolerance = method
    pair = gaussian_pair(dim, seed)
    tol, falling = TOLERANCES[tolerance]
    run = preset.start_run(
        name,
        pair,
        seed,
        tol=tol,
        falling=falling,
        max_steps=UNLIMITED,
        max_time=60 * flags.minutes,
    )
    while not run.finished:
        run.advance()
    errors = scores.score(TransportMap(run.result()), pair, flags.points, seed)
    return errors | preset.run_facts(run) | scores.inner_facts(run.history)


TABLE = Table(
    "tolerance",
    "tolerance",
    (
        scores.FORWARD,
        scores.BACKWARD,
        Column("seconds per step", "step_seconds", ".3f"),
        scores.INNER,
        Column("unconverged in training", "train_unconverged", ".0f", max),
        scores.ROLLBACKS,
        scores.STEPS,
        scores.SECONDS,
        scores.STOPPED,
    ),
)
SHORT = TABLE.short(
    lambda row: row.method.startswith("default"),
    "forward UVP %",
    "backward UVP %",
    "seconds per step",
    "inner evaluations per row",
)
ARGUMENTS = Arguments(
    (
        choices("--methods", preset.METHODS),
        choices("--tolerances", TOLERANCES),
        minutes_flag(2 / 3, "2/3"),
    ),
    dims=(32,),
    quick_dims=(2,),
    fixed={"points": 16_384},
    quick={"points": 1024, "minutes": 1 / 60},
)
BENCHMARK = Benchmark(
    "tolerance",
    __doc__,
    gaussians.problems,
    methods,
    measure,
    (TABLE, SHORT),
    ARGUMENTS,
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
