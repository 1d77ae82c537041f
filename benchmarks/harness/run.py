"""A benchmark: problems, methods, and the function that measures one method on one problem.

    BENCHMARK = Benchmark("example", __doc__, problems, methods, measure, TABLES, ARGUMENTS)
    main = BENCHMARK.main

For every problem, seed and method there is one row. `methods` may depend on the problem. What methods of one problem
and seed share is made by `prepare`, only where a row is to be measured.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from benchmarks.harness import pages
from benchmarks.harness.arguments import Arguments, Flags
from benchmarks.harness.ledger import Ledger, open_ledger
from benchmarks.harness.tables import Table


@dataclasses.dataclass(frozen=True)
class Choice:
    """A problem or a method.

    Attributes:
        name: in the rows.
        value: what `measure` is given.
        settings: what the rows keep about it.
    """

    name: str
    value: Any
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _unchanged(problem: Any, seed: int, flags: Flags) -> AbstractContextManager[Any]:
    """Give the methods the problem itself."""
    return contextlib.nullcontext(problem)


def _nothing(ledger: Ledger) -> None:
    """Do nothing after the run."""


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    Attributes:
        name: of the file of rows, and of the command.
        text: what `--help` says.
        problems: flags -> the problems.
        methods: (flags, value of a problem) -> the methods.
        measure: (value of the problem, value of the method, seed, flags) -> numbers of the row.
        tables: drawn from the rows.
        arguments: the command line.
        prepare: (value of a problem, seed, flags) -> a context; `measure` is given what it yields as the problem.
        finish: called after the run.
    """

    name: str
    text: str | None
    problems: Callable[[Flags], Iterable[Choice]]
    methods: Callable[[Flags, Any], Iterable[Choice]]
    measure: Callable[[Any, Any, int, Flags], Mapping[str, Any]]
    tables: tuple[Table, ...]
    arguments: Arguments = dataclasses.field(default_factory=Arguments)
    prepare: Callable[[Any, int, Flags], AbstractContextManager[Any]] = _unchanged
    finish: Callable[[Ledger], None] = _nothing

    def main(self, arguments: Sequence[str] | None = None) -> None:
        """Run the command: measure, append the rows, and draw the tables.

        `flags.results` is the folder of the rows.
        """
        flags = self.arguments.parse(self.text, arguments)
        with open_ledger(self.name, flags) as ledger:
            flags.results = ledger.folder
            for problem in self.problems(flags):
                for seed in flags.seeds:
                    self._run(ledger, problem, seed, flags)
            pages.show(self.tables, ledger.folder)
            self.finish(ledger)

    def _run(self, ledger: Ledger, problem: Choice, seed: int, flags: Flags) -> None:
        """Measure all methods on one problem with one seed."""
        methods = [
            method
            for method in self.methods(flags, problem.value)
            if ledger.wants(problem.name, method.name, seed)
        ]
        if not methods:
            return
        with self.prepare(problem.value, seed, flags) as prepared:
            for method in methods:
                settings = {**problem.settings, **method.settings}
                run = partial(self.measure, prepared, method.value, seed, flags)
                ledger.record(problem.name, method.name, seed, run, **settings)
