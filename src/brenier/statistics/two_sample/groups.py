"""Groups of rows that are permuted between two samples.

Under one law, rows can be exchanged, and so can groups of equally many rows. Sums over rows need then be formed once
per group, whatever the number of permutations, and all rows of both samples are used.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from brenier.statistics.two_sample.settings import ComparisonSettings


@dataclasses.dataclass(frozen=True)
class RowGroups:
    """Which rows of either side form its groups.

    Attributes:
        x, z: (a, size) and (b, size), numbers of rows, drawn without replacement.
    """

    x: Tensor
    z: Tensor

    def __len__(self) -> int:
        return len(self.x) + len(self.z)

    @property
    def rows(self) -> tuple[int, int]:
        """How many rows of either side are used."""
        return self.x.numel(), self.z.numel()


def row_groups(
    n: int,
    m: int,
    most: int,
    generator: torch.Generator,
    settings: ComparisonSettings,
) -> RowGroups:
    """Return groups of n and of m rows, at most so many of the smaller side.

    Fewer rows than one group holds are left out, and rows of a side that is many times larger.
    """
    size = -(-min(n, m) // most)
    sides = []
    for rows in (n, m):
        count = min(rows // size, settings.larger * most)
        order = torch.randperm(rows, generator=generator)
        sides.append(order[: count * size].reshape(count, size))
    return RowGroups(*sides)


def signed_shares(
    groups: RowGroups, permutations: int, generator: torch.Generator
) -> Tensor:
    """Return the weights of groups in a difference of means, as they are and permuted: (groups, 1 + permutations)."""
    a, b = len(groups.x), len(groups.z)
    share = torch.full((a + b,), 1 / a, dtype=torch.float64)
    share[a:] = -1 / b
    columns = [share]
    columns += [
        share[torch.randperm(a + b, generator=generator)] for _ in range(permutations)
    ]
    return torch.stack(columns, -1)
