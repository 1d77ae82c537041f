"""What sharing a training step among processes is worth, beside the threads of torch.

    python -m benchmarks.processes                    # d = 2, 4, 16, 64, 128; 1,024 and 4,096 rows
    python -m benchmarks.processes --threads 4        # as many threads, or processes of one thread

Per problem a network is trained for 60 steps of the default fit; then J and its gradient are found for fresh batches,
in turn by one process with one thread, by one with several threads, and by several processes, so that all meet the same
machine. Milliseconds are medians. Steps that are too small are not shared (`brenier.processes.team.SHARE`). The pairs
are log-sum-exp ones (`brenier.datasets.NEUTRAL`).
"""

from __future__ import annotations

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
from brenier.processes import Team

DIMS, ROWS = (2, 4, 16, 64, 128), (1024, 4096)
SKIPPED = 2  # first rounds, in which memory is found


def measure(dim: int, rows: int, processes: int, rounds: int, seed: int) -> dict[str, Any]:
    """Return the milliseconds of each way."""
    pair = NEUTRAL["logsumexp"](dim)
    ot = OptimalTransport(max_steps=60, random_state=seed, n_jobs=1).fit(pair.source, pair.target)
    potential: Potential = ot.map_.network.requires_grad_(True)
    alone, generator = DualObjective(tol=0.05 * dim**0.5), torch.Generator().manual_seed(seed)
    spent: dict[str, list[float]] = {"alone": [], "threads": [], "processes": []}
    with Team(processes, [potential], alone.method, patient=True) as team:
        ways = {"alone": (1, alone), "threads": (processes, alone)}
        ways["processes"] = (1, dataclasses.replace(alone, evaluate=team))
        for _ in range(rounds + SKIPPED):
            x = ot.map_.coordinates.source_in(pair.source(rows, generator)).float()
            z = ot.map_.coordinates.target_in(pair.target(rows, generator)).float()
            for name, (threads, objective) in ways.items():
                torch.set_num_threads(threads)
                began = time.perf_counter()
                objective(potential, x, z, leave=0.1).loss.backward()
                spent[name].append(1e3 * (time.perf_counter() - began))
    found = {f"{name}_ms": statistics.median(times[SKIPPED:]) for name, times in spent.items()}
    return found | {f"{name}_gain": found["alone_ms"] / found[f"{name}_ms"] for name in ("threads", "processes")}


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
        ),
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__, DIMS)
    flags = options.parse(parser, arguments)
    rounds = 2 if flags.quick else 30
    with options.open_ledger("processes", flags) as ledger:
        for dim, rows, seed in itertools.product(flags.dims, ROWS[:1] if flags.quick else ROWS, flags.seeds):
            problem = f"logsumexp d={dim}, {rows:,} rows"
            run = partial(measure, dim, rows, flags.threads, rounds, seed)
            ledger.record(problem, f"{flags.threads} cores", seed, run, dim=dim, rows=rows)
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
