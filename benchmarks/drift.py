"""Tests of whether data have changed: false alarms, power beside other libraries, and what many rows cost.

    python -m benchmarks.peers.environments alibi-detect evidently     # once
    python -m benchmarks.drift                                         # all
    python -m benchmarks.drift --cells alarms --draws 1000             # false alarms alone

Every row is of many pairs of samples (`drift_cells.py`), the same for all tests. "found": the share of pairs that a
test calls different at its level of 5 %; "named": the share where a column is named that did not change.

* alarms: samples of one law, Gaussian or of mixed columns, n = 500, 2,000, 50,000 and d = 2, 20, 200. From 10^7 values
  a side on there are a tenth of the draws;
* power: alternatives at n = 500 and 2,000, and the null for the false alarms of every test. Tests of single columns by
  scipy and evidently have Bonferroni's correction; what other libraries decide is said in `peers/drifts.py`;
* groups: n = 20,000, where "auto" permutes groups of rows and "energy" takes some of them, beside all rows;
* rows: seconds and memory of one test of 10,000 to 1,000,000 rows a side and 20 columns.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import stats

from benchmarks.drift_cells import Cell, draw
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Row,
    Table,
    choices,
    flag,
)
from benchmarks.harness.machine import ROOT
from benchmarks.peers import drifts, environments
from brenier.metrics import TwoSampleTest, two_sample_test

LEVEL = 0.05
ALARMS = tuple((n, d) for n in (500, 2_000, 50_000) for d in (2, 20, 200))
ALTERNATIVES = (
    *(("null", 5), ("shift", 5), ("shift", 20), ("variance", 5)),
    *(("faults", 5), ("correlation", 5), ("signs", 5)),
)
SIZES = (500, 2_000)
MANY = 10**7  # values of a side from which there are a tenth of the draws
SMALL_SHIFT, GROUPED = 0.03, 20_000
ROWS = (10_000, 100_000, 1_000_000)


class Compared(NamedTuple):
    """A cell, the seed, and what the peers say of its draws: peer -> decisions of its tests."""

    cell: Cell
    seed: int
    peers: Callable[[str], dict[str, Any]]


def ours(x: np.ndarray, z: np.ndarray, number: int, **arguments: Any) -> TwoSampleTest:
    permutations = arguments.pop("permutations")
    return two_sample_test(
        torch.from_numpy(x),
        torch.from_numpy(z),
        permutations=permutations,
        level=LEVEL,
        seed=number,
        **arguments,
    )


def by_columns(
    test: Callable[[np.ndarray, np.ndarray], float], x: np.ndarray, z: np.ndarray
) -> bool:
    """Say whether a test of columns finds one, with Bonferroni's correction."""
    found = [test(x[:, k], z[:, k]) for k in range(x.shape[1])]
    return min(found) <= LEVEL / len(found)


SCIPY: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "scipy, ks_2samp": lambda a, b: float(stats.ks_2samp(a, b, method="asymp").pvalue),
    "scipy, anderson_ksamp": lambda a, b: float(stats.anderson_ksamp([a, b]).pvalue),
}


