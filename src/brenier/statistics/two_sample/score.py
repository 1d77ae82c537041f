"""Two-sample tests: whether two samples come from one law.

Where samples are few, J is known poorly even from all of them: what a better map gains is of the order of its error
squared, and the noise of the mean of what is gained is of the order of the error. Whether the samples moved by a map
have the law of the target is another question, which a two-sample test answers with far fewer rows. The statistic is
the energy distance,

    2 E|x - z| - E|x - x'| - E|z - z'|,

which is zero for equal laws alone, and its null distribution is that over permutations of the pooled rows ("Testing for
Equal Distributions in High Dimension", Szekely and Rizzo, 2004). Results are normal scores: the standard normal
quantile that is exceeded with the same probability.
"""

from __future__ import annotations

import dataclasses

import torch
from scipy import stats
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class TwoSampleSettings:
    """How much the two-sample test computes.

    Attributes:
        permutations: of the pooled rows; with 999 of them no score is above 3.1.
        permuted_rows: rows of a side that are compared, at most; time and memory grow with their square.
    """

    permutations: int = 999
    permuted_rows: int = 2000


def normal_score(errors: float, rows: int) -> float:
    """Return how many known standard errors of a normal mean are as rare as so many estimated ones.

    Args:
        errors: a deviation in estimated standard errors.
        rows: that the estimate is from (Student's t distribution of rows - 1 degrees of freedom).
    """
    probability = stats.t.sf(errors, max(1, rows - 1))
    return float(stats.norm.isf(probability))


def two_sample_score(
    x: Tensor,
    z: Tensor,
    generator: torch.Generator,
    settings: TwoSampleSettings = TwoSampleSettings(),
) -> float:
    """Return the normal score of the energy distance between two samples: how surely they are of two laws.

    Where one sample's moments were fitted to the other's, the score is well below zero under one law.

    Args:
        x, z: (n, d), (m, d), distinct rows.
        generator: source of the permutations.
        settings: how many rows are compared, and how many permutations.
    """
    chosen = [
        torch.randperm(len(side), generator=generator)[: settings.permuted_rows]
        for side in (x, z)
    ]
    some_x = x[chosen[0].to(x.device)]
    some_z = z[chosen[1].to(z.device)]
    pooled = torch.cat([some_x, some_z]).detach().double()
    # Signed shares s_i, 1/n for rows of x and -1/m for rows of z: the energy distance is -sum_ij s_i s_j |p_i - p_j|.
    share = torch.cat([pooled.new_full(rows.shape, 1 / len(rows)) for rows in chosen])
    share[len(some_x) :] *= -1
    columns = [share]
    for _ in range(settings.permutations):
        order = torch.randperm(len(pooled), generator=generator)
        columns.append(share[order.to(share.device)])
    shares = torch.stack(columns, -1)
    distances = torch.cdist(pooled, pooled)
    energy = -(shares * (distances @ shares)).sum(0)
    as_large = (energy >= energy[0]).double().mean()
    return float(stats.norm.isf(float(as_large)))
