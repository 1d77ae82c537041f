"""The table of factors: what claims are worth whose factor was fixed on other pairs, and the factors that ship."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from benchmarks.certificates.factor import (
    SIDES,
    Judged,
    Verdict,
    as_printed,
    factor,
    left_out,
    ratio_of,
)
from benchmarks.certificates.kappa import MINUTE
from benchmarks.harness import Row, Table
from benchmarks.harness.rows import latest
from benchmarks.harness.tables import markdown, origin
from brenier.transport.maps.certificates.settings import ERROR_FACTORS

COVERING = (1.0, 0.95)
KINDS = ("twin", "matching")
HEAD = (
    "estimated by", "side", "kappa from", "rows", "kappa", "covered", "within 3 x", "claim / true",
    "squared, median", "squared, largest",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FactorTable(Table):
    """Coverage of estimated errors, drawn from all rows together.

    Attributes:
        by_pair: whether there is also a line for each pair that was left out.
    """

    by_pair: bool = False

    def draw(self, rows: Sequence[Row]) -> str:
        """Return the table in Markdown, with the factors of all rows and those that ship."""
        chosen = [row for row in latest(rows) if self.where(row)]
        if not chosen:
            return f"No rows yet: run `python -m benchmarks.{self.benchmark}`."
        lines = [list(HEAD)]
        for kind in KINDS:
            for side in SIDES:
                lines += self._lines(chosen, kind, side)
        table = markdown(lines)
        if self.in_readme:
            return table
        return f"{table}\n\n{_told(chosen)}\n\n{origin(chosen)}"

    def _lines(self, rows: Sequence[Row], kind: str, side: str) -> Iterator[list[str]]:
        """Yield the lines of one kind of estimate and one side."""
        own = [row for row in rows if row.get("kind") == kind]
        for covering in COVERING[: 1 if self.in_readme else None]:
            judged = left_out(own, side, covering)
            name = "other pairs" if covering == 1 else f"other pairs, {covering:.0%}"
            yield from _line(kind, side, name, judged)
            if covering == 1 and self.by_pair:
                yield from _groups(kind, side, judged)
        if not self.in_readme:
            yield from _line(kind, side, "the library", as_printed(own, side))


def _line(
    kind: str, side: str, name: str, judged: Sequence[Judged]
) -> Iterator[list[str]]:
    """Yield the line of some claims, where there are any."""
    if not judged:
        return
    found = Verdict.of(judged)
    yield [
        kind,
        side,
        name,
        str(found.rows),
        _span(*found.factors),
        f"{100 * found.covered:.1f} %",
        f"{100 * found.within:.1f} %",
        _span(found.least, found.largest),
        f"{found.squared_median:.2f}",
        f"{found.squared_largest:.2f}",
    ]


def _groups(kind: str, side: str, judged: Sequence[Judged]) -> Iterator[list[str]]:
    """Yield a line for each pair, one for the fits of a minute, and one for affine maps that were kept."""
    pairs = [each.row.get("pair") for each in judged]
    for pair in dict.fromkeys(pairs):
        own = [each for each in judged if each.row.get("pair") == pair]
        yield from _line(kind, side, f"all but {pair}", own)
    long = [each for each in judged if each.row.get("max_time") >= MINUTE]
    yield from _line(kind, side, "other pairs, fits of a minute", long)
    affine = [each for each in judged if each.row.get("kept_affine")]
    if kind != "twin":
        yield from _line(kind, side, "other pairs, affine map kept", affine)


def _span(low: float, high: float) -> str:
    """Return two numbers, or one where they look alike."""
    first, last = f"{low:.2f}", f"{high:.2f}"
    return first if first == last else f"{first} to {last}"


def _told(rows: Sequence[Row]) -> str:
    """Return the factors of all rows, and those that the library ships with where they are from."""
    parts = []
    for kind in KINDS:
        own = [row for row in rows if row.get("kind") == kind]
        for side in SIDES:
            known = [(ratio_of(row, side), row) for row in own]
            ratios = [(ratio, row) for ratio, row in known if ratio is not None]
            if ratios:
                name = side if kind == "twin" else f"{kind}_{side}"
                shipped = getattr(ERROR_FACTORS, name)
                parts.append(f"`{name}` {_factors(ratios)}, shipped {shipped:g}")
    return (
        f"Factors of all rows: {'; '.join(parts)}. Where the shipped ones are from: "
        f"{ERROR_FACTORS.source}."
    )


def _factors(ratios: Sequence[tuple[float, Row]]) -> str:
    """Return the factors that cover all rows, and most, and the row that the first is from."""
    values = [ratio for ratio, _ in ratios]
    _, row = min(ratios, key=lambda known: known[0])
    most = factor(values, COVERING[1])
    return (
        f"{factor(values):.3f} (from {row.problem}, {row.method}, seed {row.seed}; "
        f"{most:.3f} covers {COVERING[1]:.0%})"
    )
