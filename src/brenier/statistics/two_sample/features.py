"""What is averaged over rows and compared: features of columns, of pairs of columns, and of whole rows."""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import torch
from torch import Tensor

from brenier.statistics.two_sample.ranks import PooledRanks
from brenier.statistics.two_sample.settings import ComparisonSettings
from brenier.statistics.two_sample.surprise import (
    among_others,
    gamma_surprise,
    normal_surprise,
)


class MeanFeatures(Protocol):
    """Features of rows, and what differences of their means say."""

    @property
    def per_row(self) -> int:
        """How many numbers are held at once for a row."""
        ...

    def means(self, places: Tensor, scores: Tensor) -> Tensor:
        """Return the mean features of groups of rows: (groups, size, d), twice -> (groups, features)."""
        ...

    def surprises(self, differences: Tensor, errors: Tensor) -> Tensor:
        """Return how surprising differences of means are, each kind weighted by its share of the level.

        Args:
            differences: (k, features).
            errors: (features,), their standard deviations over all permutations, zero for constants.
        """
        ...


def standardised(differences: Tensor, errors: Tensor) -> Tensor:
    """Return differences in standard errors, zero where a feature is constant."""
    known = errors > 0
    return torch.where(known, differences / torch.where(known, errors, 1.0), 0.0)


@dataclasses.dataclass(frozen=True)
class ColumnFeatures:
    """Normal scores, their squares, ends and the distribution function of every column.

    Attributes:
        table: (places, features), the features of a value at a place.
        shape_variances: (d,), of the mean square of standardised differences of the distribution function.
        settings: shares of the level.
    """

    table: Tensor
    shape_variances: Tensor
    settings: ComparisonSettings

    @property
    def per_row(self) -> int:
        """How many numbers are held at once for a row."""
        return len(self.shape_variances)

    def means(self, places: Tensor, scores: Tensor) -> Tensor:
        """Return the means of all features of all columns, column by column."""
        groups, size, d = places.shape
        bags = places.transpose(1, 2).reshape(groups * d, size)
        found = torch.nn.functional.embedding_bag(bags, self.table, mode="mean")
        return found.reshape(groups, -1)

    def surprises(self, differences: Tensor, errors: Tensor) -> Tensor:
        """Return one number per column: (k, d)."""
        settings = self.settings
        z = standardised(differences, errors).unflatten(-1, (-1, self.table.shape[1]))
        valid = (errors > 0).unflatten(-1, (-1, self.table.shape[1]))
        ends = 2 + 2 * len(settings.ends)
        squares = z[..., ends:].square().sum(-1)
        count = valid[..., ends:].sum(-1)
        shape = gamma_surprise(
            squares / count.clamp_min(1), (count > 0).double(), self.shape_variances
        )
        tails = normal_surprise(z[..., 2:ends]).amax(-1)
        parts = (
            (normal_surprise(z[..., 0]), settings.location),
            (normal_surprise(z[..., 1]), settings.scale),
            (shape, settings.shape),
            (tails, settings.tails / (ends - 2)),
        )
        weighted = [part + math.log(share) for part, share in parts]
        return torch.stack(weighted).amax(0) - math.log(z.shape[1])


def column_features(ranks: PooledRanks, settings: ComparisonSettings) -> ColumnFeatures:
    """Return the features of columns with these ranks."""
    shares, scores = ranks.shares, ranks.scores
    ends = [shares <= end for end in settings.ends]
    ends += [shares >= 1 - end for end in settings.ends]
    steps = settings.thresholds + 1
    at = torch.arange(1, steps).double() / steps
    below = shares[:, None] <= at
    first = torch.stack([scores, scores.square(), *ends], -1)
    table = torch.cat([first, below.double()], -1)
    places = ranks.places(ranks.values.mT)  # (R, d)
    fractions = below.double()[places].mean(0)  # (d, thresholds)
    return ColumnFeatures(table, _shape_variances(fractions), settings)


