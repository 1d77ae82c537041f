"""Weights that give a batch the moments of its population.

The gradient of J is the difference of two batch means, of dg(x) and of dg(y*(z)), and most of its noise is that of the
batches' own moments, while those of the populations are known from many more rows. With features f of known mean m,

    w_i = (1 - (f_i - f_own)' S^-1 (f_other - m)) / n,

where f_own and S are the mean and covariance of f in the half of the batch that holds row i, and f_other is the mean in
the other half: what one half misses is corrected by the regression on f in the other. A mean under these weights has no
bias, since the halves are independent, and the noise of what the features do not explain ("Calibration Estimators in
Survey Sampling", Deville and Sarndal, 1992, (1.5), with the sample split in two). The correction is scaled down where a
weight would turn negative: J would then push a potential up where it has data.

Where several processes hold a part of a batch each, means, covariances and scales are those of the whole batch, and the
rows of a half are those in even, or odd, places of every part.

The features are coordinates, then their products (or squares), then waves cos(<omega, u> + phi) of random frequency and
phase ("Random Features for Large-Scale Kernel Machines", Rahimi and Recht, 2007): as many as a batch has rows for.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from brenier.statistics.pool import ALONE, Pool, pooled_means
from brenier.statistics.weighted import effective_rows, weighted_mean


@dataclasses.dataclass(frozen=True)
class CalibrationSettings:
    """How many features calibrate a batch, and how.

    Attributes:
        rows_per_feature: rows of a batch per feature, at least: with fewer the regression fits noise.
        rows_per_wave: rows of a batch per feature, at least, if waves are among them: they explain less.
        clip_at: standard deviations at which a coordinate is clipped, so that no row decides alone.
        calibration_ridge: added to the features' covariance, relative to the mean variance of a feature.
        feature_rows_at_once: rows whose features are held in memory at once.
    """

    rows_per_feature: int = 6
    rows_per_wave: int = 16
    clip_at: float = 3.0
    calibration_ridge: float = 1e-5
    feature_rows_at_once: int = 65_536


class Features:
    """Coordinates, then their products (or squares), then waves: as many as n rows allow.

    Args:
        n: rows of a batch.
        like: (?, d), a tensor of precision and device of the points, and of their leading coordinates that count.
        generator: source of the waves.
        settings: how many features, and where coordinates are clipped.
    """

    def __init__(
        self,
        n: int,
        like: Tensor,
        generator: torch.Generator,
        settings: CalibrationSettings = CalibrationSettings(),
    ) -> None:
        d = like.shape[1]
        most = n // settings.rows_per_feature
        self.dim = d
        self.clip_at = settings.clip_at
        self.linear = d if d <= most else 0
        self.products = _index_pairs(d, most - d, like.device)
        waves = max(0, n // settings.rows_per_wave - d - self.products.shape[1])
        frequency = torch.randn(d, waves, generator=generator)
        phase = torch.rand(waves, generator=generator)
        self.frequency = (math.sqrt(2 / d) * frequency).to(like)
        self.phase = (2 * math.pi * phase).to(like)

    def __call__(self, points: Tensor) -> Tensor:
        """Return the features of points (n, d): (n, p)."""
        points = points[:, : self.dim].clamp(-self.clip_at, self.clip_at)
        waves = torch.cos(torch.addmm(self.phase, points, self.frequency))
        # On a CPU index_select is seven times as fast as points[:, i].
        i, j = self.products
        products = points.index_select(1, i) * points.index_select(1, j)
        return torch.cat([points[:, : self.linear], products, waves], -1)


def _index_pairs(d: int, most: int, device: torch.device) -> Tensor:
    """Return which of d coordinates are multiplied: all pairs, else the squares, else none: (2, at most `most`)."""
    if d * (d + 1) // 2 <= most:
        return torch.triu_indices(d, d, device=device)
    squares = d if d <= most else 0
    return torch.arange(squares, device=device).expand(2, -1)


class Calibration:
    """The known means of one population's features, which batches improve where the rows given are not all.

    Args:
        features: what batches are calibrated by.
        rows: (N, d), many rows of the population.
        complete: whether they are all of it; if not, the rows of each batch are averaged in as well.
        settings: the ridge, and how many rows are taken at once.
        weights: (N,), of the rows, or None; those of batches count alike, since they are drawn in proportion.
    """

    def __init__(
        self,
        features: Features,
        rows: Tensor,
        complete: bool,
        settings: CalibrationSettings = CalibrationSettings(),
        weights: Tensor | None = None,
    ) -> None:
        self.features, self.complete = features, complete
        self.ridge = settings.calibration_ridge
        self.mean = torch.zeros((), dtype=torch.float64, device=rows.device)
        self.count: float = 0
        if weights is not None:  # so that batches count beside what the rows are worth
            worth = effective_rows(len(weights), weights)
            weights = weights * (worth / weights.sum())
        for first in range(0, len(rows), settings.feature_rows_at_once):
            chunk = slice(first, first + settings.feature_rows_at_once)
            own = None if weights is None else weights[chunk]
            found = features(rows[chunk])
            worth = len(found) if own is None else float(own.sum())
            self.average_in(weighted_mean(found, own), worth)
        self.count = round(self.count)

    def weights(self, points: Tensor) -> Tensor:
        """Return the weights of a batch (n, d): (n,), none negative, of sum one."""
        return calibrated_weights([self], [points])[0]

    def state_dict(self) -> dict[str, Tensor]:
        """Return the means and how many rows they are from."""
        return {"mean": self.mean, "count": torch.tensor(self.count)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from the means that `state_dict` returned."""
        self.mean = state["mean"].to(self.mean.device)
        self.count = int(state["count"])

    def average_in(self, mean: Tensor, worth: float) -> None:
        """Take in the mean of more rows (p,), which count like so many."""
        self.count += worth
        self.mean = self.mean + (mean.double() - self.mean) * (worth / self.count)


