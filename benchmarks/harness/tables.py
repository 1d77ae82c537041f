"""Tables in Markdown, drawn from the rows alone.

A table is a list of columns over groups of rows. Of several rows with one key the last counts; over seeds a cell is the
median, or the worst. Failures stay visible: a cell without a finite number is a dash, and the last column says how many
rows of the group are "ok" and what happened to the others.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.harness.rows import Row, latest

DASH = "–"
README = "README.md"
MESSAGE = 120  # characters of a failure that are shown

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
        spec: format of a number.
        over: how the seeds of a group become one number: median by default, `max` where the worst counts.
    """

    title: str
    value: str | Value
    spec: str = ".3g"
    over: Over = statistics.median

    def cell(self, rows: Sequence[Row]) -> str:
        """Return the text of a group's cell."""
        values = [self._value(row) for row in rows]
        known = [value for value in values if value is not None]
        if not known:
            return DASH
        if all(_is_number(value) for value in known):
            return format(self.over(known), self.spec)
        if all(isinstance(value, bool) for value in known):
            return "yes" if all(known) and len(known) == len(rows) else "no"
        return ", ".join(dict.fromkeys(map(str, known)))

    def _value(self, row: Row) -> Any:
        return row.get(self.value) if isinstance(self.value, str) else self.value(row)


def always(row: Row) -> bool:
    """Choose every row."""
    return True


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a page.

    Attributes:
        name: of its markers.
        benchmark: whose rows it shows.
        columns: between the key and the status.
        where: which rows.
        by_seed: one line per seed, instead of one for all seeds.
        in_readme: whether it stands in the README, where tables are short, or in `results/<benchmark>.md`.
    """

    name: str
    benchmark: str
    columns: tuple[Column, ...]
    where: Callable[[Row], bool] = always
    by_seed: bool = False
    in_readme: bool = False

    @property
    def page(self) -> str:
        """The page, below the folder of the benchmarks."""
        return README if self.in_readme else f"results/{self.benchmark}.md"

    def short(self, where: Callable[[Row], bool] = always, *titles: str) -> Table:
        """Return the table for the README: fewer rows, and the columns of these titles, or all."""
        return dataclasses.replace(
            self,
            name=f"{self.name}-short",
            columns=tuple(
                column
                for column in self.columns
                if not titles or column.title in titles
            ),
            where=lambda row: self.where(row) and where(row),
            in_readme=True,
        )

    def draw(self, rows: Sequence[Row]) -> str:
        """Return the table in Markdown, with a line on where its numbers come from, or a link to that."""
        chosen = [row for row in latest(rows) if self.where(row)]
        if not chosen:
            return f"No rows yet: run `python -m benchmarks.{self.benchmark}`."
        groups = self._groups(chosen)
        seeds = self._seed_title(groups)
        titles = [column.title for column in self.columns]
        lines = [[self._head(), "method", *seeds, *titles, "status"]]
        for group in groups:
            first = group[0]
            count = str(first.seed if self.by_seed else len(group))
            cells = [column.cell(group) for column in self.columns]
            key = [first.problem, first.method, *([count] if seeds else [])]
            lines.append([*key, *cells, status(group)])
        table = markdown(lines)
        return table if self.in_readme else f"{table}\n\n{origin(chosen)}"

    def _groups(self, rows: Sequence[Row]) -> list[list[Row]]:
        """Return the rows that share a line, by dimension and problem."""
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in sorted(rows, key=lambda row: (row.get("dim") or 0, row.problem)):
            seed = row.seed if self.by_seed else None
            groups.setdefault((row.problem, row.method, seed), []).append(row)
        return list(groups.values())

    def _seed_title(self, groups: Sequence[Sequence[Row]]) -> list[str]:
        if self.by_seed:
            return ["seed"]
        return ["seeds"] if any(len(group) > 1 for group in groups) else []

    def _head(self) -> str:
        """Return the head of the first column, in the README with a link to all rows."""
        return (
            f"[problem](results/{self.benchmark}.md)" if self.in_readme else "problem"
        )


def status(rows: Sequence[Row]) -> str:
    """Return how the rows of a group ended."""
    counts = Counter(row.status for row in rows)
    if set(counts) == {"ok"}:
        return "ok"
    failures = [f"{row.status}: {row.message}" for row in rows if row.status != "ok"]
    texts = [_escape(text[:MESSAGE]) for text in dict.fromkeys(failures)]
    shown = f"{counts['ok']} of {len(rows)} ok; " if len(rows) > 1 else ""
    return shown + "; ".join(texts)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first line is its head."""
    head, *body = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body])


def origin(rows: Sequence[Row]) -> str:
    """Return one paragraph on where these rows come from."""
    facts = [row.provenance for row in rows]

    def all_of(name: str) -> str:
        length = 10 if name == "date" else 19
        return ", ".join(dict.fromkeys(str(fact[name])[:length] for fact in facts))

    commits = ", ".join(dict.fromkeys(_short_commit(fact["commit"]) for fact in facts))
    loads = [fact["load"] for fact in facts]
    return (
        f"*{len(rows)} rows of `results/{rows[0].benchmark}.jsonl`: {all_of('processor')}, {all_of('cores')} cores, "
        f"{all_of('threads')} threads, {all_of('memory_gib')} GiB, load {min(loads):.1f} to {max(loads):.1f} at the "
        f"start of a row; Python {all_of('python')}, torch {all_of('torch')}, numpy {all_of('numpy')}, brenier "
        f"{all_of('brenier')} at {commits}; {all_of('date')}.*"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short_commit(name: str | None) -> str:
    if name is None:
        return "no commit"
    return name[:9] + ("+changes" if name.endswith("+changes") else "")


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
