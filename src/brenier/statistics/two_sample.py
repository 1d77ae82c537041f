"""Whether two samples are of one law."""

from __future__ import annotations

import torch
from scipy import stats
from torch import Tensor

PERMUTATIONS = 999  # so that no score is above 3.1


COMPARED = 2000  # rows of a side that are permuted


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
    chosen = [
        torch.randperm(len(side), generator=generator)[:COMPARED].to(side.device)
        for side in (x, z)
    ]
    pooled = torch.cat([x[chosen[0]], z[chosen[1]]]).detach().double()
    share = torch.cat([pooled.new_full(rows.shape, 1 / len(rows)) for rows in chosen])
    share[len(chosen[0]) :] *= -1
    orders = [
        torch.randperm(len(pooled), generator=generator) for _ in range(PERMUTATIONS)
    ]
    shares = torch.stack(
        [share, *(share[order.to(share.device)] for order in orders)], -1
    )
    energy = -(shares * (torch.cdist(pooled, pooled) @ shares)).sum(0)
    return float(stats.norm.isf(float((energy >= energy[0]).double().mean())))
