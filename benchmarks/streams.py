"""Fits of parquet larger than memory: peak memory, how long steps wait for rows, and rows read per second.

    python -m benchmarks.streams       # 10^7 and 10^8 rows a side, d = 16, float32; 300 s of training each

Both sides of a separable pair are written as folders of ten parquet files, in row groups as pyarrow writes them, into
a temporary folder that is removed at the end: 6.4 GB a side for 10^8 rows. A new process fits them by
`OptimalTransport(max_time=...).fit(scan(source), scan(target))`. Its peak is that of the whole process, imports and the
interpreter included. *Waiting* is how long draws of both sides were blocked until a block was there, as a share of the
seconds that training steps took; *reading* the seconds for which the threads in the background were at work, which
takes from a step only what it leaves of the cores.
Targets: a peak below 1.5 GiB, the same for all numbers of rows; waiting at most a tenth.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch

from benchmarks import scores
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Row,
    Table,
    always,
    flag,
    in_new_process,
    machine,
)
from brenier import OptimalTransport
from brenier.datasets import ScanStream, scan, separable_pair
from brenier.training import Run

MEMORY, WAITING = 1536, 0.1  # targets: MiB; share of a step
GROUP, FILES, DIM = 2**20, 10, 16  # rows of a row group; files a side; features
CHUNK = 2**18  # rows drawn at once

Draw = Callable[[int, torch.Generator], torch.Tensor]


class Written(NamedTuple):
    """Folders of both sides."""

    source: str
    target: str


@contextlib.contextmanager
def prepare(rows: int, seed: int, flags: Flags) -> Iterator[Written]:
    """Write both sides, and remove them at the end."""
    with tempfile.TemporaryDirectory() as folder:
        needed = 2 * rows * DIM * 4 / flags.links
        if shutil.disk_usage(folder).free < 1.5 * needed:
            raise OSError(f"{rows:,} rows a side need {needed / 2**30:.0f} GiB of disk")
        pair = separable_pair(DIM)
        sides = []
        for place, draw in enumerate((pair.source, pair.target)):
            side = Path(folder) / f"side{place}"
            side.mkdir()
            generator = torch.Generator().manual_seed(2 * seed + place)
            write(side, rows, draw, generator, flags.links)
            sides.append(str(side))
        yield Written(*sides)


def write(
    folder: Path, rows: int, draw: Draw, generator: torch.Generator, links: int
) -> None:
    """Write rows as files of parquet, a row group at a time; each file stands there under so many names."""
    import pyarrow
    from pyarrow import parquet

    names = [f"x{k}" for k in range(DIM)]
    schema = pyarrow.schema([(name, pyarrow.float32()) for name in names])
    per_file = -(-rows // FILES)
    for file in range(FILES // links):
        left = min(per_file, rows - file * per_file)
        with parquet.ParquetWriter(folder / f"{file}.parquet", schema) as writer:
            while left > 0:
                group = min(GROUP, left)
                parts = [
                    draw(min(CHUNK, group - first), generator).float()
                    for first in range(0, group, CHUNK)
                ]
                columns = list(torch.cat(parts).T.contiguous().numpy())
                table = pyarrow.table(columns, names=names)
                writer.write_table(table.cast(schema), row_group_size=GROUP)
                left -= group
        for copy in range(1, links):
            os.link(folder / f"{file}.parquet", folder / f"{file}-{copy}.parquet")


def fit(written: Written, seconds: float, seed: int) -> dict[str, Any]:
    """Return what a fit of both folders takes in this process."""
    machine.reset_peak()
    before = machine.memory()
    streams: list[ScanStream] = []
    runs: list[Run] = []
    create, construct = ScanStream.__init__, Run.__init__

    def remember_stream(self: ScanStream, *given: Any, **named: Any) -> None:
        create(self, *given, **named)
        streams.append(self)

    def remember_run(self: Run, *given: Any, **named: Any) -> None:
        construct(self, *given, **named)
        runs.append(self)

    began = time.perf_counter()
    with (
        patch.object(ScanStream, "__init__", remember_stream),
        patch.object(Run, "__init__", remember_run),
    ):
        ot = OptimalTransport(max_time=seconds, max_steps=10**9, random_state=seed)
        ot.fit(scan(written.source), scan(written.target))
    whole = time.perf_counter() - began
    (run,) = runs
    stepping = max(run.seconds - run.evaluation_seconds, 1e-9)
    return {
        "peak_mib": machine.peak_memory(),
        "before_mib": before,
        "waiting_share": sum(each.waited for each in streams) / stepping,
        "first_wait": max(each.longest_wait for each in streams),
        "reading_share": sum(each.reading for each in streams) / stepping,
        "rows_per_second": sum(each.rows_read for each in streams) / stepping,
        "step_seconds": stepping,
        "fit_seconds": whole,
        **scores.training_facts(ot),
    }


def problems(flags: Flags) -> Iterator[Choice]:
    for rows in flags.rows:
        name = f"separable d={DIM}, {rows:,} rows a side"
        if flags.links > 1:
            name += f", each file under {flags.links} names"
        yield Choice(name, rows, {"rows": rows, "links": flags.links})


def methods(flags: Flags, problem: int) -> Iterator[Choice]:
    yield Choice(f"fit of {flags.seconds:g} s", flags.seconds)


def measure(
    written: Written, seconds: float, seed: int, flags: Flags
) -> dict[str, Any]:
    return in_new_process(flags.threads, fit, written, seconds, seed)


def _meets_targets(row: Row) -> bool:
    peak, waiting = row.get("peak_mib"), row.get("waiting_share")
    known = row.status == "ok" and peak is not None and waiting is not None
    return bool(known and row.get("steps") and peak <= MEMORY and waiting <= WAITING)


def _check(parser: object, flags: Flags) -> None:
    flags.seconds = flags.seconds or (5.0 if flags.quick else 300.0)
    if flags.rows is None:
        flags.rows = [600_000] if flags.quick else [10**7, 10**8]


TABLE = Table(
    "streams",
    "streams",
    (
        Column("peak memory, MiB (≤ 1,536)", "peak_mib", ",.0f", max),
        Column("before the fit, MiB", "before_mib", ",.0f"),
        Column("waiting for rows, of a step (≤ 0.1)", "waiting_share", ".3f", max),
        Column("longest wait, s", "first_wait", ".2f"),
        Column("reading in the background, of a step", "reading_share", ".2f"),
        Column("rows read per second", "rows_per_second", ",.0f"),
        Column("steps", "steps", ",.0f"),
        Column("fit, s", "fit_seconds", ".0f"),
        Column("met", _meets_targets),
    ),
)
SHORT = TABLE.short(
    always,
    "peak memory, MiB (≤ 1,536)",
    "waiting for rows, of a step (≤ 0.1)",
    "rows read per second",
    "met",
)
BENCHMARK = Benchmark(
    "streams",
    __doc__,
    problems,
    methods,
    measure,
    (TABLE, SHORT),
    Arguments(
        (
            flag("--seconds", type=float, help="of a fit: default 300, 5 with --quick"),
            flag("--rows", type=int, nargs="+", help="a side (default 10^7 and 10^8)"),
            flag(
                "--links",
                type=int,
                choices=(1, 2, 5, 10),
                default=1,
                help="names that each file stands there under, so that fewer rows have to be made (default 1)",
            ),
        ),
        check=_check,
    ),
    prepare,
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
