"""Control variates: a difference of two sample means, with less noise because moments are known from more rows.

Held-out J is a difference of two sample means, of g(x) and of env(z), and most of its noise is that of the samples'
moments. Those are known much better from all rows. With features f = (u, u^2, u^3) of every coordinate, and beta their
least-squares fit to both terms,

    J = [mean(g - f beta) over held-out x + mean(f beta) over many x] - [the same with env and z]

has the same expectation and only the noise of the residuals, plus that of f beta over the many rows ("Monte Carlo
Methods in Financial Engineering", Glasserman, 2003, section 4.1). The many rows are not among those held out, and beta
is fitted to the terms of some of them: so it favours none of the rows held out, however few these are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.statistics.estimates import standard_error
from brenier.statistics.weighted import effective_rows, even_terms, weighted_mean


@dataclasses.dataclass(frozen=True)
class ControlVariateSettings:
    """How coefficients of control variates are fitted.

    Attributes:
        fitted_rows: rows of a side whose terms the coefficients are fitted to, at most. Each costs a conjugate.
    """

    fitted_rows: int = 4096


class SampleTerms(NamedTuple):
    """What is known of one side of the difference.

    Attributes:
        terms: (n,), whose mean is wanted.
        points: (n, d), where the terms were taken.
        others: (N, d), many other points of the same law, for its moments.
        other_terms: (k,), the terms of the first k of the others, which the coefficients are fitted to.
        weights, other_weights: (n,), (N,), of the points and of the others; None where they count alike.
    """

    terms: Tensor
    points: Tensor
    others: Tensor
    other_terms: Tensor
    weights: Tensor | None = None
    other_weights: Tensor | None = None


def adjusted_difference(
    first: SampleTerms,
    second: SampleTerms,
    settings: ControlVariateSettings = ControlVariateSettings(),
) -> tuple[float, float]:
    """Return the difference of two sides' mean terms and its standard error, with moments known from more rows."""
    sides = (first, second)
    beta = _coefficients(sides, settings)
    known = [_powers(side.others) for side in sides]
    residuals = []
    for side, powers in zip(sides, known, strict=True):
        deviation = _powers(side.points) - weighted_mean(powers, side.other_weights)
        residual = side.terms.detach().double() - deviation @ beta
        residuals.append(even_terms(residual, side.weights))
    difference = float(residuals[0].mean() - residuals[1].mean())
    explained = [
        even_terms(powers @ beta, side.other_weights)
        for side, powers in zip(sides, known, strict=True)
    ]
    return difference, standard_error(*residuals, *explained)


def _coefficients(
    sides: Sequence[SampleTerms], settings: ControlVariateSettings
) -> Tensor:
    """Return the least-squares coefficients of the features, both sides in one, from points not held out: (3d,).

    A ridge shrinks them: for every feature the share that there are features per row of the mean scatter in its group,
    linear, square or cubic. So a feature that hardly varies in these rows gets hardly a coefficient, however much it
    may vary in others.
    """
    centred_features, centred_terms, worth = [], [], 0.0
    for side in sides:
        terms = side.other_terms[: settings.fitted_rows].detach().double()
        features = _powers(side.others[: len(terms)])
        weights = side.other_weights
        if weights is not None:
            weights = weights[: len(terms)].to(terms)
        worth += effective_rows(len(terms), weights)
        features = features - weighted_mean(features, weights)
        terms = terms - weighted_mean(terms, weights)
        if weights is not None:
            roots = (weights / weights.mean()).sqrt()
            features, terms = features * roots.unsqueeze(-1), terms * roots
        centred_features.append(features)
        centred_terms.append(terms)
    features, terms = torch.cat(centred_features), torch.cat(centred_terms)
    # Normal equations, since LAPACK's least squares do not repeat to the last bit.
    gram = features.mT @ features
    size = gram.diagonal().view(3, -1).mean(-1, keepdim=True)
    ridge = len(gram) / worth * size.expand(3, len(gram) // 3).flatten()
    # A group without scatter has none to be relative to; any ridge gives it coefficients of zero.
    ridge = torch.where(ridge > torch.finfo(ridge.dtype).tiny, ridge, 1.0)
    return torch.linalg.solve(gram + torch.diag(ridge), features.mT @ terms)


def _powers(points: Tensor) -> Tensor:
    """Return the features (u, u^2, u^3) of points (n, d): (n, 3d), float64."""
    points = points.detach().double()
    return torch.cat([points, points.square(), points**3], -1)
