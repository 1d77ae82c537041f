"""How columns become figures that can be compared: rules that a reference sets, and every later table is read by.

A number is measured from its mean in the reference, in standard deviations of the reference; where wild rows would make
that large, in quartile ranges over 1.349, which is the same for a normal law. A category c is the point s e_c, where
e_c is the c-th unit vector and

    s = (1 - sum_c p_c^2)^(-1/2),    p_c the share of c in the reference,

so that the total variance of its columns is one, as that of a number. Two categories are one column of 0 and s sqrt(2),
as far apart. Categories that are rare in the reference are one together; those it does not have are one more.

A column that is constant in the reference becomes one that says which rows differ from it: 0 or 1.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from brenier.datasets import CATEGORY, EMPTY, NUMBER, MixedColumn
from brenier.errors import DataError
from brenier.model_files import Told
from brenier.report.drift.settings import DRIFT
from brenier.report.drift.summaries import (
    CategorySummary,
    NumberSummary,
    bar_edges,
    category_summary,
    number_summary,
    spread_of,
)

ENCODING = (
    "A number counts in standard deviations of the reference (where wild rows make these large, in quartile ranges "
    "over 1.349). A category counts by its own column, scaled so that all columns of a feature have a total variance "
    "of one in the reference; rare categories are taken together, and so are new ones."
)
RARE, NEW = "(rarer ones)", "(new ones)"
MISSING_LEVEL, PRESENT_LEVEL = "missing", "present"


@dataclasses.dataclass(frozen=True)
class ColumnRule:
    """How one feature is read from its column.

    Attributes:
        name: of the feature.
        column: of the table that it is read from; where that is another name, the feature says which of its values are
            missing.
        kind: "number" or "category".
        constant: whether all rows of the reference are alike.
        centre: mean of a number in the reference.
        spread: what a number is measured in, of a category the side s; 1 where the reference is constant.
        robust: whether `spread` is of quartiles.
        fill: what a missing value becomes: a number or the place of a category; None where that is no policy.
        levels: categories of the reference, the most frequent first.
        kept: how many of them are looked at one by one.
        summary: of the reference.
    """

    name: str
    column: str
    kind: str
    constant: bool
    centre: float
    spread: float
    robust: bool
    fill: float | None
    levels: tuple[str, ...]
    kept: int
    summary: NumberSummary | CategorySummary

    @property
    def tells_missing(self) -> bool:
        """Whether the feature says which values of a column are missing."""
        return self.column != self.name

    def read(self, column: MixedColumn) -> np.ndarray:
        """Return a column as this feature: numbers, or places among the levels, (n,); NaN where missing and not filled.

        A category that the reference does not have is at the place len(levels).
        """
        if self.tells_missing:
            column = missing_column(column)
        if self.kind == NUMBER:
            found = column.values.astype(np.float64)
        else:
            known = {level: place for place, level in enumerate(self.levels)}
            new = len(self.levels)
            places = [known.get(level, new) for level in column.levels]
            table = np.array([*places, np.nan], dtype=np.float64)
            found = table[column.values.astype(np.int64)]  # -1 is the last, NaN
        if column.kind == EMPTY:
            found = np.full(len(column.values), np.nan)
        return found if self.fill is None else np.where(np.isnan(found), self.fill, found)  # fmt: skip

    def encode(self, values: np.ndarray, with_new: bool = True) -> np.ndarray:
        """Return values of the feature, as `read` returns them, in columns of comparable scale: (n,) -> (n, columns).

        Args:
            values: none of them missing.
            with_new: whether there is a column of categories that the reference does not have, or, of a constant, of
                rows that differ; if not, a constant has no columns.
        """
        if self.constant:
            differs = (values != self.centre)[:, None].astype(np.float64)
            return differs if with_new else differs[:, :0]
        if self.kind == NUMBER:
            return ((values - self.centre) / self.spread)[:, None]
        ranks = np.arange(self.kept)
        columns = values[:, None] == ranks
        if len(self.levels) > self.kept:
            rare = (values >= self.kept) & (values < len(self.levels))
            columns = np.column_stack([columns, rare])
        scale = self.spread
        if columns.shape[1] == 2:
            columns, scale = columns[:, 1:], scale * math.sqrt(2)
        if with_new:
            columns = np.column_stack([columns, values == len(self.levels)])
        return scale * columns

    def has_new(self, values: np.ndarray) -> bool:
        """Say whether values hold what the reference has not, and `encode` needs a column for."""
        if self.constant:
            return bool((values != self.centre).any())
        return self.kind == CATEGORY and bool((values == len(self.levels)).any())

    def summarise(self, values: np.ndarray) -> NumberSummary | CategorySummary:
        """Return what values of the feature hold, as `read` returns them, some of them perhaps missing."""
        if isinstance(self.summary, NumberSummary):
            return number_summary(values, self.summary.edges)
        return category_summary(values, self.levels, self.kept, (RARE, NEW))

    def to_json(self) -> dict[str, Any]:
        """Return the rule as JSON holds it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, held: Told) -> ColumnRule:
        """Return the rule that JSON holds."""
        summary = {
            name: tuple(part) if isinstance(part, list) else part
            for name, part in held["summary"].items()
        }
        known: dict[str, type] = {NUMBER: NumberSummary, CATEGORY: CategorySummary}
        kind = known[held["kind"]]
        levels = tuple(map(str, held["levels"]))
        return cls(**{**held, "levels": levels, "summary": kind(**summary)})


