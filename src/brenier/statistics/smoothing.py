"""The smoothed bootstrap: rows that are drawn repeatedly are jittered anew each time.

A network soon overfits few rows. Jittered by Gaussian kernels they are draws from a kernel estimate of their law's
density, and the map between two such estimates is a better estimate of the map than that between the samples ("Plugin
Estimation of Smooth Optimal Transport Maps", Manole et al., 2024). Rows are also shrunk towards their mean, so that
variances stay what they are ("Density Estimation for Statistics and Data Analysis", Silverman, 1986, section 6.4.1):

    x -> m + (x - m + h s e) / (1 + h^2)^(1/2),   e ~ N(0, I),

with m and s the mean and the standard deviations of the sample and h the bandwidth.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brenier.statistics.weighted import Weighted


def reference_bandwidth(n: float, dim: int) -> float:
    """Return the kernel width that estimates a normal density best (Silverman, 1986, (4.14)).

    Args:
        n: rows, or infinity, for which the width is zero.
        dim: of the rows.

    Returns:
        The width in standard deviations of each coordinate.
    """
    return float((4 / (n * (dim + 2))) ** (1 / (dim + 4)))


class Smoothing:
    """Gaussian kernels for the sample of one side.

    Args:
        rows: (n, d), of that side, for mean and standard deviations.
        dim: how many leading coordinates are jittered; the others, such as conditions, stay as they are.
        weights: (n,), of the rows, or None.
    """

    def __init__(self, rows: Tensor, dim: int, weights: Tensor | None = None) -> None:
        self.mean = rows[:, :dim].mean(0)
        self.deviation = rows[:, :dim].std(0, correction=0)
        if weights is not None:
            side = Weighted(rows[:, :dim], weights)
            self.mean = side.mean().to(rows)
            self.deviation = side.variance().sqrt().to(rows)

    def __call__(
        self, rows: Tensor, bandwidth: float, generator: torch.Generator
    ) -> Tensor:
        """Return jittered rows: (n, d).

        Args:
            rows: (n, d), of that side.
            bandwidth: of the kernels, in standard deviations of each coordinate; rows are given back if it is zero.
            generator: source of the noise.
        """
        if not bandwidth:
            return rows
        rows, fixed = rows.tensor_split([len(self.mean)], -1)
        noise = torch.randn(rows.shape, generator=generator, dtype=rows.dtype)
        noise = noise.to(rows.device, non_blocking=True)
        jittered = torch.addcmul(rows - self.mean, noise, bandwidth * self.deviation)
        shrunk = jittered / (1 + bandwidth**2) ** 0.5
        return torch.cat([self.mean + shrunk, fixed], -1)
