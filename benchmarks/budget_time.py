"""Whether a fit keeps to `max_time`: the wall time of all of it, against the seconds it was given, and its memory.

    python -m benchmarks.budget_time                                   # d = 16, 128, 784; 30 s a fit
    python -m benchmarks.budget_time --dims 3072 --rows 3000 --seconds 30 60

Mixtures of five normal laws, so many rows of either side in memory, each fit in a new process with libraries loaded.
"share of a core" is the time of the processor over the wall time: where others use the machine it is below one, and the
wall time varies by what they take.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks import scores
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Table,
    choices,
    flag,
    in_new_process,
    machine,
)
from brenier import OptimalTransport


def mixture(dim: int, rows: int, seed: int) -> Tensor:
    """Return rows of five normal laws around random centres: (rows, dim)."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(5, dim, generator=generator)
    chosen = torch.randint(5, (rows,), generator=generator)
    return centres[chosen] + torch.randn(rows, dim, generator=generator)


def fit(
    potential: str, dim: int, rows: int, seconds: float, seed: int
) -> dict[str, Any]:
    """Fit in this process; return what it took."""
    x, z = mixture(dim, rows, 2 * seed), mixture(dim, rows, 2 * seed + 1)
    OptimalTransport(max_steps=1, random_state=seed).fit(x[:200, :2], z[:200, :2])
    machine.reset_peak()
    wall, processor = time.perf_counter(), time.process_time()
    ot = OptimalTransport(potential, max_time=seconds, random_state=seed).fit(x, z)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {
        **scores.training_facts(ot),
        "wall_seconds": wall,
        "ratio": wall / seconds,
        "core_share": processor / wall,
        "peak_mib": machine.peak_memory(),
        "measured_rows": min(ot.distance().rows),
    }


def problems(flags: Flags) -> Iterator[Choice]:
    for dim in flags.dims:
        yield Choice(f"d={dim}", dim, {"dim": dim, "rows": flags.rows})


def methods(flags: Flags, dim: int) -> Iterator[Choice]:
    for potential, seconds in itertools.product(flags.potentials, flags.seconds):
        settings = {"max_time": seconds, "rows": flags.rows}
        name = f"{potential}, {flags.rows:,} rows, {seconds:g} s"
        yield Choice(name, (potential, seconds), settings)


def measure(
    dim: int, method: tuple[str, float], seed: int, flags: Flags
) -> dict[str, Any]:
    potential, seconds = method
    arguments = potential, dim, flags.rows, seconds, seed
    return in_new_process(flags.threads, fit, *arguments)


TABLE = Table(
    "budget-time",
    "budget_time",
    (
        Column("wall seconds", "wall_seconds", ".1f", max),
        Column("over max_time", "ratio", ".2f", max),
        Column("share of a core", "core_share", ".2f"),
        scores.STEPS,
        scores.SELECTED,
        Column("rows measured", "measured_rows", ",.0f"),
        Column("peak memory, MiB", "peak_mib", ",.0f", max),
    ),
)
SHORT = TABLE.short(
    lambda row: row.method.startswith("auto") and row.get("max_time") == 30,
    "over max_time",
    "share of a core",
    "steps",
    "peak memory, MiB",
)
BENCHMARK = Benchmark(
    "budget_time",
    __doc__,
    problems,
    methods,
    measure,
    (TABLE, SHORT),
    Arguments(
        (
            choices("--potentials", ("auto", "free", "residual", "convex"), ("auto",)),
            flag("--rows", type=int, default=5000, help="of either side"),
            flag(
                "--seconds", type=float, nargs="+", default=[30.0], help="of max_time"
            ),
        ),
        dims=(16, 128, 784),
        quick={"rows": 500, "seconds": [2.0]},
    ),
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
