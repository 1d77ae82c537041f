"""Estimates from independent samples, and what their standard errors are."""

from __future__ import annotations

import math

from torch import Tensor


def standard_error(*terms: Tensor) -> float:
    """Return the standard error of a sum of independent sample means, each given by its terms (n_i,)."""
    if min(term.numel() for term in terms) < 2:
        return float("inf")
    return (
        float(sum(term.detach().double().var() / term.numel() for term in terms)) ** 0.5
    )


def root_with_error(square: float, error: float) -> tuple[float, float]:
    """Return sqrt(square) and its standard error by the delta method; zero where the square is not positive.

    >>> root_with_error(4.0, 0.4)
    (2.0, 0.1)
    """
    if not square > 0:
        return 0.0, math.sqrt(max(0.0, error))
    return math.sqrt(square), error / (2 * math.sqrt(square))


def with_error(value: float, error: float) -> str:
    """Return a figure and its standard error, to the second digit of the error.

    >>> with_error(1.3231586, 0.0123)
    '1.323 ± 0.012'
    """
    if not 0 < error < math.inf:
        return f"{value:.6g} ± {error:.2g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"
