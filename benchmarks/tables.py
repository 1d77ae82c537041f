"""Tables, drawn from the rows alone.

    python -m benchmarks.tables       # draws every table of README.md again

A table is a list of columns over groups of rows; of several rows with one key the last counts, and over seeds a cell is
the median, or the worst. Failures stay visible: a cell without a finite number is a dash, and the last column says how
many rows of the group are "ok" and what happened to the others.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.rows import RESULTS, Row, latest, read
from brenier.atomic import write_bytes

BENCHMARKS = (
    "ablation",
    "cells",
    "conditional",
    "cost",
    "finite",
    "gaussians",
    "images.job",
    "inner",
    "limits",
    "neutral",
    "parametrisation",
    "peers.race",
    "plans",
    "processes",
    "throughput",
    "tolerance",
    "w2hd",
)
README = Path(__file__).resolve().parent / "README.md"
DASH = "–"

Value = Callable[[Row], Any]
Over = Callable[[Sequence[float]], float]


def ratio(name: str, other: str) -> Value:
    """Return a column's value: one number over another, or None where a row lacks either."""

    def value(row: Row) -> float | None:
        known = row.get(name) is not None and row.get(other) is not None
        return row.get(name) / row.get(other) if known else None

    return value


@dataclasses.dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: its head, with the target where there is one.
        value: name of a number, setting or fact of a row, or a function of the row; None draws a dash.
        spec: how a number is written.
        over: how the seeds of a group become one number: median by default, `max` where the worst counts.
    """

    title: str
    value: str | Value
    spec: str = ".3g"
    over: Over = statistics.median

    def cell(self, rows: Sequence[Row]) -> str:
        """Return the text of a group's cell."""
        values = [
            row.get(self.value) if isinstance(self.value, str) else self.value(row)
            for row in rows
        ]
        known = [value for value in values if value is not None]
        if not known:
            return DASH
        if all(
            isinstance(value, int | float) and not isinstance(value, bool)
            for value in known
        ):
            return format(self.over(known), self.spec)
        if all(isinstance(value, bool) for value in known):
            return "yes" if all(known) and len(known) == len(rows) else "no"
        return ", ".join(dict.fromkeys(map(str, known)))


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of the README.

    Attributes:
        name: of its markers.
        benchmark: whose rows it shows.
        columns: between the key and the status.
        where: which rows.
        by_seed: one line per seed, rather than one for all seeds.
    """

    name: str
    benchmark: str
    columns: tuple[Column, ...]
    where: Callable[[Row], bool] = lambda row: True
    by_seed: bool = False

    def draw(self, rows: Sequence[Row]) -> str:
        """Return the table in Markdown, with a line on where its numbers come from."""
        chosen = [row for row in latest(rows) if self.where(row)]
        if not chosen:
            return f"No rows yet: run `python -m benchmarks.{self.benchmark}`."
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in sorted(chosen, key=lambda row: (row.get("dim") or 0, row.problem)):
            groups.setdefault(
                (row.problem, row.method, row.seed if self.by_seed else None), []
            ).append(row)
        seeds = (
            ["seed"]
            if self.by_seed
            else ["seeds"]
            if any(len(group) > 1 for group in groups.values())
            else []
        )
        lines = [
            [
                "problem",
                "method",
                *seeds,
                *(column.title for column in self.columns),
                "status",
            ]
        ]
        for (problem, method, _), group in groups.items():
            count = (
                [str(group[0].seed if self.by_seed else len(group))] if seeds else []
            )
            cells = [column.cell(group) for column in self.columns]
            lines.append([problem, method, *count, *cells, status(group)])
        return f"{markdown(lines)}\n\n{origin(chosen)}"


def status(rows: Sequence[Row]) -> str:
    """Return how the rows of a group ended."""
    counts = Counter(row.status for row in rows)
    if set(counts) == {"ok"}:
        return "ok"
    told = dict.fromkeys(
        f"{row.status}: {row.message}" for row in rows if row.status != "ok"
    )
    shown = f"{counts['ok']} of {len(rows)} ok; " if len(rows) > 1 else ""
    return shown + "; ".join(_escape(text[:120]) for text in told)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first line is its head."""
    head, *body = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body])


def origin(rows: Sequence[Row]) -> str:
    """Return one paragraph on where these rows come from."""

    def all_of(name: str) -> str:
        return ", ".join(
            dict.fromkeys(
                str(row.provenance[name])[: 19 if name != "date" else 10]
                for row in rows
            )
        )

    facts = [row.provenance for row in rows]
    commits = ", ".join(dict.fromkeys(_short_commit(fact["commit"]) for fact in facts))
    loads = [fact["load"] for fact in facts]
    return (
        f"*{len(rows)} rows of `results/{rows[0].benchmark}.jsonl`: {all_of('processor')}, {all_of('cores')} cores, "
        f"{all_of('threads')} threads, {all_of('memory_gib')} GiB, load {min(loads):.1f} to {max(loads):.1f} at the "
        f"start of a row; Python {all_of('python')}, torch {all_of('torch')}, numpy {all_of('numpy')}, brenier "
        f"{all_of('brenier')} at {commits}; {all_of('date')}.*"
    )


def fill(text: str, drawn: Mapping[str, str]) -> str:
    """Return text with drawn tables between their markers.

    Raises:
        ValueError: where a table has no markers.
    """
    for name, table in drawn.items():
        pattern = re.compile(
            rf"(<!-- table:{re.escape(name)} -->\n).*?(<!-- /table -->)", re.DOTALL
        )
        parts = pattern.split(text)
        if len(parts) != 4:
            raise ValueError(
                f"table:{name}: its markers occur {len(parts) // 3} times, once is needed"
            )
        before, opening, closing, after = parts
        text = f"{before}{opening}\n{table}\n\n{closing}{after}"
    return text


def update(
    tables: Sequence[Table], folder: Path = RESULTS, readme: Path = README
) -> None:
    """Draw tables from the rows in a folder, and put them into the README."""
    drawn = {
        table.name: table.draw(read(folder / f"{table.benchmark}.jsonl"))
        for table in tables
    }
    write_bytes(readme, fill(readme.read_text(encoding="utf-8"), drawn).encode())


def show(tables: Sequence[Table], folder: Path) -> None:
    """Print the tables of a run that have rows, and put them into the README if its rows are kept there."""
    for table in tables:
        rows = [
            row for row in read(folder / f"{table.benchmark}.jsonl") if table.where(row)
        ]
        if rows:
            print(f"\n{table.draw(rows)}")
    if os.path.abspath(folder) == str(RESULTS):
        update(tables)


def _short_commit(name: str | None) -> str:
    return (
        "no commit"
        if name is None
        else name[:9] + ("+changes" if name.endswith("+changes") else "")
    )


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def every() -> list[Table]:
    """Return the tables of all benchmarks, each of which imports this module."""
    modules = [importlib.import_module(f"benchmarks.{name}") for name in BENCHMARKS]
    return [table for module in modules for table in module.TABLES]


def main() -> None:
    update(every())


if __name__ == "__main__":
    main()
