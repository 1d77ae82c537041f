"""The factor kappa by which a raw estimate of a map's error is raised, fixed on other pairs than those it is tried on.

With r the ratio of the raw estimate to the true error, on rows of other pairs,

    kappa = 1 / min r,     or at a share of .95 one over the least r but for the worst twentieth of the rows.

Pairs of one name in several dimensions are one pair here: all of them are left out together.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence

from benchmarks.harness import Row

SIDES = ("forward", "inverse")
WITHIN = 3.0  # a claim is of use within so many times the truth, either way


@dataclasses.dataclass(frozen=True)
class Judged:
    """A row's claim with a factor that this row had no part in.

    Attributes:
        row: the row.
        factor: kappa.
        claimed: the claim over the true error; None where the row makes none.
    """

    row: Row
    factor: float
    claimed: float


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How good the claims of some rows are.

    Attributes:
        rows: how many.
        factors: the least and the greatest factor among them.
        covered: share of the claims that are not below the true error.
        within: share that is within three times the true error, and not below a third of it.
        largest: the greatest claim over the true error, least: the smallest.
        squared_median: of the squares of claims over true errors, squared_largest: the greatest.
    """

    rows: int
    factors: tuple[float, float]
    covered: float
    within: float
    largest: float
    least: float
    squared_median: float
    squared_largest: float

    @classmethod
    def of(cls, judged: Sequence[Judged]) -> Verdict:
        """Return the verdict on one claim or more."""
        claims = [each.claimed for each in judged]
        factors = [each.factor for each in judged]
        squares = [claim**2 for claim in claims]
        return cls(
            rows=len(claims),
            factors=(min(factors), max(factors)),
            covered=share(claim >= 1 for claim in claims),
            within=share(1 / WITHIN <= claim <= WITHIN for claim in claims),
            largest=max(claims),
            least=min(claims),
            squared_median=statistics.median(squares),
            squared_largest=max(squares),
        )


def ratio_of(row: Row, side: str) -> float | None:
    """Return the raw estimate over the true error of a row, None where it has none."""
    raw, true = row.get(f"raw_{side}"), row.get(f"true_{side}")
    if raw is None or true is None or not true > 0:
        return None
    return float(raw / true)


def factor(ratios: Sequence[float], covering: float = 1.0) -> float:
    """Return the factor that covers at least this share of rows with these ratios of raw estimate to true error."""
    left_out = math.floor((1 - covering) * len(ratios) + 1e-9)
    least = sorted(ratios)[left_out]
    return 1 / least if least > 0 else math.inf


def left_out(rows: Sequence[Row], side: str, covering: float = 1.0) -> list[Judged]:
    """Return the claims of all rows, each with the factor of the rows of the other pairs."""
    known = [(row, ratio_of(row, side)) for row in rows]
    usable = [(row, ratio) for row, ratio in known if ratio is not None]
    found = []
    for row, ratio in usable:
        pair = row.get("pair")
        others = [other for each, other in usable if each.get("pair") != pair]
        if others:
            kappa = factor(others, covering)
            found.append(Judged(row, kappa, kappa * ratio))
    return found


def as_printed(rows: Sequence[Row], side: str) -> list[Judged]:
    """Return the claims of all rows as the certificates printed them."""
    found = []
    for row in rows:
        ratio, claim = ratio_of(row, side), row.get(side)
        if ratio is not None and claim is not None and ratio > 0:
            true = row.get(f"true_{side}")
            found.append(Judged(row, claim / row.get(f"raw_{side}"), claim / true))
    return found


def share(answers: Iterable[bool]) -> float:
    """Return which share of some answers is yes."""
    given = list(answers)
    return sum(given) / len(given)
