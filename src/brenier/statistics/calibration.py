"""Weights that give a batch the moments of its population.

The gradient of J is the difference of two batch means, of dg(x) and of dg(y*(z)), and most of its noise is that of the
batches' own moments, while those of the populations are known from many more rows. With features f of known mean m,

    w_i = (1 - (f_i - f_own)' S^-1 (f_other - m)) / n,

where f_own and S are the mean and covariance of f in the half of the batch that holds row i, and f_other is the mean in
the other half: what one half misses is corrected by the regression on f in the other. A mean under these weights has no
bias, since the halves are independent, and the noise of what the features do not explain ("Calibration Estimators in
Survey Sampling", Deville and Sarndal, 1992, (1.5), with the sample split in two). Corrections are made in part where a
weight would turn negative: J would then push a potential up where it has data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

PER_FEATURE = 6  # rows of a batch per feature, at least
PER_WAVE = 16  # rows of a batch per feature, if waves are among them
FAR = 3.0  # standard deviations beyond which a coordinate counts no further: no row decides alone
RIDGE = 1e-5  # relative to the mean variance of a feature
PART = 65_536  # rows whose features are held in memory at once


class Features:
    """Coordinates, then their products (or squares), then waves cos(<omega, u> + phi): as many as n rows bear.

    Args:
        n: rows of a batch.
        like: (?, d), a tensor of precision and device of the points, and of their leading coordinates that count.
        generator: source of the waves.
    """

    def __init__(self, n: int, like: Tensor, generator: torch.Generator) -> None:
        d, most = like.shape[1], n // PER_FEATURE
        self.dim = d
        self.linear = d if d <= most else 0
        if d + d * (d + 1) // 2 <= most:
            self.products = torch.triu_indices(d, d, device=like.device)
        else:
            self.products = torch.arange(
                d if 2 * d <= most else 0, device=like.device
            ).expand(2, -1)
        waves = max(0, n // PER_WAVE - d - self.products.shape[1])
        self.frequency = (
            math.sqrt(2 / d) * torch.randn(d, waves, generator=generator)
        ).to(like)
        self.phase = (2 * math.pi * torch.rand(waves, generator=generator)).to(like)

    def __call__(self, points: Tensor) -> Tensor:
        """Return the features of points (n, d): (n, p)."""
        i, j = self.products
        points = points[:, : self.dim].clamp(-FAR, FAR)
        waves = torch.cos(torch.addmm(self.phase, points, self.frequency))
        products = points.index_select(1, i) * points.index_select(
            1, j
        )  # on a CPU seven times as fast as points[:, i]
        return torch.cat([points[:, : self.linear], products, waves], -1)


class Calibration:
    """The known means of one population, which the batches themselves improve where many rows are not all.

    Args:
        features: what batches are calibrated by.
        rows: (N, d), many rows of the population.
        complete: whether they are all.
    """

    def __init__(self, features: Features, rows: Tensor, complete: bool) -> None:
        self.features, self.complete = features, complete
        self.mean = torch.zeros((), dtype=torch.float64, device=rows.device)
        self.count = 0
        for part in rows.split(PART):
            self._learn(features(part))

    def weights(self, points: Tensor) -> Tensor:
        """Return the weights of a batch (n, d): (n,), none negative, of sum one."""
        features = self.features(points)
        weights = torch.empty_like(points[:, 0])
        halves = features[::2], features[1::2]
        for first, (own, other) in enumerate((halves, halves[::-1])):
            weights[first::2] = (1 - self._change(own, other)) / len(points)
        if not self.complete:
            self._learn(features)
        return weights

    def _change(self, own: Tensor, other: Tensor) -> Tensor:
        """Return by which share the weights of one half are lowered for what the other half misses: (n/2,)."""
        if not len(own) or not len(other):
            return torch.zeros_like(own[:, 0])
        centred = own - own.mean(0)
        gram = centred.mT @ centred / len(own)
        gram.diagonal().add_(
            RIDGE * gram.diagonal().mean() + torch.finfo(gram.dtype).tiny
        )
        factor, _ = torch.linalg.cholesky_ex(gram)
        missing = (other.mean(0) - self.mean).to(factor).unsqueeze(-1)
        change = (centred @ torch.cholesky_solve(missing, factor)).squeeze(-1)
        change = change / change.max().clamp(
            min=1.0
        )  # so much of it that no weight turns negative
        return torch.where(change.isfinite().all(), change, 0.0)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what was learnt."""
        return {"mean": self.mean, "count": torch.tensor(self.count)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what was learnt."""
        self.mean, self.count = state["mean"].to(self.mean.device), int(state["count"])

    def _learn(self, features: Tensor) -> None:
        self.count += len(features)
        self.mean = self.mean + (features.mean(0).double() - self.mean) * (
            len(features) / self.count
        )
