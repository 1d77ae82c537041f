"""Bulk transport of parquet files by one and by two workers, and what is left of runs that are killed.

    python -m benchmarks.bulk                    # d = 16: 50,000,000 rows in 40 files, and 5,000,000 in one
    python -m benchmarks.bulk --rows 10000000    # as many as time and disk allow: 140 bytes a row

A map is fitted for `--train-seconds` to a separable pair and saved. Rows, float32 features and a number of each, are
written to files of four row groups. `brenier.transport.maps.bulk.transform` moves them with one worker and with two,
in turn and each time in a new process, `--rounds` times; seconds are medians, and count the start of the workers.
"Memory" is the peak of the largest worker; with one worker that is the process itself.

Then the command `brenier transport --workers 2` is killed (SIGKILL) `--kills` times at moments drawn at random, each
time started again, and at last left to end. Every row is then looked for by its number, and its values compared with
those of the last undisturbed run. "Orphans" are workers that still live five seconds after a kill.
Targets: at least 1.7 times as many rows per second with two workers; less than 1 GiB a worker; no row lost, twice or
other than undisturbed; no orphan.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
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
    flag,
    in_new_process,
)
from brenier import OptimalTransport
from brenier.datasets import separable_pair
from brenier.transport.maps import bulk

GAIN, MEMORY = 1.7, 1024  # targets: of two workers over one; MiB
GROUPS = 4  # row groups of a file
KIB = 1024  # in a MiB; of which peaks are told in
PATIENCE = 5.0  # seconds that workers have to end after their parent
START = 5.0  # seconds until workers move rows, about
FAULTS = ("lost", "twice", "unequal_files", "orphans", "temporaries")


def features(dim: int) -> list[str]:
    """Return the names of the columns that are moved."""
    return [f"x{k}" for k in range(dim)]


class Given(NamedTuple):
    """Files to move, and what is needed for that.

    Attributes:
        folder: that holds `model`, `in` and, after a run, `out`.
        rows: of all files.
        facts: what is known of the map.
    """

    folder: Path
    rows: int
    facts: dict[str, Any]


def problems(flags: Flags) -> Iterator[Choice]:
    for files in flags.files:
        rows = flags.rows if files > 1 else flags.rows // 10
        name = f"d={flags.dim}, {rows:,} rows in {files} file{'s' * (files > 1)}"
        settings = {"dim": flags.dim, "rows": rows, "files": files}
        yield Choice(name, (rows, files), settings)


def methods(flags: Flags, problem: tuple[int, int]) -> Iterator[Choice]:
    yield Choice("1 and 2 workers in turn", 0)
    if problem[1] > 1:
        yield Choice(f"killed {flags.kills} times", flags.kills)


@contextlib.contextmanager
def prepare(problem: tuple[int, int], seed: int, flags: Flags) -> Iterator[Once[Given]]:
    with tempfile.TemporaryDirectory(prefix="brenier-bulk-") as folder:
        yield Once(lambda: made(Path(folder), problem, seed, flags))


def made(folder: Path, problem: tuple[int, int], seed: int, flags: Flags) -> Given:
    """Fit and save a map, and write the files."""
    rows, files = problem
    pair = separable_pair(flags.dim)
    ot = OptimalTransport(
        max_steps=10**9, max_time=flags.train_seconds, random_state=seed
    )
    ot.fit(pair.source, pair.target).save(folder / "model")
    (folder / "in").mkdir()
    in_new_process(flags.threads, write_files, folder / "in", rows, files, flags.dim)
    return Given(folder, rows, scores.training_facts(ot))


def write_files(folder: Path, rows: int, files: int, dim: int) -> None:
    """Write parquet files of float32 features and a number of each row."""
    import pyarrow
    from pyarrow import parquet

    generator = torch.Generator().manual_seed(1)
    names = features(dim)
    types = [("id", pyarrow.int64()), *((name, pyarrow.float32()) for name in names)]
    schema = pyarrow.schema(types)
    edges = np.linspace(0, rows, files * GROUPS + 1).astype(int).tolist()
    groups = list(itertools.pairwise(edges))
    for file in range(files):
        path = folder / f"part-{file:04d}.parquet"
        with parquet.ParquetWriter(path, schema, use_dictionary=False) as writer:
            for first, last in groups[file * GROUPS : (file + 1) * GROUPS]:
                values = separable_pair(dim).source(last - first, generator).numpy()
                columns = [np.arange(first, last), *values.T.astype(np.float32)]
                arrays = [pyarrow.array(column) for column in columns]
                writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def measure(given: Once[Given], kills: int, seed: int, flags: Flags) -> dict[str, Any]:
    found = given()
    if kills:
        return killed(found, kills, seed, flags.dim)
    return {**found.facts, **side_by_side(found, flags)}


def side_by_side(given: Given, flags: Flags) -> dict[str, Any]:
    """Return seconds and memory of one and of two workers, taken in turn; the last output stays."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    peaks: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(flags.rounds):
        for workers in seconds:
            shutil.rmtree(given.folder / "out", ignore_errors=True)
            spent, peak = in_new_process(1, move, given.folder, workers, flags.dim)
            seconds[workers].append(spent)
            peaks[workers].append(peak)
    one, two = (statistics.median(seconds[workers]) for workers in (1, 2))
    return {
        "one_rows_per_second": given.rows / one,
        "two_rows_per_second": given.rows / two,
        "one_seconds": one,
        "two_seconds": two,
        "gain": one / two,
        "one_mib": max(peaks[1]),
        "two_mib": max(peaks[2]),
    }


