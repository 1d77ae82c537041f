"""How far generated rows are from test rows, and returned test rows from N(0, I).

MMD         unbiased squared MMD, the sum of five Gaussian kernels exp(-|a - b|^2 / (2 s)): s is the median squared
            distance of the test rows times 1/4, 1/2, 1, 2 and 4
published   squared MMD with the one kernel exp(-|a - b|^2), biased (V) and unbiased (U); V is never below about
            1/n + 1/m, whatever the rows are
energy      unbiased energy distance

All are found in one pass over the distances: the five kernels are powers of one. They agree with `brenier.metrics`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brenier.metrics import MetricSettings, median_bandwidths

RESAMPLES = 5
MOST = 5_000  # rows of a side and resample
AT_ONCE = 64  # rows of a block of distances

Draw = Callable[[int, torch.Generator], Tensor]


class KernelMeans(NamedTuple):
    """Means over pairs of rows: of the sum of kernels, of the published kernel, and of minus the distance."""

    several: float
    published: float
    energy: float


class Discrepancies(NamedTuple):
    """Of two sets of rows."""

    mmd: float
    published_u: float
    published_v: float
    energy: float


def kernel_means(
    a: Tensor, b: Tensor | None, bandwidths: Sequence[float]
) -> KernelMeans:
    """Return means over all pairs of rows (n, d), (m, d); without b over distinct pairs of a.

    Args:
        a, b: float64.
        bandwidths: from the least to the greatest, each twice the one before.
    """
    other = a if b is None else b
    sums = torch.zeros(3, dtype=torch.float64)
    for part in a.split(AT_ONCE):
        distances = torch.cdist(part, other)
        sums[2] -= distances.sum()
        squares = distances.square_()
        power = torch.exp(squares / (-2 * bandwidths[-1]))
        sums[0] += power.sum()
        for _ in bandwidths[1:]:
            sums[0] += power.square_().sum()
        sums[1] += squares.neg_().exp_().sum()
    pairs = len(a) * len(other)
    if b is None:
        pairs -= len(a)
        sums -= len(a) * torch.tensor([len(bandwidths), 1.0, 0.0])  # a row and itself
    return KernelMeans(*(sums / pairs).tolist())


def discrepancies(
    x: KernelMeans, y: KernelMeans, across: KernelMeans, n: int, m: int
) -> Discrepancies:
    """Return what the means within n rows, within m others, and across say."""
    several, published, energy = (
        a + b - 2 * c for a, b, c in zip(x, y, across, strict=True)
    )
    biased = published + (1 - x.published) / n + (1 - y.published) / m
    return Discrepancies(several, published, biased, energy)


class Judge:
    """Compares sets of rows with the same test rows, drawn once.

    Args:
        test: (m, d).
        seed: of the resamples.
        most: rows of a side and resample; all where there are fewer.
    """

    def __init__(self, test: Tensor, seed: int, most: int = MOST) -> None:
        self.n, self.seed = min(most, len(test)), seed
        rows = test.double()
        half = rows[: 2 * (len(rows) // 2)].unflatten(0, (2, -1))
        factors = MetricSettings().bandwidth_factors
        known = median_bandwidths(half[0], half[1])
        self.bandwidths = [known[0] / factors[0] * factor for factor in factors]
        self.samples = []
        for k in range(RESAMPLES):
            order = torch.randperm(len(rows), generator=self._generator(k))
            self.samples.append(rows[order[: self.n]])
        whole = self.n == len(rows)  # then all resamples are the same rows
        within = [
            kernel_means(part, None, self.bandwidths)
            for part in self.samples[: 1 if whole else None]
        ]
        self._within = within * RESAMPLES if whole else within

    def compare(self, draw: Draw) -> dict[str, Any]:
        """Return how far drawn rows are from the test rows: mean and standard deviation over resamples.

        Args:
            draw: (n, generator) -> (n, d), new rows on every call.
        """
        found = []
        for k, (test, within) in enumerate(
            zip(self.samples, self._within, strict=True)
        ):
            rows = draw(self.n, self._generator(100 + k)).double()
            own = kernel_means(rows, None, self.bandwidths)
            across = kernel_means(rows, test, self.bandwidths)
            found.append(discrepancies(own, within, across, len(rows), len(test)))
        numbers: dict[str, Any] = {"rows": self.n, "floor_v": 2 / self.n}
        for name in Discrepancies._fields:
            values = [getattr(each, name) for each in found]
            numbers[name] = statistics.mean(values)
            numbers[f"{name}_sd"] = statistics.stdev(values)
        return numbers

    def _generator(self, k: int) -> torch.Generator:
        return torch.Generator().manual_seed(1000 * self.seed + k)


def latent_numbers(latent: Tensor, seed: int) -> dict[str, float]:
    """Return the moments of returned rows (n, d), which are to be N(0, I), and their energy distance to a sample."""
    rows = latent.double()
    generator = torch.Generator().manual_seed(987_654 + seed)
    normal = torch.randn(rows.shape, generator=generator, dtype=torch.float64)
    variance = rows.var(0)
    within = [kernel_means(part, None, [1.0]).energy for part in (rows, normal)]
    across = kernel_means(rows, normal, [1.0]).energy
    return {
        "latent_mean": float(rows.mean(0).abs().max()),
        "latent_variance_least": float(variance.min()),
        "latent_variance_most": float(variance.max()),
        "latent_energy": sum(within) - 2 * across,
    }
