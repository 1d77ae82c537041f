"""What sharing a training step among processes is worth, beside the threads of torch.

    python -m benchmarks.processes                    # d = 2, 4, 16, 64, 128; 1,024 and 4,096 rows
    python -m benchmarks.processes --threads 4        # as many threads, or processes of one thread

Per problem a network is trained for 60 steps of the default fit; then batches are drawn and J and its gradient found,
in turn by one process with one thread, by one with several threads, and by several processes, so that all meet the same
machine; and the same for two networks, as of a mean, whose batches the processes share row by row or take one each.
Milliseconds are medians. Steps that are too small are not shared (`brenier.transport.dual.parallel.SHARE`). The pairs
are log-sum-exp ones (`brenier.datasets.NEUTRAL`).
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import statistics
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from benchmarks import options, tables
from benchmarks.tables import Column, Table
from brenier import DualObjective, OptimalTransport, Potential
from brenier.datasets import NEUTRAL
from brenier.transport.dual.objective import Batch, Draw
from brenier.transport.dual.parallel import Team

DIMS, ROWS = (2, 4, 16, 64, 128), (1024, 4096)
SKIPPED = 2  # first rounds, in which memory is found


def measure(
    dim: int, rows: int, processes: int, rounds: int, seed: int
) -> dict[str, Any]:
    """Return the milliseconds of each way."""
    pair = NEUTRAL["logsumexp"](dim)
    ot = OptimalTransport(max_steps=60, random_state=seed, n_jobs=1).fit(
        pair.source, pair.target
    )
    potential: Potential = ot.map_.network.requires_grad_(True)
    other = copy.deepcopy(potential)
    alone, generator = (
        DualObjective(tol=0.05 * dim**0.5),
        torch.Generator().manual_seed(seed),
    )

    def draw(which: Potential) -> Batch:
        x = ot.map_.coordinates.encode_source(pair.source(rows, generator)).float()
        z = ot.map_.coordinates.encode_target(pair.target(rows, generator)).float()
        return Batch(which, x, z, skip_fraction=0.1)

    two: list[Draw] = [partial(draw, potential), partial(draw, other)]
    one = two[:1]
    with Team(processes, [potential, other], alone.method, patient=True) as team:
        shared = dataclasses.replace(alone, evaluate=team)
        ways: dict[str, tuple[int, DualObjective, list[list[Draw]]]] = {
            "alone": (1, alone, [one]),
            "threads": (processes, alone, [one]),
            "processes": (1, shared, [one]),
            "two_alone": (1, alone, [two]),
            "two_shared": (1, shared, [two[:1], two[1:]]),
            "two_apart": (1, shared, [two]),
        }
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds + SKIPPED):
            for name, (threads, objective, asked) in ways.items():
                torch.set_num_threads(threads)
                began = time.perf_counter()
                for draws in asked:
                    step(objective, draws)
                spent[name].append(1e3 * (time.perf_counter() - began))
    found = {
        f"{name}_ms": statistics.median(times[SKIPPED:])
        for name, times in spent.items()
    }
    gains = {
        f"{name}_gain": found["alone_ms"] / found[f"{name}_ms"]
        for name in ("threads", "processes")
    }
    twos = {
        f"{name}_gain": found["two_alone_ms"] / found[f"{name}_ms"]
        for name in ("two_shared", "two_apart")
    }
    return found | gains | twos


def step(objective: DualObjective, draws: list[Draw]) -> None:
    """Draw batches and differentiate their J."""
    for together in objective.several(draws):
        torch.stack([value.loss for _, value in together]).sum().backward()


TABLES = (
    Table(
        "processes",
        "processes",
        (
            Column("rows", "rows", ",.0f"),
            Column("one thread, ms", "alone_ms", ".1f"),
            Column("threads, ms", "threads_ms", ".1f"),
            Column("gain", "threads_gain", ".2f"),
            Column("processes, ms", "processes_ms", ".1f"),
            Column("gain", "processes_gain", ".2f"),
            Column("two networks, one thread, ms", "two_alone_ms", ".1f"),
            Column("processes share rows, ms", "two_shared_ms", ".1f"),
            Column("gain", "two_shared_gain", ".2f"),
            Column("a network each, ms", "two_apart_ms", ".1f"),
            Column("gain", "two_apart_gain", ".2f"),
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__, DIMS)
    flags = options.parse(parser, arguments)
    rounds = 2 if flags.quick else 30
    with options.open_ledger("processes", flags) as ledger:
        for dim, rows, seed in itertools.product(
            flags.dims, ROWS[:1] if flags.quick else ROWS, flags.seeds
        ):
            problem = f"logsumexp d={dim}, {rows:,} rows"
            run = partial(measure, dim, rows, flags.threads, rounds, seed)
            ledger.record(
                problem, f"{flags.threads} cores", seed, run, dim=dim, rows=rows
            )
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
