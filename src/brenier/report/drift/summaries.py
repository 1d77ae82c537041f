"""What one column of a table holds, in a few figures: enough to say and to draw how two tables differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from brenier.report.drift.settings import DRIFT


@dataclasses.dataclass(frozen=True)
class NumberSummary:
    """A column of numbers, in its own units.

    Attributes:
        rows: that hold a number. Where there are none, all figures are zero.
        missing: rows that hold none.
        mean: of the numbers.
        spread: their standard deviation.
        levels: of `quantiles`, from 0 (the smallest number) to 1 (the largest), the same in all summaries.
        quantiles: one for each level.
        edges: of bars, equally wide and the same in all summaries of one reference.
        shares: of the rows in each bar, one fewer than edges; numbers beyond the edges are in the outer bars.
    """

    rows: int
    missing: int
    mean: float
    spread: float
    levels: tuple[float, ...]
    quantiles: tuple[float, ...]
    edges: tuple[float, ...]
    shares: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class CategorySummary:
    """A column of categories.

    Attributes:
        rows: that hold a category.
        missing: rows that hold none.
        shares: of those rows by category, in the same order in all summaries of one reference: by their share in the
            reference. Rare ones are together, as are those that the reference does not have.
    """

    rows: int
    missing: int
    shares: dict[str, float]


def number_summary(values: np.ndarray, edges: Sequence[float]) -> NumberSummary:
    """Return what numbers (n,) hold, NaN where missing, in bars between these edges."""
    present = values[~np.isnan(values)]
    n = len(present)
    levels, bars = DRIFT.quantiles, len(edges) - 1
    missing = len(values) - n
    if not n:
        zeros = (0.0,) * len(levels)
        return NumberSummary(0, missing, 0.0, 0.0, levels, zeros, tuple(edges), (0.0,) * bars)  # fmt: skip
    inside = np.clip(present, edges[0], edges[-1])
    counts, _ = np.histogram(inside, bins=np.asarray(edges))
    return NumberSummary(
        rows=n,
        missing=missing,
        mean=float(present.mean()),
        spread=spread_of(present),
        levels=levels,
        quantiles=tuple(np.quantile(present, levels).tolist()),
        edges=tuple(edges),
        shares=tuple((counts / n).tolist()),
    )


def spread_of(present: np.ndarray) -> float:
    """Return the standard deviation of numbers (n,), however small or large they are."""
    apart = present - present.mean()
    size = float(np.abs(apart).max())
    return size * float(np.square(apart / size).mean()) ** 0.5 if size > 0 else 0.0


def bar_edges(present: np.ndarray) -> tuple[float, ...]:
    """Return the edges of bars over the bulk of numbers (n,), and some more at either end."""
    low, high = np.quantile(present, (DRIFT.bulk, 1 - DRIFT.bulk)).tolist()
    size = max(abs(low), abs(high), float(np.finfo(np.float32).tiny))
    # Bars of a constant are as wide as it is large.
    width = high - low if high - low > float(np.finfo(np.float32).eps) * size else size
    margin = DRIFT.margin * width
    edges = np.linspace(low - margin, high + margin, DRIFT.bars + 1)
    return tuple(edges.tolist())


def category_summary(
    values: np.ndarray,
    levels: Sequence[str],
    kept: int,
    others: tuple[str, str],
) -> CategorySummary:
    """Return what categories hold, given by their places (n,) among levels.

    Args:
        values: NaN where missing; len(levels) where none of them.
        levels: categories of the reference.
        kept: how many of these are counted one by one.
        others: what rarer and unknown ones are called.
    """
    present = values[~np.isnan(values)].astype(np.int64)
    n = len(present)
    counts = np.bincount(present, minlength=len(levels) + 1) / max(1, n)
    shares = dict(zip(levels[:kept], counts[:kept].tolist(), strict=True))
    rare, new = float(counts[kept : len(levels)].sum()), float(counts[len(levels)])
    if len(levels) > kept:
        shares[others[0]] = rare
    if new:
        shares[others[1]] = new
    return CategorySummary(n, len(values) - n, shares)
