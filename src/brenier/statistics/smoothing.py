"""Rows drawn again and again, smeared anew each time.

Few rows are soon known by heart. Smeared by Gaussian kernels they are draws from an estimate of their law's density,
and the map between two such estimates is a better estimate of the map than that between the samples ("Plugin Estimation
of Smooth Optimal Transport Maps", Manole et al., 2024). Rows are drawn in towards their mean as well, so that variances
stay what they are ("Density Estimation for Statistics and Data Analysis", Silverman, 1986, section 6.4.1).
"""

from __future__ import annotations

import torch
from torch import Tensor


def reference_bandwidth(n: float, dim: int) -> float:
    """Return the kernel width, in standard deviations, that estimates a normal density best (Silverman, 1986, (4.14)).

    Args:
        n: rows, or infinity.
        dim: of the rows.
    """
    return float((4 / (n * (dim + 2))) ** (1 / (dim + 4)))


class Smoothing:
    """Gaussian kernels for one side.

    Args:
        rows: (n, d), of that side, for mean and standard deviations.
        space: how many leading coordinates are smeared.
    """

    def __init__(self, rows: Tensor, space: int) -> None:
        self.mean, self.spread = (
            rows[:, :space].mean(0),
            rows[:, :space].std(0, correction=0),
        )

    def __call__(
        self, rows: Tensor, bandwidth: float, generator: torch.Generator
    ) -> Tensor:
        """Return rows (n, d) smeared.

        Args:
            rows: of that side.
            bandwidth: of the kernels, in standard deviations of each coordinate.
            generator: source of the noise.
        """
        if not bandwidth:
            return rows
        rows, fixed = rows.tensor_split([len(self.mean)], -1)
        noise = torch.randn(rows.shape, generator=generator, dtype=rows.dtype).to(
            rows.device
        )
        moved = torch.addcmul(rows - self.mean, noise, bandwidth * self.spread)
        return torch.cat([self.mean + moved / (1 + bandwidth**2) ** 0.5, fixed], -1)
