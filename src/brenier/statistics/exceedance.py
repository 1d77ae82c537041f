"""Conformal p-values: the share of rows of a law that have as large a score as a given one, from rows set aside.

With n scores s_i of rows that took no part in finding what a score is, and the score s of one more row of that law,

    p = (1 + #{i : s_i >= s}) / (n + 1)

is uniform on 1/(n + 1), ..., 1, whatever the law and the score ("Algorithmic Learning in a Random World", Vovk et al.,
2005, section 2.2). Of m more rows the number K whose score passes the a-th largest of the s_i is beta-binomial with
parameters m, a and n + 1 - a, which says when there are more of them than by chance. How far beyond all s_i a score
lies is judged by their tail: with k of them above v, P(s > q) is about (k/n)(v/q)^(1/gamma), gamma the mean of
log(s_i/v) ("A Simple General Approach to Inference About the Tail of a Distribution", Hill, 1975).
"""

from __future__ import annotations

import dataclasses
import math

import torch
from scipy.stats import betabinom
from torch import Tensor

from brenier.statistics.spread import spread_numbers
from brenier.statistics.weighted import effective_rows


@dataclasses.dataclass(frozen=True)
class ExceedanceSettings:
    """How much of the scores of the rows set aside is kept, and how far their tail is trusted.

    Attributes:
        kept_scores: of them at most; between two of them shares are interpolated.
        exact_scores: of these, the largest ones one by one, so that small shares are exact.
        tail_share, least_tail: of the scores, at least so many, that the tail is judged by.
        tail_errors: standard errors, 1/sqrt(k) of it each, by which gamma is taken larger than it is found: a heavier
            tail is the safer guess.
        least_gamma: of scores that hardly differ, or are bounded.
        counted_rows: most rows for which the chance of a count is found as it is; of more, in proportion.
    """

    kept_scores: int = 256
    exact_scores: int = 128
    tail_share: float = 0.1
    least_tail: int = 5
    tail_errors: float = 3.0
    least_gamma: float = 0.02
    counted_rows: int = 2**14


EXCEEDANCE = ExceedanceSettings()


@dataclasses.dataclass(frozen=True)
class Exceedance:
    """The scores of rows set aside, some of them where there are many: all numbers float64, on the CPU.

    Attributes:
        scores: (m,), rising, all different.
        at_least: (m,), the share of rows whose score is that or more.
        greater: (m,), the share of rows whose score is more.
        rows: how many rows of equal weights the shares rest on.
        gamma: of the tail.
    """

    scores: Tensor
    at_least: Tensor
    greater: Tensor
    rows: float
    gamma: float

    @classmethod
    def of(
        cls,
        scores: Tensor,
        weights: Tensor | None = None,
        settings: ExceedanceSettings = EXCEEDANCE,
    ) -> Exceedance:
        """Return what is kept of scores (n,) of at least one row, which count by weights (n,) if these are given."""
        own = scores.detach().cpu().double()
        mass = torch.ones_like(own) if weights is None else weights.cpu().double()
        values, places = own.unique(return_inverse=True)
        shares = torch.zeros_like(values).index_add_(0, places, mass) / mass.sum()
        above = shares.flip(0).cumsum(0).flip(0)
        greater = torch.cat([above[1:], above.new_zeros(1)])
        chosen = _kept_places(len(values), settings)
        return cls(
            values[chosen],
            above[chosen].clamp(max=1.0),
            greater[chosen],
            effective_rows(len(own), weights),
            _gamma(own, settings),
        )

    @property
    def largest(self) -> float:
        """The largest score of a row set aside."""
        return float(self.scores[-1])

    @property
    def least_share(self) -> float:
        """The share that is given to what lies beyond all rows set aside: 1/(n + 1)."""
        return 1 / (self.rows + 1)

    def shares(self, scores: Tensor) -> Tensor:
        """Return p of scores (n,), infinite ones too: (n,), float64 on the CPU."""
        own = scores.detach().cpu().double().contiguous()
        after = torch.searchsorted(self.scores, own)  # the first kept score not below
        inside = after.clamp(max=len(self.scores) - 1)
        before = (inside - 1).clamp(min=0)
        low, high = self.scores[before], self.scores[inside]
        width = torch.where(high > low, high - low, 1.0)
        part = ((high - own) / width).clamp(0.0, 1.0)
        more = self.greater[before] - self.at_least[inside]
        share = self.at_least[inside] + torch.where(inside > before, part * more, 0.0)
        share = torch.where(after == 0, 1.0, share)
        share = torch.where(after == len(self.scores), 0.0, share)
        return (1 + self.rows * share) / (self.rows + 1)

    def attainable(self, share: float) -> float:
        """Return the largest p not above a share, or the least there is: what p <= share says of fresh rows."""
        return max(1, math.floor(share * (self.rows + 1) * (1 + 1e-9))) / (
            self.rows + 1
        )

    def chance(self, count: int, rows: int, share: float) -> float:
        """Return the chance that of so many fresh rows so many, or more, have a p not above an attainable share."""
        if count <= 0:
            return 1.0
        most = EXCEEDANCE.counted_rows
        if rows > most:
            count, rows = math.floor(count * most / rows), most
        above = share * (self.rows + 1)
        found = betabinom.sf(count - 1, rows, above, self.rows + 1 - above)
        return float(found)

    def expected_beyond(self, multiple: float, rows: int) -> float:
        """Return how many of so many fresh rows should have a score this multiple, one at least, of the largest."""
        return rows * self.least_share * multiple ** (-1 / self.gamma)


def _kept_places(n: int, settings: ExceedanceSettings) -> Tensor:
    """Return which of n rising scores are kept: (m,)."""
    if n <= settings.kept_scores:
        return torch.arange(n)
    exact = settings.exact_scores
    rest = spread_numbers(n - exact, settings.kept_scores - exact)
    return torch.cat([rest, torch.arange(n - exact, n)])


def _gamma(scores: Tensor, settings: ExceedanceSettings) -> float:
    """Return gamma of the tail of scores (n,), on the safe side."""
    k = max(settings.least_tail, math.ceil(settings.tail_share * len(scores)))
    if k >= len(scores):
        return math.inf  # too few to know
    top = scores.topk(k + 1).values
    if not top[-1] > 0:
        return math.inf
    found = float((top[:-1] / top[-1]).log().mean())
    return max(settings.least_gamma, found * (1 + settings.tail_errors / math.sqrt(k)))
