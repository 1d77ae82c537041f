"""What samples say for a network: how sure a held-out difference of J is, and whether its start is refuted.

Held-out J is a difference of two sample means, of g(x) and of env(z), and most of its noise is that of the samples'
moments. Those are known much better from all rows. With features f = (u, u^2, u^3) of every coordinate, and beta their
least-squares fit to both terms,

    J = [mean(g - f beta) over held-out x + mean(f beta) over many x] - [the same with env and z]

has the same expectation and only the noise of the residuals, beside that of f beta over the many rows. This is the
classical control variate ("Monte Carlo Methods in Financial Engineering", Glasserman, 2003, section 4.1). The many rows
are others than those held out, and beta is fitted to the terms of some of them: so it favours none of the rows held
out, however few these are.

Even from all rows J is known poorly where these are few: what a better map gains is of the order of its error squared,
the noise of the mean of what is gained of the order of the error. Whether the samples moved by the start are those of
the target is another question, which a two-sample test answers with far fewer rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.statistics.estimates import standard_error

FITTED = 4096  # rows of a side that coefficients are fitted to


class Side(NamedTuple):
    """What is known of one side: terms (n,) at points (n, d), other points (N, d), and the terms of the first of those.

    The other points tell the moments; their terms (k,), of at most `FITTED`, tell what moments do to terms.
    """

    terms: Tensor
    points: Tensor
    others: Tensor
    other_terms: Tensor


def adjusted_difference(first: Side, second: Side) -> tuple[float, float]:
    """Return the difference of two sides' mean terms and its standard error, with moments known from more rows."""
    sides = (first, second)
    beta = _coefficients(sides)
    known = [_features(side.others) for side in sides]
    rest = [
        side.terms.detach().double() - (_features(side.points) - k.mean(0)) @ beta
        for side, k in zip(sides, known, strict=True)
    ]
    difference = float(rest[0].mean() - rest[1].mean())
    return difference, standard_error(*rest, *(k @ beta for k in known))


def _coefficients(sides: Sequence[Side]) -> Tensor:
    """Return the features' least-squares coefficients, both sides in one, at the points that are not held out: (3d,).

    They are drawn in to zero by as much as there are features for every row.
    """
    terms = [side.other_terms.detach().double() for side in sides]
    features = [
        _features(side.others[: len(t)]) for side, t in zip(sides, terms, strict=True)
    ]
    centred = torch.cat([f - f.mean(0) for f in features])
    answers = torch.cat([t - t.mean() for t in terms])
    # Normal equations, since LAPACK's least squares do not repeat to the last bit.
    gram = centred.mT @ centred
    size, ridge = gram.diagonal(), len(gram) / len(centred)
    gram = gram + torch.diag(
        torch.where(size > torch.finfo(size.dtype).tiny / ridge, ridge * size, 1.0)
    )
    return torch.linalg.solve(gram, centred.mT @ answers)


def _features(points: Tensor) -> Tensor:
    """Return (u, u^2, u^3): (n, 3d), float64."""
    points = points.detach().double()
    return torch.cat([points, points.square(), points**3], -1)
