"""What sharing a training step among processes is worth, beside the threads of torch.

    python -m benchmarks.processes                    # d = 2, 4, 16, 64, 128; 1,024 and 4,096 rows
    python -m benchmarks.processes --threads 4        # as many threads, or processes of one thread

Per problem a network is trained for 60 steps of the default fit. Then batches are drawn, and J and its gradient
computed, in turn by one process with one thread, by one with several threads, and by several processes, so that all see
the same state of the machine; and the same for two networks, as of a mean, whose batches the processes share row by
row or take one each. Milliseconds are medians. Steps that are too small are not shared. The pairs are log-sum-exp ones
(`brenier.datasets.NEUTRAL`).
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from benchmarks.harness import Arguments, Benchmark, Choice, Column, Flags, Table
from brenier import DualObjective, OptimalTransport, Potential
from brenier.datasets import NEUTRAL
from brenier.transport.dual import Batch, ParallelDual

DrawBatch = Callable[[], Batch]

SKIPPED = 2  # first rounds, in which memory is allocated
ONE, TWO = "alone_ms", "two_alone_ms"
# Gain -> milliseconds with one thread, and of the way.
GAINS = {
    "threads_gain": (ONE, "threads_ms"),
    "processes_gain": (ONE, "processes_ms"),
    "two_shared_gain": (TWO, "two_shared_ms"),
    "two_apart_gain": (TWO, "two_apart_ms"),
}


def problems(flags: Flags) -> Iterator[Choice]:
    for dim in flags.dims:
        for rows in flags.rows:
            name = f"logsumexp d={dim}, {rows:,} rows"
            yield Choice(name, (dim, rows), {"dim": dim, "rows": rows})


def methods(flags: Flags, problem: tuple[int, int]) -> Iterator[Choice]:
    yield Choice(f"{flags.threads} cores", flags.threads)


def measure(
    problem: tuple[int, int], processes: int, seed: int, flags: Flags
) -> dict[str, Any]:
    """Return the milliseconds of each way."""
    dim, rows = problem
    pair = NEUTRAL["logsumexp"](dim)
    ot = OptimalTransport(max_steps=60, random_state=seed, n_jobs=1)
    ot.fit(pair.source, pair.target)
    potential: Potential = ot.map_.network.requires_grad_(True)
    other = copy.deepcopy(potential)
    alone = DualObjective(tol=0.05 * dim**0.5)
    generator = torch.Generator().manual_seed(seed)

    def draw(which: Potential) -> Batch:
        x = ot.map_.coordinates.encode_source(pair.source(rows, generator)).float()
        z = ot.map_.coordinates.encode_target(pair.target(rows, generator)).float()
        return Batch(which, x, z, skip_fraction=0.1)

    two: list[DrawBatch] = [partial(draw, potential), partial(draw, other)]
    one = two[:1]
    with ParallelDual(
        processes, [potential, other], alone.method, patient=True
    ) as evaluator:
        shared = dataclasses.replace(alone, evaluator=evaluator)
        ways: dict[str, Callable[[], None]] = {
            ONE: partial(steps, 1, alone, one),
            "threads_ms": partial(steps, processes, alone, one),
            "processes_ms": partial(steps, 1, shared, one),
            TWO: partial(steps, 1, alone, two),
            "two_shared_ms": partial(steps, 1, shared, two[:1], two[1:]),
            "two_apart_ms": partial(steps, 1, shared, two),
        }
        found = milliseconds(ways, flags.rounds)
    gains = {gain: found[base] / found[way] for gain, (base, way) in GAINS.items()}
    return found | gains


def milliseconds(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each way, taken in turn."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + SKIPPED):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            spent[name].append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(times[SKIPPED:]) for name, times in spent.items()}


def steps(threads: int, objective: DualObjective, *asked: list[DrawBatch]) -> None:
    """Take a step for each list of batches, one after the other."""
    torch.set_num_threads(threads)
    for draws in asked:
        step(objective, draws)


def step(objective: DualObjective, draws: list[DrawBatch]) -> None:
    """Draw batches, and differentiate the sum of their J."""
    batches = (draw() for draw in draws)
    for together in objective.evaluate_batches(batches, len(draws)):
        torch.stack([value.loss for _, value in together]).sum().backward()


TABLE = Table(
    "processes",
    "processes",
    (
        Column("rows", "rows", ",.0f"),
        Column("one thread, ms", ONE, ".1f"),
        Column("threads, ms", "threads_ms", ".1f"),
        Column("gain", "threads_gain", ".2f"),
        Column("processes, ms", "processes_ms", ".1f"),
        Column("gain", "processes_gain", ".2f"),
        Column("two networks, one thread, ms", TWO, ".1f"),
        Column("processes share rows, ms", "two_shared_ms", ".1f"),
        Column("gain", "two_shared_gain", ".2f"),
        Column("a network each, ms", "two_apart_ms", ".1f"),
        Column("gain", "two_apart_gain", ".2f"),
    ),
)
SHORT = TABLE.short(
    lambda row: row.get("rows") == 4096 and row.get("dim") in (2, 16, 128),
    "one thread, ms",
    "threads, ms",
    "processes, ms",
    "two networks, one thread, ms",
    "a network each, ms",
)
ARGUMENTS = Arguments(
    dims=(2, 4, 16, 64, 128),
    fixed={"rounds": 30, "rows": (1024, 4096)},
    quick={"rounds": 2, "rows": (1024,)},
)
BENCHMARK = Benchmark(
    "processes", __doc__, problems, methods, measure, (TABLE, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
