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
from scipy import stats
from torch import Tensor

from brenier.dual import standard_error

FITTED = 4096  # rows of a side that coefficients are fitted to
PERMUTATIONS = 999  # so that no score is above 3.1
COMPARED = 2000  # rows of a side that are permuted


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
    features = [_features(side.others[: len(t)]) for side, t in zip(sides, terms, strict=True)]
    centred = torch.cat([f - f.mean(0) for f in features])
    answers = torch.cat([t - t.mean() for t in terms])
    # Normal equations, since LAPACK's least squares do not repeat to the last bit.
    gram = centred.mT @ centred
    size, ridge = gram.diagonal(), len(gram) / len(centred)
    gram = gram + torch.diag(torch.where(size > torch.finfo(size.dtype).tiny / ridge, ridge * size, 1.0))
    return torch.linalg.solve(gram, centred.mT @ answers)


def normal_score(errors: float, rows: int) -> float:
    """Return how many known standard errors of a normal mean are as rare as so many estimated ones.

    Args:
        errors: estimated standard errors.
        rows: that the estimate is from (Student's t distribution).
    """
    return float(stats.norm.isf(stats.t.sf(errors, max(1, rows - 1))))


def two_sample_score(x: Tensor, z: Tensor, generator: torch.Generator) -> float:
    """Return how surely two samples are of two laws, as a normal score: how rare so large an energy distance is.

    That is asked of permutations of the rows ("Testing for Equal Distributions in High Dimension", Szekely and Rizzo,
    2004). Where one sample's moments were fitted to the other's, the score is well below zero under one law.

    Args:
        x, z: (n, d), (m, d), distinct rows.
        generator: source of the permutations.
    """
    chosen = [torch.randperm(len(side), generator=generator)[:COMPARED].to(side.device) for side in (x, z)]
    pooled = torch.cat([x[chosen[0]], z[chosen[1]]]).detach().double()
    share = torch.cat([pooled.new_full(rows.shape, 1 / len(rows)) for rows in chosen])
    share[len(chosen[0]) :] *= -1
    orders = [torch.randperm(len(pooled), generator=generator) for _ in range(PERMUTATIONS)]
    shares = torch.stack([share, *(share[order.to(share.device)] for order in orders)], -1)
    energy = -(shares * (torch.cdist(pooled, pooled) @ shares)).sum(0)
    return float(stats.norm.isf(float((energy >= energy[0]).double().mean())))


def _features(points: Tensor) -> Tensor:
    """Return (u, u^2, u^3): (n, 3d), float64."""
    points = points.detach().double()
    return torch.cat([points, points.square(), points**3], -1)
