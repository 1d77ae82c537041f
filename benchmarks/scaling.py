"""What many processes say to each other in a step of training, and what share of the step that would take.

    python -m benchmarks.scaling                         # d = 64, 1 to 16 ranks of 1,024 rows each

The ranks are simulated: threads of one process, each with a task of its own, that talk through sockets as processes on
many machines do. Messages and bytes of a step are counted; what they would take is computed, for a ring of `k` ranks

    2 (k - 1) (latency + b / (k bandwidth))          for a message of b bytes: reduce, then gather

with 10 Gbit/s and 30 microseconds. The seconds of a step without messages are those of one rank alone on one core, with
as many rows as each has: weak scaling, so that the batch grows with the ranks.
"""

from __future__ import annotations

import concurrent.futures
import copy
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.harness import Arguments, Benchmark, Choice, Column, Flags, Table, flag
from brenier import DualObjective, DualSettings, DualTask, MemberSamples, Run, Settings
from brenier.datasets import NEUTRAL, Sampler
from brenier.estimators import POTENTIALS
from brenier.statistics import Calibration, Features
from brenier.training import Ranks
from brenier.training.ranks import RankSettings, connected
from brenier.transport.dual import Draw

WARM_UP, COUNTED = 3, 5  # steps before, and those that are counted
BITS = 8


def problems(flags: Flags) -> Iterator[Choice]:
    for dim in flags.dims:
        yield Choice(f"logsumexp d={dim}", dim, {"dim": dim})


def methods(flags: Flags, dim: int) -> Iterator[Choice]:
    for size in flags.ranks:
        told = {"ranks": size, "rows": flags.rows}
        yield Choice(f"{size} ranks of {flags.rows:,} rows", size, told)


def measure(dim: int, size: int, seed: int, flags: Flags) -> dict[str, Any]:
    """Return what a step takes alone, what it says, and what that would take."""
    torch.set_num_threads(1)
    run = run_of(dim, flags.rows, size, seed)
    alone = seconds_of_step(run_of(dim, flags.rows, 1, seed))
    ranks = counted(run, size)
    messages, sent = ranks.messages / COUNTED, ranks.sent / COUNTED
    latency, bandwidth = flags.microseconds * 1e-6, flags.gigabits * 1e9 / BITS
    ring = 2 * (size - 1) * (messages * latency + sent / (size * bandwidth))
    return {
        "step_ms": 1e3 * alone,
        "messages": messages,
        "kilobytes": sent / 1e3,
        "communication_ms": 1e3 * ring,
        "share": 100 * ring / (alone + ring),
        "efficiency": 100 * alone / (alone + ring),
        "parameters": sum(each.numel() for each in run.task.model.parameters()),
    }


def run_of(dim: int, rows: int, size: int, seed: int) -> Run[Any]:
    """Return a run of the default potential on endless samples, whose batch has so many rows for each rank."""
    pair = NEUTRAL["logsumexp"](dim)
    generator = torch.Generator().manual_seed(seed)
    potential = POTENTIALS["auto"](dim, generator)
    held_out = drawn(pair.source)(rows, generator), drawn(pair.target)(rows, generator)
    features = Features(rows, held_out[0], generator)
    calibration = [Calibration(features, side, complete=False) for side in held_out]
    samples = MemberSamples(
        drawn(pair.source), drawn(pair.target), held_out, calibration
    )
    task = DualTask(potential, DualObjective(), samples, DualSettings(), generator)
    steps = WARM_UP + COUNTED
    settings = Settings(max_steps=100 * steps, batch_size=rows * size)
    run = Run(task, settings, generator)
    for _ in range(WARM_UP):
        run.advance()
    return run


def drawn(sampler: Sampler) -> Draw:
    """Return what draws in single precision."""
    return lambda n, generator: torch.as_tensor(sampler(n, generator)).float()


def seconds_of_step(run: Run[Any]) -> float:
    """Return the median of the seconds of a step."""
    taken = []
    for _ in range(COUNTED):
        began = time.perf_counter()
        run.advance()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def counted(run: Run[Any], size: int) -> Ranks:
    """Return the first of so many ranks after some steps, which has counted what it said in them."""
    if size == 1:
        return Ranks()
    store, state = dist.HashStore(), run.state_dict()

    def work(rank: int) -> Ranks:
        task: Any = copy.deepcopy(run.task)
        own: Run[Any] = Run(task, run.settings, task.generator)
        own.load_state_dict(state)
        ranks = connected(store, "simulated", rank, size, RankSettings())
        own.join(ranks)
        own.advance()
        ranks.sent = ranks.messages = 0
        for _ in range(COUNTED):
            own.advance()
        return ranks

    with concurrent.futures.ThreadPoolExecutor(size) as pool:
        first, *_ = pool.map(work, range(size))
    return first


TABLE = Table(
    "scaling",
    "scaling",
    (
        Column("parameters", "parameters", ",.0f"),
        Column("a step alone, ms", "step_ms", ".0f"),
        Column("messages", "messages", ".0f"),
        Column("kB sent by a rank", "kilobytes", ",.0f"),
        Column("communication, ms", "communication_ms", ".1f"),
        Column("of a step, %", "share", ".1f"),
        Column("efficiency, %", "efficiency", ".1f"),
    ),
)
SHORT = TABLE.short(
    lambda row: row.get("ranks") in (2, 16), "kB sent by a rank", "of a step, %"
)
ARGUMENTS = Arguments(
    (
        flag("--ranks", type=int, nargs="+", default=[1, 2, 4, 8, 16]),
        flag("--rows", type=int, default=1024, help="of a rank (default 1024)"),
        flag("--gigabits", type=float, default=10.0, help="a second (default 10)"),
        flag("--microseconds", type=float, default=30.0, help="latency (default 30)"),
    ),
    dims=(64,),
    quick={"ranks": [1, 2], "rows": 128},
)
BENCHMARK = Benchmark(
    "scaling", __doc__, problems, methods, measure, (TABLE, SHORT), ARGUMENTS
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
