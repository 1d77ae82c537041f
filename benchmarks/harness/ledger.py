"""Measuring: a function is called, and what it returns becomes a row, whatever happens."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import machine, rows
from benchmarks.harness.arguments import Flags
from benchmarks.harness.rows import RESULTS, Row

Measure = Callable[[], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Ledger:
    """Where the rows of a benchmark go.

    Attributes:
        benchmark: its name.
        folder: the folder of the file of rows.
        arguments: the command line, for provenance.
        retries: how often a failed measurement is repeated at once.
        missing: whether rows that are there, and did not fail, are left as they are.
    """

    benchmark: str
    folder: Path = RESULTS
    arguments: Sequence[str] = ()
    retries: int = 0
    missing: bool = False

    @property
    def path(self) -> Path:
        """The file of rows."""
        return self.folder / f"{self.benchmark}.jsonl"

    def wants(self, problem: str, method: str, seed: int) -> bool:
        """Say whether a row is to be measured."""
        return (problem, method, seed) not in self._kept

    def record(
        self, problem: str, method: str, seed: int, measure: Measure, **settings: Any
    ) -> Row:
        """Measure, append a row whatever happens, print a line about it, and return the row.

        A failed measurement is repeated `retries` times; every attempt is a row.
        """
        for _ in range(1 + self.retries):
            row = self._measure(problem, method, seed, measure, settings)
            rows.append(self.path, row)
            print(rows.summary(row), flush=True)
            if row.status != "failed":
                break
        return row

    @functools.cached_property
    def _kept(self) -> set[tuple[str, str, int]]:
        """Keys of the rows that are left as they are."""
        if not self.missing:
            return set()
        known = rows.latest(rows.read(self.path))
        return {
            (row.problem, row.method, row.seed)
            for row in known
            if row.status != "failed"
        }

    def _measure(
        self,
        problem: str,
        method: str,
        seed: int,
        measure: Measure,
        settings: dict[str, Any],
    ) -> Row:
        facts = machine.provenance(self.benchmark, self.arguments)
        facts["peak_is_of"] = "row" if machine.reset_peak() else "process"
        began = time.perf_counter()
        numbers, failure, caught = _call(measure)
        facts["wall_seconds"] = round(time.perf_counter() - began, 3)
        facts["peak_memory_mib"] = round(machine.peak_memory(), 1)
        status, message = rows.judge(numbers, failure)
        return Row(
            self.benchmark,
            problem,
            method,
            seed,
            status,
            machine.without_folders(message),
            caught,
            {name: rows.finite_or_none(value) for name, value in numbers.items()},
            settings,
            facts,
        )


def _call(measure: Measure) -> tuple[dict[str, Any], str, list[str]]:
    """Return the numbers, the failure or nothing, and the distinct warnings."""
    numbers: dict[str, Any] = {}
    failure = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            numbers = dict(measure())
        except Exception as error:  # failures of every kind are rows
            failure = f"{type(error).__name__}: {error}"
    texts = [
        machine.without_folders(str(warning.message))
        for warning in caught
        if not issubclass(warning.category, DeprecationWarning | FutureWarning)
    ]
    return numbers, failure, list(dict.fromkeys(texts))


@contextlib.contextmanager
def open_ledger(benchmark: str, flags: Flags) -> Iterator[Ledger]:
    """Yield where rows go: `--out`, a temporary folder with `--quick`, or `results/`."""
    arguments = list(flags.arguments)
    if flags.out is not None:
        hidden = ("--out", str(flags.out))
        arguments = [part for part in arguments if part not in hidden]
    with contextlib.ExitStack() as stack:
        folder = flags.out or RESULTS
        if flags.quick and flags.out is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        yield Ledger(benchmark, folder, arguments, flags.retries, flags.missing)
