"""Rows with extreme values: which they are, in words, and a population without those that are no part of its law."""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor

from brenier.datasets import Population, Rows, ScanRows
from brenier.estimators.settings import FitSettings
from brenier.statistics import Extreme, Found, extremes

AnySide = TypeVar("AnySide", bound=Population)


@dataclasses.dataclass(frozen=True)
class Looked:
    """Rows of one side that are looked at.

    Attributes:
        rows: (n, d), float64.
        numbers: (n,), of these rows in what was given, or None for samples drawn from a function.
        columns: what the columns are called in messages.
        where: of which class they are, in words, or nothing.
    """

    rows: Tensor
    numbers: Tensor | None
    columns: Sequence[str]
    where: str = ""

    def without(self, found: Sequence[Extreme]) -> Looked:
        """Return the rows that have none of some extreme values."""
        inside = ~held(found, self.rows)
        numbers = None if self.numbers is None else self.numbers[inside]
        return dataclasses.replace(self, rows=self.rows[inside], numbers=numbers)


def look_at(
    side: Population, columns: Sequence[str], settings: FitSettings, where: str = ""
) -> Looked:
    """Return the rows of a population that are looked at: all, or so many as `inspected_numbers` allows.

    They are drawn by a generator of their own, so that nothing that a fit draws depends on it.
    """
    most = settings.inspection.inspected_numbers // side.dim
    most = max(most, settings.split.held_out_rows)
    if not side.in_memory:
        most = min(most, settings.pipeline.coordinate_rows)
    generator = torch.Generator().manual_seed(0)
    if not isinstance(side, Rows):
        rows = side.sample_distinct(most, generator).cpu()
        return Looked(rows, None, columns, where)
    chosen = torch.arange(side.size)
    if side.size > most:
        chosen = torch.randperm(side.size, generator=generator)[:most].sort().values
    numbers = chosen if side.index is None else side.index[chosen]
    sampled = Rows(side.values, side.name, numbers)
    rows = sampled.sample_distinct(len(numbers), generator).cpu()
    if side.size > most and isinstance(side.values, Tensor):
        numbers = torch.cat([numbers, _far_beyond(side, rows)])
        sampled = Rows(side.values, side.name, numbers)
        rows = sampled.sample_distinct(len(numbers), generator).cpu()
    return Looked(rows, numbers, columns, where)


def _far_beyond(side: Rows, rows: Tensor) -> Tensor:
    """Return the numbers of rows in memory that lie a hundred times as far out as all that were sampled (n, d)."""
    low, high = rows.amin(0), rows.amax(0)
    margin = 100 * (high - low)
    found = []
    for extreme, at in (
        torch.as_tensor(side.values).min(0),
        torch.as_tensor(side.values).max(0),
    ):
        own = extreme.cpu().double()
        found.append(at.cpu()[(own < low - margin) | (own > high + margin)])
    beyond = torch.cat(found).unique()
    return beyond if side.index is None else beyond[torch.isin(beyond, side.index)]


