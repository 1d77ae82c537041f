"""How fast a fitted map moves points, and how much memory that takes.

    python -m benchmarks.throughput       # d = 16: 1,000,000 rows forward, 100,000 back, 4,000,000 from a file

Maps with potentials "convex" and "free" are fitted for `--train-seconds` to a separable pair and saved. Each row comes
from a new process that loads the map and moves float32 points by `OptimalTransport.transform` or `inverse_transform`.
Seconds are the median of three calls. "Memory beside" is what the first call needs for itself: its peak, less what the
process held before it, the output, and the pages of the file where the input is memory-mapped.
Targets: 300,000 rows per second forward; memory beside at most 256 MiB for any number of rows.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import scores
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Once,
    Row,
    Table,
    always,
    choices,
    flag,
    in_new_process,
    machine,
)
from brenier import OptimalTransport, load
from brenier.datasets import Pair, separable_pair

ROWS_PER_SECOND, MEMORY = 300_000, 256  # targets: forward; MiB
CHUNK = 2**18  # rows of a file written at once
REPEATS = 3  # calls


class Job(NamedTuple):
    """One measurement, as the process that makes it receives it.

    Attributes:
        model: folder of the saved map.
        rows, dim: shape of the input.
        inverse: which direction.
        mapped: whether the input is a memory-mapped file.
        pair: whose points are moved, as a function of d that can be sent to another process.
    """

    model: str
    rows: int
    dim: int
    inverse: bool
    mapped: bool
    pair: Callable[[int], Pair] = separable_pair


def move_points(job: Job) -> dict[str, Any]:
    """Return speed and memory of moving points in this process."""
    ot = load(job.model)
    pair, generator = job.pair(job.dim), torch.Generator().manual_seed(1)
    draw = pair.target if job.inverse else pair.source
    move = ot.inverse_transform if job.inverse else ot.transform
    with (
        tempfile.TemporaryDirectory() as folder,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        move(draw(1024, generator).numpy())  # first calls are slow
        x = _input(job, draw, generator, Path(folder))
        before = machine.memory()
        machine.reset_peak()
        seconds = []
        moved, first = _timed(move, x)
        seconds.append(first)
        needed = moved.nbytes + (x.nbytes if job.mapped else 0)
        beside = machine.peak_memory() - before - needed / machine.MIB
        seconds.extend(_timed(move, x)[1] for _ in range(REPEATS - 1))
    median = statistics.median(seconds)
    return {
        "rows_per_second": job.rows / median,
        "seconds": median,
        "memory_beside_mib": beside,
        "input_mib": x.nbytes / machine.MIB,
        "output_mib": moved.nbytes / machine.MIB,
        "finite": bool(np.isfinite(moved).all()),
        "inverse_warnings": len(caught),
    }


def _timed(move: Callable[[Any], Any], x: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the moved points, and the seconds it took."""
    began = time.perf_counter()
    moved = move(x)
    return moved, time.perf_counter() - began


def _input(job: Job, draw: Any, generator: torch.Generator, folder: Path) -> np.ndarray:
    """Return the points to move, in memory or in a file."""
    shape = (job.rows, job.dim)
    if not job.mapped:
        return draw(job.rows, generator).numpy()
    file = np.lib.format.open_memmap(
        folder / "input.npy", mode="w+", dtype=np.float32, shape=shape
    )
    for first in range(0, job.rows, CHUNK):
        rows = file[first : first + CHUNK]
        rows[:] = draw(len(rows), generator).numpy()
    file.flush()
    del file
    return np.load(folder / "input.npy", mmap_mode="r")


class Fitted(NamedTuple):
    """A fit, made once for all methods, and the folder that it is saved in."""

    facts: Once[dict[str, Any]]
    model: str
    dim: int


class Move(NamedTuple):
    """A method: rows to move, or the training where there are none."""

    rows: int = 0
    inverse: bool = False
    mapped: bool = False


def problems(flags: Flags) -> Iterator[Choice]:
    for dim in flags.dims:
        for potential in flags.potentials:
            name = f"separable d={dim}, {potential}"
            yield Choice(name, (potential, dim), {"dim": dim})


def methods(flags: Flags, problem: tuple[str, int]) -> Iterator[Choice]:
    yield Choice("training", Move())
    forward, back, mapped = flags.rows
    for name, move in (
        (f"forward, {forward:,} rows", Move(forward)),
        (f"inverse, {back:,} rows", Move(back, inverse=True)),
        (f"forward, {mapped:,} rows of a file", Move(mapped, mapped=True)),
    ):
        yield Choice(name, move, {"rows": move.rows, "inverse": move.inverse})


@contextlib.contextmanager
def prepare(problem: tuple[str, int], seed: int, flags: Flags) -> Iterator[Fitted]:
    potential, dim = problem
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "model")
        arguments = potential, dim, seed, flags.train_seconds, model
        yield Fitted(Once(partial(fit, *arguments)), model, dim)


def fit(
    potential: str, dim: int, seed: int, seconds: float, folder: str
) -> dict[str, Any]:
    """Fit a map and save it."""
    pair = separable_pair(dim)
    ot = OptimalTransport(
        potential, max_steps=10**9, max_time=seconds, random_state=seed
    )
    ot.fit(pair.source, pair.target).save(folder)
    return scores.training_facts(ot)


def measure(fitted: Fitted, move: Move, seed: int, flags: Flags) -> dict[str, Any]:
    facts = fitted.facts()
    if not move.rows:
        return facts
    job = Job(fitted.model, move.rows, fitted.dim, move.inverse, move.mapped)
    return in_new_process(flags.threads, move_points, job)


def _meets_targets(row: Row) -> bool:
    rate, memory = row.get("rows_per_second") or 0, row.get("memory_beside_mib")
    fast = row.settings["inverse"] or rate >= ROWS_PER_SECOND
    return row.status == "ok" and fast and memory is not None and memory <= MEMORY


def _check(parser: object, flags: Flags) -> None:
    flags.train_seconds = flags.train_seconds or (2.0 if flags.quick else 60.0)


TABLE = Table(
    "throughput",
    "throughput",
    (
        Column("rows per second (forward ≥ 300,000)", "rows_per_second", ",.0f"),
        Column("seconds", "seconds", ".2f"),
        Column("memory beside, MiB (≤ 256)", "memory_beside_mib", ",.0f", max),
        Column("input, MiB", "input_mib", ",.0f"),
        Column("output, MiB", "output_mib", ",.0f"),
        Column("finite", "finite"),
        Column("met", _meets_targets),
    ),
    where=lambda row: row.method != "training",
)
SHORT = TABLE.short(
    always,
    "rows per second (forward ≥ 300,000)",
    "memory beside, MiB (≤ 256)",
    "met",
)
BENCHMARK = Benchmark(
    "throughput",
    __doc__,
    problems,
    methods,
    measure,
    (TABLE, SHORT),
    Arguments(
        (
            flag("--train-seconds", type=float, help="default 60, or 2 with --quick"),
            choices("--potentials", ("convex", "free")),
        ),
        dims=(16,),
        fixed={"rows": (1_000_000, 100_000, 4_000_000)},
        quick={"rows": (20_000, 2_000, 80_000)},
        check=_check,
    ),
    prepare,
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
