"""Where values lie among the pooled values of their column.

All statistics see a value by its rank alone, so that units, logarithms and wild values do not matter. Ranks are those
among one row of every group, which are all rows where samples are small.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from brenier.statistics.two_sample.groups import RowGroups


@dataclasses.dataclass(frozen=True)
class PooledRanks:
    """The values among which others are ranked.

    Attributes:
        values: (d, R), sorted.
        ends: (d, R), how many values are not above each.
    """

    values: Tensor
    ends: Tensor

    @property
    def shares(self) -> Tensor:
        """The shares of the pooled rows below places 0, ..., 2R: (2R + 1,), within (0, 1)."""
        places = 2 * self.values.shape[1]
        return (torch.arange(places + 1).double().clamp(0.5, places - 0.5)) / places

    @property
    def scores(self) -> Tensor:
        """The normal scores of places: (2R + 1,)."""
        return torch.special.ndtri(self.shares)

    def places(self, rows: Tensor) -> Tensor:
        """Return how many ranked values are below, and how many not above, together: (n, d) -> (n, d)."""
        columns = rows.double().mT.contiguous()
        below = torch.searchsorted(self.values, columns)
        next_one = below.clamp_max(self.values.shape[1] - 1)
        met = self.values.gather(1, next_one) == columns
        not_above = torch.where(met, self.ends.gather(1, next_one), below)
        return (below + not_above).mT


def pooled_ranks(x: Tensor, z: Tensor, groups: RowGroups) -> PooledRanks:
    """Return the ranks among the first rows of all groups."""
    pooled = torch.cat(
        [rows_numbered(x, groups.x[:, 0]), rows_numbered(z, groups.z[:, 0])]
    )
    values = pooled.double().mT.contiguous().sort(-1).values
    return PooledRanks(values, torch.searchsorted(values, values, right=True))


def rows_numbered(sample: Tensor, numbers: Tensor) -> Tensor:
    """Return some rows of a sample, on the CPU."""
    return sample.detach()[numbers.to(sample.device)].cpu()