class WildRows:
    """The extreme values that were found, side by side and class by class, and which of their rows are left out.

    Args:
        settings: `inspection` and `extremes`.
    """

    def __init__(self, settings: FitSettings) -> None:
        self.settings = settings
        self._told: dict[tuple[str, str, bool], list[str]] = defaultdict(list)

    def find(self, looked: Looked, name: str) -> list[Extreme]:
        """Return what says which rows of a side are to be left out, and remember what is to be told of it."""
        found = extremes(looked.rows, self.settings.extremes)
        out = [extreme for extreme in found if self._is_out(extreme)]
        share = float(held(out, looked.rows).double().mean())
        kept = share > self.settings.inspection.max_left_out
        for extreme in found:
            left = extreme in out and not kept
            told = self._entry(extreme, looked)
            self._told[name, extreme.kind.value, left].append(told)
        return [] if kept else out

    def messages(self) -> list[str]:
        """Return what is to be told, a message for each side and kind."""
        most = self.settings.inspection.told_columns
        written = []
        for (name, kind, left), entries in self._told.items():
            more = f"; and {len(entries) - most} more" if len(entries) > most else ""
            listed = "; ".join(entries[:most]) + more
            written.append(f"{name}: {listed}. {_advice(Found(kind), left)}")
        return written

    def _is_out(self, extreme: Extreme) -> bool:
        """Say whether rows with these values are to be left out."""
        inspection = self.settings.inspection
        if not inspection.leave_out_wild:
            return False
        if extreme.kind is Found.CODE:
            return extreme.distance >= inspection.code_distance
        return extreme.kind is Found.WILD

    def _entry(self, extreme: Extreme, looked: Looked) -> str:
        """Return in words what was found in a column."""
        rows = extreme.holds(looked.rows)
        column = looked.columns[extreme.column] + looked.where
        many = f"{int(rows.sum()):,} of {len(rows):,} rows"
        if looked.numbers is not None:
            many += _listed(looked.numbers[rows], self.settings.inspection.told_rows)
        value, away = f"{extreme.value:.6g}", f"{extreme.distance:.3g} spreads"
        if extreme.kind is Found.CODE:
            return f"{column} repeats {value} in {many}, far from all other values, as codes for missing values do"
        if extreme.kind is Found.TAIL:
            log = "log1p" if float(looked.rows[:, extreme.column].min()) > -1 else ""
            remedy = f"numpy.{log or 'arcsinh'}"
            share = f"{100 * extreme.moment:.3g} %"
            return f"{column} has a heavy tail: {many} carry {share} of its variance (try {remedy})"
        if extreme.kind is Found.CLUSTER:
            return f"{column} has a cluster of {many}, {away} from all others"
        return f"{column} has wild values, up to {value}, in {many}, {away} from the others"


def held(found: Sequence[Extreme], rows: Tensor) -> Tensor:
    """Say which rows (n, d) have one of some extreme values: (n,)."""
    wild = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    for extreme in found:
        wild |= extreme.holds(rows)
    return wild


def without(side: AnySide, found: Sequence[Extreme]) -> AnySide:
    """Return a population without the rows that have one of some extreme values: itself where there are none."""
    if not found:
        return side
    if isinstance(side, Rows):
        chunks = side.chunks(side.size, torch.Generator())
        kept = torch.cat([~held(found, chunk.rows).cpu() for chunk in chunks])
        numbers = torch.nonzero(kept).flatten()
        index = numbers if side.index is None else side.index[numbers]
        return dataclasses.replace(side, index=index)
    if isinstance(side, ScanRows):
        return cast(AnySide, side.without(functools.partial(held, found)))
    whole = side

    def drawn(n: int, generator: torch.Generator) -> Tensor:
        rows = whole.sample(n, generator)
        wild = held(found, rows)
        while bool(wild.any()):
            rows[wild] = whole.sample(int(wild.sum()), generator)
            wild = held(found, rows)
        return rows

    return dataclasses.replace(side, sampler=drawn)


def _listed(numbers: Tensor, most: int) -> str:
    """Return the first of some row numbers in brackets."""
    given = numbers.tolist()
    words = ", ".join(map(str, given[:most]))
    return f" ({'row' if len(given) == 1 else 'rows'} {words}{', ...' if len(given) > most else ''})"


def _advice(kind: Found, left: bool) -> str:
    """Return what comes of it and what to do."""
    if kind is Found.TAIL:
        return (
            "A few rows decide the map and its distance; transform the column on both sides before the fit, and back "
            "after it, as the function named does, or by ranks"
        )
    if kind is Found.CLUSTER:
        return (
            "Beside so long a way all other differences count next to nothing: if these rows are a fault, drop or mend "
            "them; if they are a kind of their own, fit with labels"
        )
    mend = "drop these rows, or mend the values"
    if left:
        return (
            f"They would decide the map of all rows, so the fit and its distance leave them out; {mend}, or pass "
            "settings={'leave_out_wild': False} to keep them"
        )
    return f"They take part in the fit and may decide the map of all rows; {mend}"