def move(folder: Path, workers: int, dim: int) -> tuple[float, float]:
    """Move the files; return the seconds, and the peak of the largest worker in MiB."""
    began = time.perf_counter()
    places = (folder / name for name in ("model", "in", "out"))
    bulk.transform(*places, columns=features(dim), workers=workers, quiet=True)
    seconds = time.perf_counter() - began
    who = resource.RUSAGE_SELF if workers == 1 else resource.RUSAGE_CHILDREN
    return seconds, resource.getrusage(who).ru_maxrss / KIB


def killed(given: Given, kills: int, seed: int, dim: int) -> dict[str, Any]:
    """Return what is left of a run that is killed again and again, beside an undisturbed one."""
    out = given.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    spent, _ = in_new_process(1, move, given.folder, 2, dim)
    undisturbed = digests(out)
    shutil.rmtree(out)
    places = [str(given.folder / place) for place in ("model", "in")]
    command = [sys.executable, "-m", "brenier", "transport", *places, f"{out}/"]
    command += ["--quiet", "--workers", "2", "--columns", ",".join(features(dim))]
    rng = np.random.default_rng(seed)
    orphans, finished = 0, list[int]()
    for _ in range(kills):
        run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, START + 2 * spent / kills))
        orphans += left_after_kill(run)
        finished.append(len(list(out.glob("*.parquet"))))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {
        **compared(undisturbed, digests(out), given.rows),
        "kills": kills,
        "orphans": orphans,
        "temporaries": len(list(out.rglob("*.tmp"))),
        "finished_at_kills": finished,
    }


def left_after_kill(run: subprocess.Popen[bytes]) -> int:
    """Kill a process, and return how many of its workers have not ended in time."""
    workers = []
    with contextlib.suppress(psutil.NoSuchProcess):
        workers = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.wait()
    return len(psutil.wait_procs(workers, timeout=PATIENCE)[1])


class Digest(NamedTuple):
    """What a file holds: the numbers of its rows, and a checksum of everything else in it."""

    numbers: np.ndarray
    checksum: str


def digests(out: Path) -> dict[str, Digest]:
    """Return what the files of a folder hold."""
    from pyarrow import parquet

    found = {}
    for path in sorted(out.glob("*.parquet")):
        table = parquet.read_table(path)
        checksum = hashlib.sha256()
        for name in table.column_names:
            column = table.column(name)
            values = column.to_pandas() if name == "status" else column.to_numpy()
            codes = values.cat.codes.to_numpy() if name == "status" else values
            checksum.update(np.ascontiguousarray(codes).tobytes())
        found[path.name] = Digest(table.column("id").to_numpy(), checksum.hexdigest())
    return found


def compared(
    expected: dict[str, Digest], found: dict[str, Digest], rows: int
) -> dict[str, Any]:
    """Return how many rows are lost or there twice, and how many files are other than expected."""
    numbers = np.concatenate([each.numbers for each in found.values()])
    times = np.bincount(numbers, minlength=rows)
    return {
        "lost": int((times == 0).sum()),
        "twice": int((times > 1).sum()),
        "unequal_files": sum(
            name not in found or found[name].checksum != each.checksum
            for name, each in expected.items()
        )
        + len(found.keys() - expected.keys()),
    }


def _meets_targets(row: Row) -> bool:
    if row.status != "ok":
        return False
    if row.get("kills"):
        return not any(row.get(name) for name in FAULTS)
    small = max(row.get("one_mib"), row.get("two_mib")) < MEMORY
    return bool(row.get("gain") >= GAIN and small)


def _check(parser: object, flags: Flags) -> None:
    flags.train_seconds = flags.train_seconds or (2.0 if flags.quick else 30.0)
    if flags.quick:
        flags.rows, flags.rounds, flags.kills = 40_000, 1, 1


TABLE = Table(
    "bulk",
    "bulk",
    (
        Column("1 worker, rows per second", "one_rows_per_second", ",.0f"),
        Column("2 workers", "two_rows_per_second", ",.0f"),
        Column("gain (≥ 1.7)", "gain", ".2f"),
        Column("seconds", "one_seconds", ",.0f"),
        Column("seconds of 2", "two_seconds", ",.0f"),
        Column("memory, MiB (< 1024)", "one_mib", ",.0f", max),
        Column("of 2, each", "two_mib", ",.0f", max),
        Column("rows lost", "lost", ",.0f"),
        Column("twice", "twice", ",.0f"),
        Column("files unequal", "unequal_files", ",.0f"),
        Column("orphans", "orphans", ",.0f"),
        Column("met", _meets_targets),
    ),
)
SHORT = TABLE.short(
    always,
    "1 worker, rows per second",
    "2 workers",
    "gain (≥ 1.7)",
    "of 2, each",
    "rows lost",
    "twice",
    "met",
)
BENCHMARK = Benchmark(
    "bulk",
    __doc__,
    problems,
    methods,
    measure,
    (TABLE, SHORT),
    Arguments(
        (
            flag("--rows", type=int, default=50_000_000, help="default 50,000,000"),
            flag("--rounds", type=int, default=1, help="default 1"),
            flag("--kills", type=int, default=10, help="default 10"),
            flag("--train-seconds", type=float, help="default 30, or 2 with --quick"),
        ),
        fixed={"files": (40, 1), "dim": 16},
        quick={"files": (4, 1)},
        check=_check,
    ),
    prepare,
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
