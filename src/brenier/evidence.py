"""What samples say for a network: how sure a held-out difference of J is, and whether its start is refuted.

Held-out J is a difference of two sample means, of g(x) and of env(z), and most of its noise is that of the samples'
moments. Those are known much better from all rows. With features f = (u, u^2, u^3) of every coordinate, and beta their
least-squares fit to both terms,

    J = [mean(g - f beta) over held-out x + mean(f beta) over many x] - [the same with env and z]

has the same expectation and only the noise of the residuals, beside that of f beta over the many rows. This is the
classical control variate ("Monte Carlo Methods in Financial Engineering", Glasserman, 2003, section 4.1).

Even from all rows J is known poorly where these are few: what a better map gains is of the order of its error squared,
the noise of the mean of what is gained of the order of the error. Whether the samples moved by the start are those of
the target is another question, which a two-sample test answers with far fewer rows.
"""

from __future__ import annotations

import torch
from scipy import stats
from torch import Tensor

from brenier.dual import standard_error

RIDGE = 1e-9  # relative, but one for the features of a constant coordinate, which are all zero
PERMUTATIONS = 999  # one in a thousand tests of one and the same law finds two
COMPARED = 2000  # rows of a side that are permuted
ROWS_PER_FEATURE = 10  # fewer held-out rows than this and the fit would eat the noise it is meant to measure


def adjusted_difference(
    first: tuple[Tensor, Tensor, Tensor], second: tuple[Tensor, Tensor, Tensor]
) -> tuple[float, float]:
    """Return the difference of two means and its standard error, with moments known from more rows.

    Args:
        first, second: a side each: its terms (n,), the points they belong to (n, d), and many more points (N, d).
    """
    sides = (first, second)
    terms = [side[0].detach().double() for side in sides]
    if sum(map(len, terms)) < ROWS_PER_FEATURE * 3 * first[1].shape[1]:
        return float(terms[0].mean() - terms[1].mean()), standard_error(*terms)
    features = [_features(side[1]) for side in sides]
    known = [_features(side[2]) for side in sides]
    centred = torch.cat([f - f.mean(0) for f in features])
    answers = torch.cat([t - t.mean() for t in terms])
    # Normal equations, since LAPACK's least squares do not repeat to the last bit.
    gram = centred.mT @ centred
    size = gram.diagonal()
    gram = gram + torch.diag(torch.where(size > torch.finfo(size.dtype).tiny / RIDGE, RIDGE * size, 1.0))
    beta = torch.linalg.solve(gram, centred.mT @ answers)
    rest = [t - (f - k.mean(0)) @ beta for t, f, k in zip(terms, features, known, strict=True)]
    difference = float(rest[0].mean() - rest[1].mean())
    return difference, standard_error(*rest, *(k @ beta for k in known))


def with_few_rows(errors: float, rows: int) -> float:
    """Return how many estimated standard errors are as rare as so many known ones (Student's t distribution).

    Args:
        errors: standard errors, of a normal mean.
        rows: that the estimate is from.
    """
    return float(stats.t.isf(stats.norm.sf(errors), max(1, rows - 1)))


def different(x: Tensor, z: Tensor, generator: torch.Generator) -> bool:
    """Say whether two samples are of two laws: whether no permutation of the rows has so large an energy distance.

    "Testing for Equal Distributions in High Dimension", Szekely and Rizzo, 2004.

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
    return bool((energy[1:] < energy[0]).all())


def _features(points: Tensor) -> Tensor:
    """Return (u, u^2, u^3): (n, 3d), float64."""
    points = points.detach().double()
    return torch.cat([points, points.square(), points**3], -1)
