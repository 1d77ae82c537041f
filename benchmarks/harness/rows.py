"""Rows: (benchmark, problem, method, seed) -> numbers, and where they come from.

    {"benchmark": "gaussians", "problem": "d=16", "method": "default", "seed": 0, "status": "ok", "message": "",
     "warnings": [], "numbers": {...}, "settings": {...}, "provenance": {...}}

Every measurement appends one line to `results/<benchmark>.jsonl`. Nothing is rewritten: the file holds the history.
A measurement that fails is a row as well. The status is

* "ok": every number is finite and every inner problem converged,
* "unconverged": the number called `unconverged` is positive,
* "non-finite": a number is NaN or infinite (null in the file), and the message names it,
* "failed": an exception ended it, and the message names it.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results"
# Numbers that rows of earlier versions hold by another name -> their name today.
RENAMED = {"setbacks": "rollbacks"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        benchmark, problem, method, seed: its key; of several rows with one key the last counts.
        status: "ok", "unconverged", "non-finite" or "failed".
        message: what went wrong, if anything.
        warnings: distinct warnings during the measurement.
        numbers: what was measured, lists for curves; None where it is not a number.
        settings: what was asked for.
        provenance: see `machine.provenance`, and `wall_seconds` and `peak_memory_mib`.
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


def judge(numbers: Mapping[str, Any], failure: str = "") -> tuple[str, str]:
    """Return status and message of a measurement."""
    if failure:
        return "failed", failure
    wrong = [name for name, value in numbers.items() if _is_not_finite(value)]
    if wrong:
        return "non-finite", f"not finite: {', '.join(wrong)}"
    unconverged = numbers.get("unconverged", 0)
    if unconverged:
        return "unconverged", f"{unconverged} inner problems did not converge"
    return "ok", ""


def append(path: Path, row: Row) -> None:
    """Append a row as one line, whole or not at all, whoever else writes to the file."""
    values = dataclasses.asdict(row)
    text = json.dumps(values, allow_nan=False, ensure_ascii=False)
    line = text.encode() + b"\n"
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
    numbers = [f"{name}={_format(value)}" for name, value in row.numbers.items()]
    message = f" ({row.message})" if row.message else ""
    key = f"{row.benchmark} | {row.problem} | {row.method} | seed {row.seed}"
    seconds = row.provenance["wall_seconds"]
    return f"{key} | {row.status}{message} | {seconds:.1f} s | {' '.join(numbers)}"


def finite_or_none(value: Any) -> Any:
    """Return a number, or the numbers of a list, with None for what is not finite."""
    if isinstance(value, list):
        return [finite_or_none(part) for part in value]
    return None if _is_not_finite(value) else value


def _is_not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _parse(line: str, place: str) -> Row:
    try:
        row = Row(**json.loads(line))
        numbers = {
            RENAMED.get(name, name): value for name, value in row.numbers.items()
        }
        return dataclasses.replace(row, numbers=numbers)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{place}: is not a row ({error})") from error


def _format(value: Any) -> str:
    if isinstance(value, list):
        return f"[{len(value)} numbers]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