def problems(flags: Flags) -> Iterator[Choice]:
    if "power" in flags.cells:
        for n in SIZES:
            for kind, d in ALTERNATIVES if n in flags.sizes else ():
                yield Choice(f"power: {kind} n={n} d={d}", Cell(kind, n, d))
    if "rows" in flags.cells:
        for n in ROWS[: 1 if flags.quick else None]:
            yield Choice(f"rows: n={n} d=20", Cell("shift", n, 20, 10 / n))
    if "groups" in flags.cells:
        for kind, n in (("null", GROUPED), ("shift", GROUPED)):
            cell = Cell(kind, n // 10 if flags.quick else n, 5, SMALL_SHIFT)
            yield Choice(f"groups: {kind} n={cell.n} d=5", cell)
    if "alarms" in flags.cells:
        for n, d in sorted(ALARMS, key=np.prod):
            laws = {"gaussian": "null", "mixed": "mixed"} if n in flags.sizes else {}
            for law, kind in laws.items():
                yield Choice(f"alarms: {law} n={n} d={d}", Cell(kind, n, d))


def methods(flags: Flags, cell: Cell) -> Iterator[Choice]:
    told = {"n": cell.n, "d": cell.d, "permutations": flags.permutations}
    if cell.d == 20 and cell.shift != 0.1:
        yield Choice("brenier", "seconds", {**told, "permutations": 999})
        return
    draws = flags.draws // (10 if cell.n * cell.d >= MANY else 1)
    told |= {"draws": max(2, draws)}
    if cell.shift == SMALL_SHIFT:
        told |= {"draws": max(2, draws // 2)}
        for name, arguments in (
            ("brenier, groups", {}),
            ("brenier, 200 groups", {"max_points": 200}),
            ("brenier, all rows permuted", {"max_points": GROUPED}),
            ("brenier, energy of 2,000 rows", {"statistic": "energy"}),
        ):
            yield Choice(name, arguments, {**told, **arguments})
        return
    yield Choice("brenier", {}, told)
    if (cell.kind, cell.d) not in ALTERNATIVES or cell.n not in SIZES:
        return
    for name, test in SCIPY.items():
        yield Choice(name, test, told)
    for peer in flags.ready:
        for name in drifts.TESTS[peer]:
            yield Choice(name, (peer, name), told)


@contextlib.contextmanager
def prepare(cell: Cell, seed: int, flags: Flags) -> Iterator[Compared]:
    yield Compared(cell, seed, functools.cache(partial(ask, cell, seed, flags)))


def ask(cell: Cell, seed: int, flags: Flags, peer: str) -> dict[str, Any]:
    """Return what a peer decides on all draws, in its own environment.

    Raises:
        RuntimeError: where its worker fails, with the last line it wrote.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        job = {"peer": peer, "cell": cell, "seed": seed, "level": LEVEL}
        most = max(2, flags.draws // (2 if cell.n <= min(SIZES) else 8))
        job |= {"draws": flags.draws, "draws_of_all_pairs": most}
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        command = [str(environments.python(peer)), "-W", "ignore"]
        command += ["-m", "benchmarks.peers.drifts", str(folder)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
            raise RuntimeError(f"{peer}: {lines[-1]}")
        found: dict[str, Any] = json.loads((folder / "answer.json").read_text("utf-8"))
        return found


def measure(compared: Compared, method: Any, seed: int, flags: Flags) -> dict[str, Any]:
    cell = compared.cell
    if method == "seconds":
        return seconds(cell, seed)
    if isinstance(method, tuple):
        peer, name = method
        told = compared.peers(peer)
        decided = told["decisions"][name]
        share = sum(decided) / len(decided)
        return {"found": share, "drawn": len(decided), "library": told["library"]}
    draws = max(2, flags.draws // (10 if cell.n * cell.d >= MANY else 1))
    if cell.shift == SMALL_SHIFT:
        draws = max(2, flags.draws // 2)
    found, named, took = 0, 0, 0.0
    for number in range(draws):
        x, z = draw(cell, seed, number)
        began = time.perf_counter()
        if callable(method):
            found += by_columns(method, x, z)
        else:
            answer = ours(x, z, number, permutations=flags.permutations, **method)
            found += answer.differs
            named += _names_unchanged(answer, cell)
        took += time.perf_counter() - began
    numbers = {"found": found / draws, "drawn": draws, "test_seconds": took / draws}
    return numbers if callable(method) else {**numbers, "named": named / draws}


def _names_unchanged(answer: TwoSampleTest, cell: Cell) -> bool:
    """Say whether a column that did not change has a p-value of at most the level."""
    if answer.column_p_values is None:
        return False
    first = int(cell.kind in ("shift", "variance", "faults"))
    return bool((answer.column_p_values[first:] <= LEVEL).any())


def seconds(cell: Cell, seed: int) -> dict[str, Any]:
    """Return what one test takes with its default settings, of samples in single precision."""
    generator = torch.Generator().manual_seed(seed)
    x, z = torch.randn(2, cell.n, cell.d, generator=generator)
    began = time.perf_counter()
    answer = two_sample_test(x, z)
    took = time.perf_counter() - began
    return {"test_seconds": took, "used": answer.rows[0], "p_value": answer.p_value}


def _check(parser: Any, flags: Flags) -> None:
    """Find the peers that have an environment; say how to make those of the others."""
    missing = {peer: environments.missing(peer) for peer in flags.peers}
    for advice in filter(None, missing.values()):
        print(f"skipped: {advice}", flush=True)
    flags.ready = [peer for peer in flags.peers if not missing[peer]]


def _of(word: str) -> Callable[[Row], bool]:
    return lambda row: row.problem.startswith(f"{word}:")


FOUND = Column("found", "found", ".3f")
DRAWS = Column("draws", "drawn", ",.0f")
NAMED = Column("named in error", "named", ".3f")
TOOK = Column("seconds a test", "test_seconds", ".2f")
POWER = Table("drift-power", "drift", (FOUND, DRAWS, NAMED, TOOK), _of("power"))
GROUPS = Table("drift-groups", "drift", (FOUND, DRAWS, NAMED, TOOK), _of("groups"))
FALSE_ALARMS = Table(
    "drift-alarms", "drift", (FOUND, DRAWS, NAMED, TOOK), _of("alarms")
)
SECONDS = Table(
    "drift-rows",
    "drift",
    (
        Column("seconds", "test_seconds", ".1f"),
        Column("rows used of a side", "used", ",.0f"),
        Column("peak memory, MiB", "peak_memory_mib", ",.0f"),
    ),
    _of("rows"),
)
OTHERS = ("brenier", "scipy, anderson_ksamp", "alibi-detect, MMD")
SHORT = POWER.short(
    lambda row: row.problem == "power: shift n=2000 d=5" and row.method in OTHERS,
    FOUND.title,
    DRAWS.title,
)
ARGUMENTS = Arguments(
    (
        choices("--cells", ("power", "rows", "groups", "alarms")),
        choices("--peers", drifts.PEERS),
        flag("--draws", type=int, default=200, help="pairs per row (default 200)"),
        flag("--sizes", type=int, nargs="+", metavar="N", default=[500, 2_000, 50_000]),
        flag("--permutations", type=int, default=199, help="per test (default 199)"),
    ),
    quick={"draws": 4, "sizes": [500]},
    check=_check,
)
BENCHMARK = Benchmark(
    "drift",
    __doc__,
    problems,
    methods,
    measure,
    (POWER, GROUPS, FALSE_ALARMS, SECONDS, SHORT),
    ARGUMENTS,
    prepare,
)
main = BENCHMARK.main

if __name__ == "__main__":
    main()