def calibrated_weights(
    sides: Sequence[Calibration], batches: Sequence[Tensor], pool: Pool = ALONE
) -> list[Tensor]:
    """Return the weights of a batch of every side, none negative, of sum one over all processes: (n_i, d) -> (n_i,).

    Args:
        sides: what is known of either side.
        batches: (n_i, d), the part of the batch that this process holds.
        pool: the processes that hold the other parts.
    """
    every = [side.features(points) for side, points in zip(sides, batches, strict=True)]
    halves = [half for features in every for half in (features[::2], features[1::2])]
    learning = [k for k, side in enumerate(sides) if not side.complete]
    means, counts = pooled_means([*halves, *(every[k] for k in learning)], pool)
    changes = _changes(sides, halves, means, counts, pool)
    weights = []
    for k, points in enumerate(batches):
        found = torch.empty_like(points[:, 0])
        rows = counts[2 * k] + counts[2 * k + 1]
        found[::2] = (1 - changes[2 * k]) / rows
        found[1::2] = (1 - changes[2 * k + 1]) / rows
        weights.append(found)
    for k, mean, count in zip(
        learning, means[len(halves) :], counts[len(halves) :], strict=True
    ):
        sides[k].average_in(mean, count)
    return weights


def _changes(
    sides: Sequence[Calibration],
    halves: Sequence[Tensor],
    means: Sequence[Tensor],
    counts: Sequence[float],
    pool: Pool,
) -> list[Tensor]:
    """Return by which share the weights of every half are lowered for what the other half misses."""
    centred = [
        half - mean for half, mean in zip(halves, means[: len(halves)], strict=True)
    ]
    grams = pool.sums([half.mT @ half for half in centred])
    changes = []
    for k, own in enumerate(centred):
        side, other = sides[k // 2], k ^ 1
        if not counts[k] or not counts[other]:
            changes.append(own.new_zeros(len(own)))
            continue
        gram = grams[k] / counts[k]
        variance = gram.diagonal().mean()
        gram.diagonal().add_(side.ridge * variance + torch.finfo(gram.dtype).tiny)
        factor, _ = torch.linalg.cholesky_ex(gram)
        missing = (means[other] - side.mean).to(factor).unsqueeze(-1)
        solved = torch.cholesky_solve(missing, factor)
        changes.append((own @ solved).squeeze(-1))
    # Scaled down so far that no weight turns negative.
    tops = pool.largest([_largest(change) for change in changes])
    pairs = zip(changes, tops, strict=True)
    scaled = [change / top.clamp(min=1.0) for change, top in pairs]
    sound = [
        change.isfinite().all() & top.isfinite()
        for change, top in zip(scaled, tops, strict=True)
    ]
    return [
        torch.where(fine, change, 0.0)
        for fine, change in zip(sound, scaled, strict=True)
    ]


def _largest(change: Tensor) -> Tensor:
    """Return the largest entry, which is nan where one is, or zero where there are none: ()."""
    return change.max() if len(change) else change.new_zeros(())
