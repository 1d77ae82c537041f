"""Rows: (benchmark, problem, method, seed) -> numbers, and where they come from.

    {"benchmark": "gaussians", "problem": "d=16", "method": "default", "seed": 0, "status": "ok", "message": "",
     "warnings": [], "numbers": {...}, "settings": {...}, "provenance": {...}}

Every run appends one line to `results/<benchmark>.jsonl`; nothing is ever rewritten, so that history can be read in the
file. A measurement that fails is a row as well. Its status is

* "ok": every number is finite and every inner problem converged,
* "unconverged": the number called `unconverged` is positive,
* "non-finite": a number is NaN or infinite (null in the file), and the message names it,
* "failed": an exception ended it, and the message tells which.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine

RESULTS = Path(__file__).resolve().parent / "results"


@dataclasses.dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        benchmark, problem, method, seed: its key; of several rows with one key the last counts.
        status: "ok", "unconverged", "non-finite" or "failed".
        message: what went wrong, if anything.
        warnings: distinct warnings met on the way.
        numbers: what was measured, lists for curves; None where it is not a number.
        settings: what was asked for.
        provenance: see `machine.provenance`, with `wall_seconds` and `peak_memory_mib`.
    """

    benchmark: str
    problem: str
    method: str
    seed: int
    status: str
    message: str
    warnings: list[str]
    numbers: dict[str, Any]
    settings: dict[str, Any]
    provenance: dict[str, Any]

    def get(self, name: str) -> Any:
        """Return the number, setting, or fact of that name, or None."""
        for part in (self.numbers, self.settings, self.provenance):
            if name in part:
                return part[name]
        return getattr(self, name, None)


@dataclasses.dataclass(frozen=True)
class Ledger:
    """Where the rows of a benchmark go.

    Attributes:
        benchmark: its name.
        folder: the folder of the file of rows.
        arguments: the command line, for provenance.
    """

    benchmark: str
    folder: Path = RESULTS
    arguments: Sequence[str] = ()

    @property
    def path(self) -> Path:
        """The file of rows."""
        return self.folder / f"{self.benchmark}.jsonl"

    def record(
        self,
        problem: str,
        method: str,
        seed: int,
        measure: Callable[[], Mapping[str, Any]],
        **settings: Any,
    ) -> Row:
        """Measure, append a row whatever happens, print a line about it, and return the row."""
        facts = machine.provenance(self.benchmark, self.arguments)
        facts["peak_is_of"] = "row" if machine.reset_peak() else "process"
        began, numbers, failure = time.perf_counter(), dict[str, Any](), ""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                numbers = dict(measure())
            except (
                Exception
            ) as error:  # a benchmark reports failures of every kind and goes on
                failure = f"{type(error).__name__}: {error}"
        facts["wall_seconds"] = round(time.perf_counter() - began, 3)
        facts["peak_memory_mib"] = round(machine.peak_memory(), 1)
        status, message = judge(numbers, failure)
        telling = [
            w.message
            for w in caught
            if not issubclass(w.category, DeprecationWarning | FutureWarning)
        ]
        said = list(
            dict.fromkeys(machine.without_folders(str(told)) for told in telling)
        )
        row = Row(
            self.benchmark,
            problem,
            method,
            seed,
            status,
            machine.without_folders(message),
            said,
            {name: _finite_or_none(value) for name, value in numbers.items()},
            settings,
            facts,
        )
        append(self.path, row)
        print(summary(row), flush=True)
        return row


def judge(numbers: Mapping[str, Any], failure: str = "") -> tuple[str, str]:
    """Return status and message of a measurement."""
    if failure:
        return "failed", failure
    lost = [
        name
        for name, value in numbers.items()
        if isinstance(value, float) and not math.isfinite(value)
    ]
    if lost:
        return "non-finite", f"not finite: {', '.join(lost)}"
    missed = numbers.get("unconverged", 0)
    return (
        ("unconverged", f"{missed} inner problems did not converge")
        if missed
        else ("ok", "")
    )


def append(path: Path, row: Row) -> None:
    """Append a row as one line, whole or not at all, whoever else writes to the file."""
    line = (
        json.dumps(
            dataclasses.asdict(row), allow_nan=False, ensure_ascii=False
        ).encode()
        + b"\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = file.seek(0, os.SEEK_END)
        try:
            written = file.write(line)
            if written != len(line):
                raise OSError(f"{path.name}: {written} of {len(line)} bytes written")
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)
            raise


def read(path: Path) -> list[Row]:
    """Return the rows of a file, oldest first; none where there is no file.

    Raises:
        ValueError: for a line that is not a row.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        _parse(line, f"{path.name}, line {number}")
        for number, line in enumerate(lines, start=1)
    ]


def latest(rows: Sequence[Row]) -> list[Row]:
    """Return the last row of every key, in the order in which keys first appear."""
    found: dict[tuple[str, str, str, int], Row] = {}
    for row in rows:
        found[row.benchmark, row.problem, row.method, row.seed] = row
    return list(found.values())


def summary(row: Row) -> str:
    """Return one line for a terminal."""
    parts = [f"{name}={_short(value)}" for name, value in row.numbers.items()]
    told = f" ({row.message})" if row.message else ""
    head = f"{row.benchmark} | {row.problem} | {row.method} | seed {row.seed} | {row.status}{told}"
    return f"{head} | {row.provenance['wall_seconds']:.1f} s | {' '.join(parts)}"


def _parse(line: str, place: str) -> Row:
    try:
        return Row(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{place}: is not a row ({error})") from error


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"[{len(value)} numbers]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _finite_or_none(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite_or_none(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
