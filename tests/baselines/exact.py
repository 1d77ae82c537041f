"""Potentials u(x, t) that solve the Hamilton-Jacobi equation between Gaussians, and one of a single feature."""

import torch
from torch import Tensor

from brenier.baselines.flow_network import Jet
from brenier.statistics import Gaussian, gaussian_map


class GaussianPotential:
    """u(x, t) = (x - m_t)' B_t (x - m_t)/2 + D . x - t |D|^2/2, B_t = (A - I)(I + t (A - I))^{-1}.

    A is the optimal map's linear part. The common `factor` makes u wrong, and so does a sign of the speed.
    """

    def __init__(self, first: Gaussian, second: Gaussian) -> None:
        self.first, self.second = first, second
        self.matrix = gaussian_map(first, second)
        self.shift = second.mean - first.mean

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return self.jet(x, t).value

    def jet(self, x: Tensor, t: Tensor) -> Jet:
        eye = torch.eye(x.shape[1], dtype=x.dtype)
        stretch = self.matrix - eye
        bend = torch.linalg.solve(eye + t[:, None, None] * stretch, stretch)
        centred = x - torch.lerp(self.first.mean, self.second.mean, t[:, None])
        bent = (bend @ centred.unsqueeze(-1)).squeeze(-1)
        value = torch.linalg.vecdot(centred, bent) / 2 + x @ self.shift
        value = value - t * self.shift.square().sum() / 2
        gradient = bent + self.shift
        return Jet(value, gradient, -gradient.square().sum(-1) / 2)

    def forward_map(self, x: Tensor) -> Tensor:
        return self.second.mean + (x - self.first.mean) @ self.matrix

    def backward_map(self, z: Tensor) -> Tensor:
        back = torch.linalg.solve(self.matrix, (z - self.second.mean).mT).mT
        return self.first.mean + back


def gaussians(dim: int, seed: int = 0) -> GaussianPotential:
    """The potential between two random Gaussians."""
    generator = torch.Generator().manual_seed(seed)
    laws = []
    for _ in range(2):
        root = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
        mean = torch.randn(dim, generator=generator, dtype=torch.float64)
        covariance = root @ root.mT + 0.3 * torch.eye(dim, dtype=torch.float64)
        laws.append(Gaussian(mean, covariance))
    return GaussianPotential(*laws)