def missing_column(column: MixedColumn) -> MixedColumn:
    """Return which values of a column are missing, as a column of categories."""
    codes = column.missing.astype(np.int64)
    return dataclasses.replace(
        column, kind=CATEGORY, values=codes, levels=(PRESENT_LEVEL, MISSING_LEVEL)
    )


def rule_for(column: MixedColumn, filled: bool) -> ColumnRule | str:
    """Return how a column of the reference is read, or why it is not compared.

    Args:
        column: of the reference.
        filled: whether missing values are filled: by the median, or the most frequent category.
    """
    if column.kind == EMPTY:
        return "all its values are missing"
    if column.kind == NUMBER:
        return _number_rule(column, filled)
    if column.kind != CATEGORY:
        return f"holds {column.kind}; turn them into numbers, such as days since the first"  # fmt: skip
    return _category_rule(column, filled)


def missing_rule(column: MixedColumn) -> ColumnRule:
    """Return how the feature is read that says which values of a column are missing."""
    told = _category_rule(missing_column(column), filled=False)
    if isinstance(told, str):  # two categories are never too many
        raise DataError(f"{column.name}: {told}")
    return dataclasses.replace(told, name=f"missing: {column.name}", column=column.name)


def _number_rule(column: MixedColumn, filled: bool) -> ColumnRule:
    """Return how a column of numbers is read."""
    values = column.values.astype(np.float64)
    present = values[~np.isnan(values)]
    low, middle, high = np.quantile(present, (0.25, 0.5, 0.75)).tolist()
    spread, robust = spread_of(present), False
    quartiles = (high - low) / 1.349
    if 0 < quartiles * DRIFT.wild < spread:
        spread, robust = quartiles, True
    constant = bool((present == present[0]).all()) or not spread > 0
    return ColumnRule(
        name=column.name,
        column=column.name,
        kind=NUMBER,
        constant=constant,
        centre=float(present[0] if constant else present.mean()),
        spread=1.0 if constant else spread,
        robust=robust,
        fill=middle if filled else None,
        levels=(),
        kept=0,
        summary=number_summary(values, bar_edges(present)),
    )


def _category_rule(column: MixedColumn, filled: bool) -> ColumnRule | str:
    """Return how a column of categories is read, or why it is not."""
    places = column.values[column.values >= 0].astype(np.int64)
    counts = np.bincount(places, minlength=len(column.levels))
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    levels = tuple(column.levels[place] for place in order)
    many = len(levels) > DRIFT.max_level_share * len(column.values)
    if len(levels) > DRIFT.max_levels or (many and len(levels) > DRIFT.few_levels):
        return f"holds {len(levels):,} different categories in {len(column.values):,} rows, as names of rows do"
    shares = counts[order] / counts.sum()
    impurity = max(DRIFT.least_impurity, 1 - float((shares**2).sum()))
    kept = len(levels) if len(levels) <= DRIFT.kept_levels + 1 else DRIFT.kept_levels
    rule = ColumnRule(
        name=column.name,
        column=column.name,
        kind=CATEGORY,
        constant=len(levels) == 1,
        centre=0.0,
        spread=1.0 if len(levels) == 1 else impurity**-0.5,
        robust=False,
        fill=0.0 if filled else None,
        levels=levels,
        kept=kept,
        summary=CategorySummary(0, 0, {}),
    )
    unfilled = dataclasses.replace(rule, fill=None)
    return dataclasses.replace(rule, summary=rule.summarise(unfilled.read(column)))
