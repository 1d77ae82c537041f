"""What several processes make of the same seconds: rows of inner problems solved in training, and the error of the map.

    python -m benchmarks.processes                       # log-sum-exp pairs, d = 16, 64; a minute each
    BRENIER_DATA=... python -m benchmarks.processes --pair w2hd --seconds 60
    python -m benchmarks.processes --ways "one thread" "two processes" --batch-size 4096 --seconds 30

Endless samples, the default fit with `max_time`: by one process with one thread, by one with two threads, and by two
processes of one thread each (`n_jobs=2`), which add up their gradients in every step. Rows are those of the target that
batches hold; a step holds as many of either side. Errors are those of both maps on 16,384 new points.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from benchmarks import scores
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Table,
    always,
    choices,
    flag,
    in_new_process,
)
from benchmarks.pairs import problem
from brenier import OptimalTransport
from brenier.datasets import NEUTRAL, Pair, w2hd_pair

PAIRS = {"logsumexp": NEUTRAL["logsumexp"], "w2hd": w2hd_pair}


class Way(NamedTuple):
    """Threads of torch, and processes."""

    threads: int
    processes: int


WAYS = {
    "one thread": Way(1, 1),
    "two threads": Way(2, 1),
    "two processes": Way(2, 2),
}


def problems(flags: Flags) -> Iterator[Choice]:
    for dim in flags.dims:
        pair = PAIRS[flags.pair](dim)
        told = {"dim": dim, "pair": flags.pair}
        yield Choice(problem(pair), (flags.pair, dim), told)


def methods(flags: Flags, of_problem: tuple[str, int]) -> Iterator[Choice]:
    for name in flags.ways:
        way, batch = WAYS[name], flags.batch_size
        told = {"seconds": flags.seconds, "batch_size": batch, **way._asdict()}
        rows = "" if batch is None else f", batches of {batch:,}"
        yield Choice(f"{name}{rows}, {flags.seconds:.0f} s", way, told)


def measure(
    of_problem: tuple[str, int], way: Way, seed: int, flags: Flags
) -> dict[str, Any]:
    """Return rows solved in a second of training, and the errors of both maps."""
    settings = (flags.seconds, way.processes, seed, flags.points, flags.batch_size)
    return in_new_process(way.threads, fit, *of_problem, *settings)


def fit(
    name: str,
    dim: int,
    seconds: float,
    processes: int,
    seed: int,
    points: int,
    batch: int | None,
) -> dict[str, Any]:
    """Fit in this process, and those that it starts."""
    pair: Pair = PAIRS[name](dim)
    ot = OptimalTransport(
        max_time=seconds, random_state=seed, n_jobs=processes, batch_size=batch
    )
    ot.fit(pair.source, pair.target)
    found, last = ot.diagnostics_, ot.history_[-1]
    members = len(ot.map_.network.members())
    return {
        "rows": found["drawn"],
        "rows_a_second": found["drawn"] / last["seconds"],
        "taking_part": found["processes"],
        "networks": members,
        "threads_now": torch.get_num_threads(),
        **scores.score(ot.map_, pair, points, seed),
        **scores.training_facts(ot),
    }


TABLE = Table(
    "processes",
    "processes",
    (
        Column("rows in training", "rows", ",.0f"),
        Column("rows a second", "rows_a_second", ",.0f"),
        Column("processes", "taking_part", ".0f"),
        scores.FORWARD,
        scores.BACKWARD,
        scores.STEPS,
        scores.INNER,
        scores.SECONDS,
    ),
)
SHORT = TABLE.short(always, "rows a second", "forward UVP %", "backward UVP %")
ARGUMENTS = Arguments(
    (
        flag("--pair", choices=tuple(PAIRS), default="logsumexp"),
        choices("--ways", WAYS),
        flag("--batch-size", type=int, help="rows of a step (default as in a fit)"),
        flag(
            "--seconds",
            type=float,
            default=60.0,
            help="training time per fit (default 60)",
        ),
    ),
    dims=(16, 64),
    fixed={"points": 16_384},
    quick={"points": 1024, "seconds": 2.0},
)
BENCHMARK = Benchmark(
    "processes", __doc__, problems, methods, measure, (TABLE, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
