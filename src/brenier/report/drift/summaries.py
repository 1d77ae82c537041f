"""What one column of a table holds, in a few figures: enough to say and to draw how two tables differ."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class NumberSummary:
    """A column of numbers, in its own units.

    Attributes:
        rows: that hold a number.
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
