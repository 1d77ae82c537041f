"""Gaussian fits of samples, and the optimal map between two Gaussians.

    T(x) = m1 + M (x - m0),   M = S0^{-1/2} (S0^{1/2} S1 S0^{1/2})^{1/2} S0^{-1/2}

is optimal between N(m0, S0) and N(m1, S1) (Olkin and Pukelsheim, 1982; Knott and Smith, 1984). Covariances are shrunk
towards a multiple of the identity ("A well-conditioned estimator for large-dimensional covariance matrices", Ledoit and
Wolf, 2004), which vanishes as samples grow and keeps them safe when n < d or a feature is constant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor

RIDGE = 1e-9  # smallest variance, relative to the mean one


class Gaussian(NamedTuple):
    """A mean (d,) and a positive definite covariance (d, d), float64."""

    mean: Tensor
    covariance: Tensor


class Moments(NamedTuple):
    """What is known of some rows: their mean (d,) and covariance (d, d), float64, and how far to shrink the latter."""

    mean: Tensor
    covariance: Tensor
    shrinkage: float


def moments(parts: Iterable[Tensor]) -> Moments:
    """Return the moments of rows that come in parts (n, d), one after the other, in float64 on the CPU.

    Parts are merged as in "Updating formulae and a pairwise algorithm for computing sample variances" (Chan, Golub and
    LeVeque, 1979). Shrinkage falls like one over the rows.
    """
    count, mean, scatter, shrinkage = 0, torch.zeros(()), torch.zeros(()), 0.0
    for part in parts:
        part = part.detach().to("cpu", torch.float64)
        n, own = len(part), part.mean(0)
        centred, step = part - own, own - mean
        scatter = scatter + centred.mT @ centred + torch.outer(step, step) * (count * n / (count + n))
        mean, count = mean + step * (n / (count + n)), count + n
        shrinkage += n**2 * _shrinkage(centred)
    return Moments(mean, scatter / count, shrinkage / count**2)


def _shrinkage(centred: Tensor) -> float:
    # Two centred samples are each other's opposite, which the formula takes for perfect agreement.
    if len(centred) <= 2 or not bool(centred.any()):
        return 1.0
    return float(ledoit_wolf_shrinkage(centred.numpy(), assume_centered=True))


def regularised(found: Moments, floor: float = 0.0) -> Gaussian:
    """Return the Gaussian of some moments, shrunk, with every variance at least `floor`."""
    average = float(found.covariance.diagonal().mean())
    eye = torch.eye(len(found.mean), dtype=torch.float64)
    ridge = found.shrinkage * average + max(floor, RIDGE * average)
    return Gaussian(found.mean, (1 - found.shrinkage) * found.covariance + ridge * eye)


def fit_gaussian(x: Tensor, floor: float = 0.0) -> Gaussian:
    """Return the Gaussian fit of x (n, d), every variance at least `floor`, in float64 on the CPU."""
    return regularised(moments([x]), floor)


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
