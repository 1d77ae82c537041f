"""Gaussian fits of samples, and the optimal map between two Gaussians.

    T(x) = m1 + M (x - m0),   M = S0^{-1/2} (S0^{1/2} S1 S0^{1/2})^{1/2} S0^{-1/2}

is optimal between N(m0, S0) and N(m1, S1) (Olkin and Pukelsheim, 1982; Knott and Smith, 1984). Covariances are shrunk
towards a multiple of the identity ("A well-conditioned estimator for large-dimensional covariance matrices", Ledoit and
Wolf, 2004), which vanishes as samples grow and keeps them safe when n < d or a feature is constant.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor

RIDGE = 1e-9  # smallest variance, relative to the mean one


class Gaussian(NamedTuple):
    """A mean (d,) and a positive definite covariance (d, d), float64."""

    mean: Tensor
    covariance: Tensor


def fit_gaussian(x: Tensor, floor: float = 0.0) -> Gaussian:
    """Return the Gaussian fit of x (n, d), every variance at least `floor`, in float64 on the CPU."""
    x = x.detach().to("cpu", torch.float64)
    mean = x.mean(0)
    centred = x - mean
    n, d = centred.shape
    covariance = centred.mT @ centred / n
    average = covariance.diagonal().mean()
    # Two centred samples are each other's opposite, which the formula takes for perfect agreement.
    shrinkage = float(ledoit_wolf_shrinkage(centred.numpy(), assume_centered=True)) if n > 2 and average > 0 else 1.0
    eye = torch.eye(d, dtype=torch.float64)
    covariance = (1 - shrinkage) * covariance + (shrinkage * average + max(floor, RIDGE * float(average))) * eye
    return Gaussian(mean, covariance)


def gaussian_map(source: Gaussian, target: Gaussian) -> Tensor:
    """Return M (d, d), the symmetric positive definite linear part of the optimal map."""
    root, inverse_root = matrix_power(source.covariance, 0.5), matrix_power(source.covariance, -0.5)
    middle = matrix_power(root @ target.covariance @ root, 0.5)
    return inverse_root @ middle @ inverse_root


def matrix_power(matrix: Tensor, power: float) -> Tensor:
    """Return a power of a symmetric positive definite matrix (d, d); eigenvalues lost to rounding are floored."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    floor = values[-1].clamp(min=torch.finfo(values.dtype).tiny) * torch.finfo(values.dtype).eps
    return (vectors * values.clamp(min=floor) ** power) @ vectors.mT
