"""What the permutation test looks at, and how its level is shared out."""

from __future__ import annotations

import dataclasses

STATISTICS = ("auto", "columns", "pairs", "kernel", "energy")


@dataclasses.dataclass(frozen=True)
class ComparisonSettings:
    """What the permutation test computes. Shares are those of the level: what has more of it finds less elsewhere.

    Attributes:
        groups: of rows of the smaller side, at most. What is permuted are groups of equally many rows; their number
            fixes the cost of permutations, and from a few hundred on hardly matters for the power.
        larger: groups of the larger side, at most, in those of the smaller: more hardly lessen the noise.
        columns, pairs, kernel: shares of these in "auto". Most changes are seen in a column.
        location, scale, shape, tails: shares, within a column, of its normal scores, of their squares, of its
            distribution function, and of its ends. Most changes are shifts.
        thresholds: at which the distribution function of a column is compared, at even ranks.
        ends: shares of the pooled rows that count as an end of a column.
        products: pairs of columns whose product of scores is compared, at most: those that go together most in the
            pooled rows, where a change of their correlation leaves its trace.
        waves: directions in which the kernel looks at rows.
        widths: the least and the greatest width of the kernel, in units of the spread of rows: narrow ones, since what
            wide ones see are changes of columns and of correlations.
        entries_at_once: of features: few enough for little memory, many enough for little overhead.
        tie: relative difference below which two values of a statistic are equal but for rounding.
        constant: variance of a feature over its mean square, below which it is constant but for rounding.
    """

    groups: int = 2000
    larger: int = 4
    columns: float = 0.88
    pairs: float = 0.06
    kernel: float = 0.06
    location: float = 0.72
    scale: float = 0.16
    shape: float = 0.06
    tails: float = 0.06
    thresholds: int = 9
    ends: tuple[float, ...] = (0.005, 0.02)
    products: int = 500
    waves: int = 128
    widths: tuple[float, float] = (0.2, 0.8)
    entries_at_once: int = 2**22
    tie: float = 1e-9
    constant: float = 1e-10


COMPARISON_SETTINGS = ComparisonSettings()
