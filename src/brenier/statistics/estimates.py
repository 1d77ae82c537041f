"""Estimates from independent samples and their standard errors."""

from __future__ import annotations

import math

from torch import Tensor


def standard_error(*terms: Tensor) -> float:
    """Return the standard error of a sum of independent sample means.

    Args:
        terms: of every mean, the terms (n_i,) it is taken of.

    Returns:
        (sum_i Var_i / n_i)^(1/2), infinite where a mean has fewer than two terms.
    """
    if min(term.numel() for term in terms) < 2:
        return float("inf")
    variances = [term.detach().double().var() / term.numel() for term in terms]
    return float(sum(variances)) ** 0.5


def root_with_error(square: float, error: float) -> tuple[float, float]:
    """Return sqrt(square) and its standard error by the delta method; zero where the square is not positive.

    Args:
        square: an estimate of a square.
        error: its standard error.

    >>> root_with_error(4.0, 0.4)
    (2.0, 0.1)
    """
    if not square > 0:
        return 0.0, math.sqrt(max(0.0, error))
    root = math.sqrt(square)
    return root, error / (2 * root)


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