def _shape_variances(fractions: Tensor) -> Tensor:
    """Return the variance of the mean of squares of indicators of nested sets, standardised: (d, t) -> (d,).

    Indicators of shares p <= q have correlation sqrt(p (1 - q) / (q (1 - p))), and squares of normal variables of
    correlation r have covariance 2 r^2.
    """
    inside = (fractions > 0) & (fractions < 1)
    odds = torch.where(inside, fractions / (1 - fractions).clamp_min(1e-9), 1.0)
    ratio = odds[:, :, None] / odds[:, None, :]
    squared = torch.minimum(ratio, 1 / ratio)
    both = inside[:, :, None] & inside[:, None, :]
    count = inside.sum(-1).clamp_min(1)
    return 2 * torch.where(both, squared, 0.0).sum((1, 2)) / count.square()


@dataclasses.dataclass(frozen=True)
class PairFeatures:
    """Products of the normal scores of two columns, and of the sizes of these scores.

    Attributes:
        first, second: (p,), the columns.
        sizes: (d,), the mean size of the scores of each column.
    """

    first: Tensor
    second: Tensor
    sizes: Tensor

    @property
    def per_row(self) -> int:
        """How many numbers are held at once for a row."""
        return 4 * len(self.first)

    def means(self, places: Tensor, scores: Tensor) -> Tensor:
        """Return the means of both products: (groups, 2 p)."""
        sizes = scores.abs() - self.sizes
        return torch.cat([self._products(scores), self._products(sizes)], -1)

    def _products(self, scores: Tensor) -> Tensor:
        """Return the means of products of columns: (groups, p)."""
        size, d = scores.shape[1:]
        if d * d > size * len(self.first):
            return (scores[..., self.first] * scores[..., self.second]).mean(1)
        products = scores.mT @ scores / size
        return products[:, self.first, self.second]

    def surprises(self, differences: Tensor, errors: Tensor) -> Tensor:
        """Return two numbers per pair: (k, 2 p)."""
        z = standardised(differences, errors)
        return normal_surprise(z) - math.log(z.shape[1])


def pair_features(scores: Tensor, settings: ComparisonSettings) -> PairFeatures:
    """Return the products of the columns that go together most, of scores (R, d) with d > 1."""
    centred = scores - scores.mean(0)
    unit = torch.nn.functional.normalize(centred, dim=0)
    first, second = torch.triu_indices(scores.shape[1], scores.shape[1], 1)
    together = (unit.mT @ unit).abs()[first, second]
    kept = together.topk(min(settings.products, len(together))).indices
    return PairFeatures(first[kept], second[kept], scores.abs().mean(0))


@dataclasses.dataclass(frozen=True)
class KernelFeatures:
    """Waves along random directions: the squared difference of their means is that of a kernel.

    "Random Features for Large-Scale Kernel Machines", Rahimi and Recht, 2007.

    Attributes:
        directions: (d, waves).
    """

    directions: Tensor

    @property
    def per_row(self) -> int:
        """How many numbers are held at once for a row."""
        return 2 * self.directions.shape[1]

    def means(self, places: Tensor, scores: Tensor) -> Tensor:
        """Return the means of cosines and of sines: (groups, 2 waves)."""
        phases = scores @ self.directions
        return torch.cat([phases.cos().mean(1), phases.sin().mean(1)], -1)

    def surprises(self, differences: Tensor, errors: Tensor) -> Tensor:
        """Return one number for the kernel: (k, 1)."""
        known = torch.where(errors > 0, differences, 0.0)
        return among_others(known.square().sum(-1))[:, None]


def kernel_features(
    d: int, generator: torch.Generator, settings: ComparisonSettings
) -> KernelFeatures:
    """Return waves of Gaussian kernels of many widths, each over some of d columns, from two of them to all."""
    waves = settings.waves

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    low, high = (math.log(width) for width in settings.widths)
    widths = torch.exp(low + (high - low) * uniform(waves))
    seen = torch.exp(math.log(min(2, d)) + math.log(d / min(2, d)) * uniform(waves))
    normal = torch.randn(d, waves, generator=generator, dtype=torch.float64)
    directions = torch.where(uniform(d, waves) * d < seen, normal, 0.0)
    return KernelFeatures(directions / (widths * (2 * seen).sqrt()))
