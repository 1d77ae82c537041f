"""Draws all tables again: the short ones of README.md, and those of results/*.md.

python -m benchmarks.tables
"""

from __future__ import annotations

import importlib

from benchmarks.harness import Benchmark
from benchmarks.harness.pages import update

# The modules that hold a benchmark.
MODULES = (
    "ablation",
    "budget_time",
    "bulk",
    "cells",
    "certificates.study",
    "conditional",
    "control.study",
    "cost",
    "costs",
    "distance",
    "drift",
    "export",
    "finite",
    "gaussians",
    "gpu",
    "images.job",
    "inner",
    "limits",
    "masses",
    "ncf",
    "neutral",
    "parametrisation",
    "peers.race",
    "physics.job",
    "plans",
    "processes",
    "rivals.accuracy",
    "scaling",
    "shapes",
    "streams",
    "throughput",
    "tolerance",
    "w2hd",
    "weights",
)


def every() -> list[Benchmark]:
    """Return all benchmarks."""
    modules = [importlib.import_module(f"benchmarks.{name}") for name in MODULES]
    return [module.BENCHMARK for module in modules]


def main() -> None:
    update([table for benchmark in every() for table in benchmark.tables])


if __name__ == "__main__":
    main()
