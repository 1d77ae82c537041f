"""What all benchmarks share: arguments, rows, repeated rows, processes, facts about the machine, and tables.

A benchmark is a `Benchmark`: problems, methods, and a function that measures one method on one problem. Everything
else is here. Rows go to `results/<name>.jsonl`; tables are drawn from the rows alone.
"""

from benchmarks.harness import machine
from benchmarks.harness.arguments import (
    UNLIMITED,
    Arguments,
    Flag,
    Flags,
    choices,
    flag,
    minutes_flag,
)
from benchmarks.harness.ledger import Ledger
from benchmarks.harness.rows import Row
from benchmarks.harness.run import Benchmark, Choice
from benchmarks.harness.tables import Column, Table, always, ratio
from benchmarks.harness.workers import Once, in_new_process

__all__ = [
    "UNLIMITED",
    "Arguments",
    "Benchmark",
    "Choice",
    "Column",
    "Flag",
    "Flags",
    "Ledger",
    "Once",
    "Row",
    "Table",
    "always",
    "choices",
    "flag",
    "in_new_process",
    "machine",
    "minutes_flag",
    "ratio",
]
