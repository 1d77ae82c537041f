"""How fast a fitted map moves points, and how much memory that takes.

    python -m benchmarks.throughput       # d = 16: 1,000,000 rows forward, 100,000 back, 4,000,000 from a file

Maps with potentials "convex" and "free" are fitted for `--train-seconds` to a separable pair, saved, and loaded in a
fresh process per row, which moves float32 points through `OptimalTransport.transform` or `inverse_transform`. Seconds
are the median of three calls. "Memory beside" is the peak during the first call, above what the process held before it
and the output (and the pages of the file, where the input is memory-mapped): what the call needs for itself.
Targets: 300,000 rows per second forward; memory beside at most 256 MiB however many rows there are.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks import machine, options, tables
from benchmarks.rows import Ledger, Row
from benchmarks.scores import training
from benchmarks.tables import Column, Table
from brenier import OptimalTransport, load
from brenier.datasets import Pair, separable_pair

DIMS = (16,)
ROWS_PER_SECOND, MEMORY = 300_000, 256  # targets: forward; MiB
CHUNK = 2**18  # rows of a file written at once


class Job(NamedTuple):
    """One measurement, as the process that makes it is told.

    Attributes:
        model: folder of the saved map.
        rows, dim: shape of the input.
        inverse: which direction.
        mapped: whether the input is a memory-mapped file.
        threads: of torch.
        repeats: calls.
        pair: whose points are moved, as a function of d that another process can be sent.
    """

    model: str
    rows: int
    dim: int
    inverse: bool
    mapped: bool
    threads: int
    repeats: int
    pair: Callable[[int], Pair] = separable_pair


def measure(job: Job) -> dict[str, Any]:
    """Return what a job took, measured in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure_here, job).result()


def measure_here(job: Job) -> dict[str, Any]:
    """Return speed and memory of moving points in this process."""
    torch.set_num_threads(job.threads)
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
        began = time.perf_counter()
        moved = move(x)
        seconds = [time.perf_counter() - began]
        beside = (
            machine.peak_memory()
            - before
            - (moved.nbytes + job.mapped * x.nbytes) / machine.MIB
        )
        for _ in range(job.repeats - 1):
            began = time.perf_counter()
            move(x)
            seconds.append(time.perf_counter() - began)
    middle = statistics.median(seconds)
    return {
        "rows_per_second": job.rows / middle,
        "seconds": middle,
        "memory_beside_mib": beside,
        "input_mib": x.nbytes / machine.MIB,
        "output_mib": moved.nbytes / machine.MIB,
        "finite": bool(np.isfinite(moved).all()),
        "inverse_warnings": len(caught),
    }


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


def fit(
    potential: str, dim: int, seed: int, seconds: float, folder: str
) -> dict[str, Any]:
    """Fit a map and save it."""
    pair = separable_pair(dim)
    ot = OptimalTransport(
        potential, max_steps=10**9, max_time=seconds, random_state=seed
    )
    ot.fit(pair.source, pair.target).save(folder)
    return training(ot)


def run(ledger: Ledger, potential: str, dim: int, seed: int, flags: Any) -> None:
    """Record a row for the fit and for each job."""
    problem, settings = f"separable d={dim}, {potential}", {"dim": dim}
    forward, back, mapped = (
        (20_000, 2_000, 80_000) if flags.quick else (1_000_000, 100_000, 4_000_000)
    )
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "model")
        ledger.record(
            problem,
            "training",
            seed,
            partial(fit, potential, dim, seed, flags.train_seconds, model),
        )
        for method, rows, inverse, from_file in (
            (f"forward, {forward:,} rows", forward, False, False),
            (f"inverse, {back:,} rows", back, True, False),
            (f"forward, {mapped:,} rows of a file", mapped, False, True),
        ):
            job = Job(model, rows, dim, inverse, from_file, flags.threads, repeats=3)
            ledger.record(
                problem,
                method,
                seed,
                partial(measure, job),
                **settings,
                rows=rows,
                inverse=inverse,
            )


def _met(row: Row) -> bool:
    fast = (
        row.settings["inverse"] or (row.get("rows_per_second") or 0) >= ROWS_PER_SECOND
    )
    small = row.get("memory_beside_mib")
    return row.status == "ok" and fast and small is not None and small <= MEMORY


TABLES = (
    Table(
        "throughput",
        "throughput",
        (
            Column("rows per second (forward ≥ 300,000)", "rows_per_second", ",.0f"),
            Column("seconds", "seconds", ".2f"),
            Column("memory beside, MiB (≤ 256)", "memory_beside_mib", ",.0f", max),
            Column("input, MiB", "input_mib", ",.0f"),
            Column("output, MiB", "output_mib", ",.0f"),
            Column("finite", "finite"),
            Column("met", _met),
        ),
        where=lambda row: row.method != "training",
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = options.make_parser(__doc__, DIMS)
    parser.add_argument(
        "--train-seconds",
        type=float,
        default=None,
        help="default 60, or 2 with --quick",
    )
    parser.add_argument(
        "--potentials",
        nargs="+",
        choices=("convex", "free"),
        default=["convex", "free"],
    )
    flags = options.parse(parser, arguments)
    flags.train_seconds = flags.train_seconds or (2.0 if flags.quick else 60.0)
    with options.open_ledger("throughput", flags) as ledger:
        for dim in flags.dims:
            for seed in flags.seeds:
                for potential in flags.potentials:
                    run(ledger, potential, dim, seed, flags)
        tables.show(TABLES, ledger.folder)


if __name__ == "__main__":
    main()
