"""The worker of POT: maps from discrete plans, on as many rows of the pool as fit in the time.

    exact plan      the rows are doubled, from 1,024, while another doubling (at most eight times the seconds) fits
    kernel map      the same, from 128
    entropic map    4,096 rows, fewer where time is short; the grid of epsilon ends when time is up
    linear map      the whole pool

`benchmarks/discrete.py` says what the maps are. The seconds are those of the last fit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks.peers.worker import Answer, Job, work

FIRST = {"exact plan": 1024, "kernel map": 128}
GROWTH = 8  # of the seconds when rows double
ENTROPIC = 4096
GRID = 0.6  # of the seconds, for choosing epsilon; the rest for the fit to all rows
ENOUGH = 20.0  # seconds for ENTROPIC rows


def largest(
    fit: Callable[[int], Any], first: int, most: int, seconds: float
) -> tuple[Any, int, float]:
    """Return what fit(n) returns, n and the seconds it took, for the largest n = first, 2 first, ... that fits."""
    n, left = min(first, most), seconds
    while True:
        began = time.perf_counter()
        found = fit(n)
        took = time.perf_counter() - began
        left -= took
        if n == most or GROWTH * took > left:
            return found, n, took
        n = min(2 * n, most)


def run(job: Job) -> Answer:
    import numpy as np
    import ot

    from benchmarks import discrete

    name = job.recipe["name"]

    def rows(n: int) -> tuple[Any, Any]:
        return job.source[:n].astype(np.float64), job.target[:n].astype(np.float64)

    kinds: dict[str, Callable[[int], discrete.Maps]] = {
        "exact plan": lambda n: discrete.exact_plan(*rows(n)),
        "kernel map": lambda n: discrete.kernel_map(*rows(n)),
        "entropic map": lambda n: discrete.entropic_map(
            *rows(n), GRID * job.seconds, job.seed
        ),
        "linear map": lambda n: discrete.linear_map(*rows(n)),
    }
    size = len(job.source)
    if name in FIRST:
        maps, n, took = largest(kinds[name], FIRST[name], size, job.seconds)
    else:
        most = ENTROPIC if job.seconds >= ENOUGH else ENTROPIC // 4
        n = size if name == "linear map" else min(most, size)
        began = time.perf_counter()
        maps = kinds[name](n)
        took = time.perf_counter() - began
    numbers = {
        "library": f"pot {ot.__version__}",
        "fit_seconds": took,
        "excluded_seconds": 0.0,
        "used": n,
    }
    return Answer(maps.forward(job.x), maps.backward(job.z), numbers | maps.facts)


if __name__ == "__main__":
    work(run)
