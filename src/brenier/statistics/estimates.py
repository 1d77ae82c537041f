"""Estimates from independent samples, their standard errors, and intervals of roots."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class IntervalSettings:
    """What intervals claim.

    Attributes:
        confidence: the share of samples whose interval holds the true value.
    """

    confidence: float = 0.95

    @property
    def quantile(self) -> float:
        """The standard errors from the middle of an interval to either end."""
        return float(stats.norm.ppf((1 + self.confidence) / 2))


INTERVALS = IntervalSettings()


class Root(NamedTuple):
    """The root of an estimated square.

    Attributes:
        value: of the estimate, zero where that is negative.
        error: such that value ± `INTERVALS.quantile` errors holds the interval.
        low, high: the interval; low is zero where that of the square reaches zero.
    """

    value: float
    error: float
    low: float
    high: float


def root_of(square: float, error: float) -> Root:
    """Return the root of a square that is known with an error, and its interval.

    The interval of the square is taken on its own scale, where its error is that of a mean, clipped at zero and then
    rooted: near zero the root has no standard error of its own.

    Args:
        square: an estimate of a square, which may be negative.
        error: its standard error.

    >>> root = root_of(4.0, 0.4)
    >>> round(root.low, 3), root.value, round(root.high, 3)
    (1.793, 2.0, 2.187)
    >>> root_of(-0.2, 0.4).low, round(root_of(-0.2, 0.4).high, 3)
    (0.0, 0.885)
    """
    width = INTERVALS.quantile * error
    value = math.sqrt(max(0.0, square))
    low = math.sqrt(max(0.0, square - width))
    high = math.sqrt(max(0.0, square) + width)
    return Root(value, max(high - value, value - low) / INTERVALS.quantile, low, high)


def standard_error(*terms: Tensor) -> float:
    """Return the standard error of a sum of independent sample means.

    Args:
        terms: of every mean, the terms (n_i,) it is taken of.

    Returns:
        (sum_i Var_i / n_i)^(1/2), infinite where a mean has fewer than two terms.
    """
    if min(term.numel() for term in terms) < 2:
        return float("inf")
    return float(sum(_variance_of_mean(term) for term in terms)) ** 0.5


def widened_error(*terms: Tensor, freedoms: Sequence[float] | None = None) -> float:
    """Return the standard error of a sum of independent sample means, wider where it is itself known from few terms.

    So much wider that an interval of `INTERVALS.quantile` errors is that of Student's t, with the degrees of freedom of
    "The Generalization of 'Student's' Problem when Several Different Population Variances are Involved" (Welch, 1947).

    Args:
        terms: of every mean, the terms (n_i,) it is taken of.
        freedoms: degrees of freedom of the variance of every mean; by default one less than its terms.
    """
    if min(term.numel() for term in terms) < 2:
        return float("inf")
    variances = [float(_variance_of_mean(term)) for term in terms]
    if freedoms is None:
        freedoms = [term.numel() - 1 for term in terms]
    return widening(variances, freedoms) * (sum(variances) ** 0.5)


def widening(variances: Sequence[float], freedoms: Sequence[float]) -> float:
    """Return by which factor the root of a sum of estimated variances is to be widened, given degrees of freedom."""
    total = sum(variances)
    if not total > 0:
        return 1.0
    # Of shares, since squares of very small variances vanish.
    shares = [variance / total for variance in variances]
    spread = sum(
        share**2 / freedom for share, freedom in zip(shares, freedoms, strict=True)
    )
    upper = (1 + INTERVALS.confidence) / 2
    return float(stats.t.ppf(upper, 1 / spread)) / INTERVALS.quantile


def _variance_of_mean(terms: Tensor) -> Tensor:
    return terms.detach().double().var() / terms.numel()


def with_error(value: float, error: float) -> str:
    """Return a figure and its standard error as text, rounded to the second digit of the error.

    >>> with_error(1.3231586, 0.0123)
    '1.323 ± 0.012'
    """
    if not 0 < error < math.inf:
        return f"{value:.6g} ± {error:.2g}"
    magnitude = math.floor(math.log10(error))
    digits = max(0, 1 - magnitude)
    return f"{value:.{digits}f} ± {error:.{digits}f}"
