"""How batches of one side are drawn at given values of the covariates."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from brenier.estimators.settings import PipelineSettings
from brenier.transport.maps import CountedRows


def common_values(first: Tensor, second: Tensor) -> Tensor:
    """Return the values of both sides (n, p), (m, p) that lie in the range of either: (a, p); sorted where p is one."""
    low = torch.stack([first.amin(0), second.amin(0)]).amax(0)
    high = torch.stack([first.amax(0), second.amax(0)]).amin(0)
    both = torch.cat([first, second])
    values = both[((both >= low) & (both <= high)).all(-1)]
    if not len(values):  # of few rows and many covariates
        values = both
    return values.sort(0).values if values.shape[1] == 1 else values


class CovariateDraw:
    """Batches of one side: for values drawn from both sides alike, one of the rows nearest to each.

    Args:
        rows: (n, d), the side's rows in the units of the data.
        index: (n, p), their scaled covariates.
        points: (n, d + e), the rows as conditioned points.
        values: (a, p), the values; sorted where p is one, and then every batch is spread evenly over them.
        settings: `neighbours` and `covariate_jitter`.
        generator: source of the jitter that tells rows of one value apart.
        different: the first so many rows are different, and the others are these again, in the same order; by default
            all are different.
        lenders: (n,), which rows of the other side lent the covariates, None where they are the rows' own.
    """

    def __init__(
        self,
        rows: Tensor,
        index: Tensor,
        points: Tensor,
        values: Tensor,
        settings: PipelineSettings,
        generator: torch.Generator,
        different: int | None = None,
        lenders: Tensor | None = None,
    ) -> None:
        self.data, self.index, self.points, self.values = rows, index, points, values
        self.different, self.lenders = different or len(rows), lenders
        self.settings, self.size = settings, len(points)
        self.tree = KDTree(self._jittered(index, generator))

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        """Return a batch: (n, d + e), or as many as there are rows."""
        return self.rows(min(n, self.size), generator)

    def rows(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows drawn with replacement, in random order."""
        return self.points[
            self._positions(n, generator).to(self.points.device, non_blocking=True)
        ]

    def distinct(self, n: int, generator: torch.Generator) -> Tensor:
        """Return the different ones of n rows drawn: (k, d + e)."""
        positions = self._positions(n, generator).unique()
        return self.points[positions.to(self.points.device, non_blocking=True)]

    def measured(self, n: int, generator: torch.Generator) -> CountedRows:
        """Return the different ones of n rows drawn, how often each was, and their scaled covariates."""
        positions, times = self._positions(n, generator).unique(return_counts=True)
        return CountedRows(
            self.data[positions],
            self.index[positions],
            times,
            observation=positions % self.different,
            lender=None if self.lenders is None else self.lenders[positions],
        )

    def _positions(self, n: int, generator: torch.Generator) -> Tensor:
        """Return where n rows drawn with replacement are, in random order: (n,)."""
        places = torch.arange(n, dtype=torch.float64)
        places = (places + torch.rand(1, generator=generator, dtype=torch.float64)) / n
        if self.values.shape[1] > 1:
            places = torch.rand(n, generator=generator, dtype=torch.float64)
        chosen = (places * len(self.values)).long().clamp(max=len(self.values) - 1)
        k = min(self.settings.neighbours, self.size)
        near = self._jittered(self.values[chosen], generator)
        _, nearest = self.tree.query(near, k=np.arange(1, k + 1))
        one = torch.randint(k, (n, 1), generator=generator)
        positions = torch.from_numpy(nearest).gather(1, one).squeeze(1)
        return positions[torch.randperm(n, generator=generator)]

    def _jittered(
        self, values: Tensor, generator: torch.Generator
    ) -> NDArray[np.floating]:
        noise = torch.rand(values.shape, generator=generator, dtype=values.dtype)
        return (values + self.settings.covariate_jitter * noise).numpy()
