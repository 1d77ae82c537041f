"""What a GPU gives: whether the whole path runs on it, what it learns in a minute, and for how long it computes.

    BRENIER_DATA=... python -m benchmarks.gpu      # w2hd, d = 64; without data a pair in closed form; under 15 minutes

Without a GPU it says so and ends, with no rows. "Whole path" is `tests/devices` on the device: fits of every kind, and
what is asked of them. The fit draws new samples for every batch for `--minutes`; errors are those of both maps on new
points. `transform` moves `--rows` rows that lie on the device, the median of three calls. The share of the time that
the device computes is that of its kernels in a fit of `--profiled` seconds, by `torch.profiler`.
"""

from __future__ import annotations

import contextlib
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import scores
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Once,
    Table,
    always,
    flag,
)
from benchmarks.harness.machine import ROOT
from benchmarks.pairs import problem
from brenier import OptimalTransport
from brenier.datasets import Pair, separable_pair, w2hd_pair

PATH, FIT, MOVE, SHARE = "whole path", "fit", "transform", "share of the time"
REPEATS = 3  # calls of `transform`
LONGEST_PATH = 480  # seconds, after which the tests are given up


class Fitted(NamedTuple):
    """A pair, and a fit to it that is made once for all methods."""

    pair: Pair
    fit: Once[OptimalTransport]


def problems(flags: Flags) -> Iterator[Choice]:
    known = w2hd_pair if os.environ.get("BRENIER_DATA") else separable_pair
    for dim in flags.dims:
        pair = known(dim)
        yield Choice(problem(pair), pair, {"dim": dim})


def methods(flags: Flags, pair: Pair) -> Iterator[Choice]:
    for name in (PATH, FIT, MOVE, SHARE):
        yield Choice(f"{name}, {flags.device}", name, {"device": flags.device})


@contextlib.contextmanager
def prepare(pair: Pair, seed: int, flags: Flags) -> Iterator[Fitted]:
    seconds = 60 * flags.minutes
    yield Fitted(pair, Once(partial(fitted, pair, seed, seconds, flags.device)))


def fitted(pair: Pair, seed: int, seconds: float, device: str) -> OptimalTransport:
    """Fit endless samples for some seconds."""
    ot = OptimalTransport(max_time=seconds, random_state=seed, device=device)
    return ot.fit(pair.source, pair.target)


def measure(found: Fitted, method: str, seed: int, flags: Flags) -> dict[str, Any]:
    if method == PATH:
        return whole_path(flags.device)
    if method == SHARE:
        return busy_share(found.pair, seed, flags)
    ot = found.fit()
    if method == MOVE:
        return moving(ot, found.pair, flags)
    errors = scores.score(ot.map_, found.pair, flags.points, seed)
    return errors | scores.training_facts(ot)


def whole_path(device: str) -> dict[str, Any]:
    """Run the tests of the whole path on a GPU, or on the pretended one; return how many passed and failed."""
    chosen = "gpu" if device.startswith("cuda") else "cpu_gives"
    words = ("-m", "pytest", "-q", "tests/devices/test_whole_path.py", "-k", chosen)
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONGEST_PATH,
    )
    counts = dict.fromkeys(("passed", "failed"), 0)
    for count, name in re.findall(r"(\d+) (passed|failed)", done.stdout):
        counts[name] = int(count)
    return counts


def moving(ot: OptimalTransport, pair: Pair, flags: Flags) -> dict[str, Any]:
    """Return how many rows on the device are moved in a second."""
    x = pair.source(flags.rows, torch.Generator().manual_seed(1)).float()
    x = x.to(flags.device)
    ot.map_(x[:1024])  # first calls are slow
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        moved = ot.map_(x)
        float(moved.sum())  # waits for the device
        seconds.append(time.perf_counter() - began)
    return {"rows_per_second": len(x) / statistics.median(seconds)}


def busy_share(pair: Pair, seed: int, flags: Flags) -> dict[str, Any]:
    """Return the share of a fit's time in which the device computed."""
    kind = ProfilerActivity.CUDA if flags.device != "cpu" else ProfilerActivity.CPU
    began = time.perf_counter()
    with profile(activities=[kind]) as found:
        fitted(pair, seed, flags.profiled, flags.device)
    wall = time.perf_counter() - began
    events = found.key_averages()
    kernels = sum(event.self_device_time_total for event in events)
    return {"busy_percent": kernels / wall / 1e4, "seconds": wall}


TABLE = Table(
    "gpu",
    "gpu",
    (
        Column("tests passed", "passed", ".0f"),
        Column("failed", "failed", ".0f", max),
        scores.FORWARD,
        scores.BACKWARD,
        scores.STEPS,
        Column("rows per second", "rows_per_second", ",.0f"),
        Column("the device computes, % of the time", "busy_percent", ".0f"),
    ),
)
SHORT = TABLE.short(always, "tests passed", "failed", "forward UVP %")
BENCHMARK = Benchmark(
    "gpu",
    __doc__,
    problems,
    methods,
    measure,
    (TABLE, SHORT),
    Arguments(
        (
            flag("--device", default="cuda"),
            flag("--minutes", type=float, default=1.0, help="of the fit (default 1)"),
            flag("--profiled", type=float, default=20.0, help="seconds (default 20)"),
            flag("--rows", type=int, default=4_000_000, help="default 4,000,000"),
        ),
        dims=(64,),
        fixed={"points": 16_384},
        quick={"points": 1024, "minutes": 2 / 60, "profiled": 2.0, "rows": 20_000},
    ),
    prepare,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command where there is the device that it asks for."""
    told = BENCHMARK.arguments.parse(__doc__, arguments)
    if told.device.startswith("cuda") and not torch.cuda.is_available():
        print("no GPU is at hand: nothing was measured")
        return
    BENCHMARK.main(arguments)


if __name__ == "__main__":
    main()
