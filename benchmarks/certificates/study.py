"""What `certify()` claims beside the truth: error of the map, bounds of the distance and of the gap, and cost.

    python -m benchmarks.certificates --tables kappa --part 0 2         # and, at the same time,
    python -m benchmarks.certificates --tables kappa --part 1 2         # 40 min on two cores
    python -m benchmarks.certificates --tables bounds --seeds 0         # 15 min on one
    python -m benchmarks.certificates --tables cost --seeds 0           # 15 min

Every pair has a map that is known in closed form (see `cases`), and rows of both sides are independent draws. Tables:

* kappa: a fit in `--seconds` of the processor, and the errors that its certificate estimates, before they are raised by
  a factor, beside the true ones on new rows. 24 pairs in dimensions 2, 8, 16 and 64, from 1,000 and from 10,000 rows,
  in 8 seconds; in a minute, three pairs of 2 and 16 dimensions from 10,000. The factor by which estimates are raised is
  one over the least of these ratios, and it is judged on pairs that had no part in it: all rows of one name are left
  out together, whatever their dimension. Fitted once, the constants of `ErrorFactors` are those of all rows;
* bounds: how often the bounds hold over `--draws` draws of `--rows` new rows a side, of a map that is fitted once. What
  a search from fifty starts finds below the minima of the certificate beside what its audit takes off;
* cost: seconds of certificates beside those of fits as users make them.

`--missing` goes on where a run was ended. `--part I N` takes every N-th pair from the I-th on, for N processes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from benchmarks.certificates import bounds, cost, kappa
from benchmarks.certificates.calibration import FactorTable
from benchmarks.certificates.cases import KINDS
from benchmarks.certificates.figure import draw_claims
from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Flags,
    Ledger,
    choices,
    flag,
)

PARTS: dict[str, ModuleType] = {"kappa": kappa, "bounds": bounds, "cost": cost}


class Part(NamedTuple):
    """A problem of one of the tables."""

    table: str
    problem: Any


def problems(flags: Flags) -> Iterator[Choice]:
    first, processes = flags.part
    chosen = [
        Choice(found.name, Part(table, found.value), {"table": table, **found.settings})
        for table in flags.tables
        for found in PARTS[table].problems(flags)
    ]
    yield from chosen[first::processes]


def methods(flags: Flags, part: Part) -> Iterator[Choice]:
    yield from PARTS[part.table].methods(flags, part.problem)


def measure(part: Part, method: Any, seed: int, flags: Flags) -> dict[str, Any]:
    """Return the numbers of a row of one of the tables."""
    return PARTS[part.table].measure(part.problem, method, seed, flags)


def finish(ledger: Ledger) -> None:
    """Draw the figure from the rows."""
    draw_claims(ledger.folder)


def _check(parser: argparse.ArgumentParser, flags: Flags) -> None:
    first, processes = flags.part
    if not 0 <= first < processes:
        parser.error(f"--part: {first} of {processes}; give 0 to N - 1, and N")
    if "--threads" not in flags.arguments:
        flags.threads = 1


FACTORS = FactorTable(
    "certificates-factors", "certificates", (), where=kappa.is_kappa, by_pair=True
)
SHORT = FactorTable(
    "certificates-short", "certificates", (), where=kappa.is_kappa, in_readme=True
)
ARGUMENTS = Arguments(
    (
        choices("--tables", PARTS),
        choices("--pairs", KINDS),
        flag(
            "--sizes",
            type=int,
            nargs="+",
            default=list(kappa.SIZES),
            metavar="N",
            help="rows a side of fits (default 1000 10000)",
        ),
        flag(
            "--seconds",
            type=float,
            nargs="+",
            default=[8.0, kappa.MINUTE],
            help="of the processor, of fits (default 8 and, of some pairs, 60)",
        ),
        flag("--draws", type=int, default=200, help="certificates of a map (default 200)"),
        flag("--rows", type=int, default=300, help="new rows a side of each (default 300)"),
        flag(
            "--part",
            type=int,
            nargs=2,
            default=[0, 1],
            metavar=("I", "N"),
            help="every N-th pair from the I-th on",
        ),
    ),
    dims=(2, 8, 16, 64),
    seeds=(0, 1, 2),
    quick_dims=(2,),
    fixed={"points": 10_000, "searched": 1000, "fit_seconds": None, "quick_rows": 400},
    quick={
        "seconds": [1.0],
        "draws": 3,
        "rows": 100,
        "points": 500,
        "searched": 50,
        "fit_seconds": 1.0,
        "seeds": [0],
    },
    check=_check,
)  # fmt: skip
BENCHMARK = Benchmark(
    "certificates",
    __doc__,
    problems,
    methods,
    measure,
    (FACTORS, kappa.TABLE, bounds.TABLE, cost.TABLE, SHORT),
    ARGUMENTS,
    finish=finish,
)
main = BENCHMARK.main
