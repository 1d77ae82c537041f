"""Gaussian fits of samples, and the optimal map between two Gaussians.

    T(x) = m1 + M (x - m0),   M = S0^{-1/2} (S0^{1/2} S1 S0^{1/2})^{1/2} S0^{-1/2}

is optimal between N(m0, S0) and N(m1, S1) (Olkin and Pukelsheim, 1982; Knott and Smith, 1984). Covariances are shrunk
towards a multiple of the identity ("A well-conditioned estimator for large-dimensional covariance matrices", Ledoit and
Wolf, 2004), which vanishes as samples grow and keeps them safe when n < d or a feature is constant.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from scipy.optimize import minimize_scalar
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor

RIDGE = 1e-9  # smallest variance, relative to the mean one
ALIKE = (-3.0, 18.0)  # between these lies the logarithm of how alike classes are


class Gaussian(NamedTuple):
    """A mean (d,) and a positive definite covariance (d, d), float64."""

    mean: Tensor
    covariance: Tensor


class Moments(NamedTuple):
    """What is known of some rows: mean (d,) and covariance (d, d), float64, how far to shrink that, and how many."""

    mean: Tensor
    covariance: Tensor
    shrinkage: float
    rows: int


def moments(rows: Tensor | Iterable[Tensor], unit: Tensor | float = 1.0) -> Moments:
    """Return the moments of rows (n, d), at once or in parts one after the other, in these units: float64, on the CPU.

    Parts are merged as in "Updating formulae and a pairwise algorithm for computing sample variances" (Chan, Golub and
    LeVeque, 1979). Shrinkage falls like one over the rows.
    """
    count, mean, scatter, shrinkage = 0, torch.zeros(()), torch.zeros(()), 0.0
    for part in [rows] if isinstance(rows, Tensor) else rows:
        part = part.detach().to("cpu", torch.float64) / unit
        n, own = len(part), part.mean(0)
        centred, step = part - own, own - mean
        scatter = (
            scatter
            + centred.mT @ centred
            + torch.outer(step, step) * (count * n / (count + n))
        )
        mean, count = mean + step * (n / (count + n)), count + n
        shrinkage += n**2 * _shrinkage(centred)
    return Moments(mean, scatter / count, shrinkage / count**2, count)


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
    return regularised(moments(x), floor)


def shared(found: Sequence[Moments]) -> list[Moments]:
    """Return the moments of several classes, their covariances drawn to the common one as far as the classes are alike.

    Covariances are taken to vary about the common one S by an inverse Wishart law,

        Sigma_k ~ IW(kappa S, kappa + d + 1),     E[Sigma_k | class k] = (kappa S + n_k S_k) / (kappa + n_k - 1),

    with the kappa under which the classes' scatters are most likely (empirical Bayes; "Bayesian Data Analysis", Gelman
    et al., 2013, section 3.6). A class of few rows borrows from the others, one of many keeps its own.
    """
    total = sum(side.rows for side in found)
    if len(found) == 1 or total == len(found):
        return list(found)
    common = Moments(
        torch.zeros_like(found[0].mean),
        sum((side.rows * side.covariance for side in found), torch.zeros(()))
        / (total - len(found)),
        sum(side.rows**2 * side.shrinkage for side in found) / total**2,
        total,
    )
    prior = regularised(common).covariance
    bound = minimize_scalar(
        lambda log: _surprise(found, prior, math.exp(log)),
        bounds=ALIKE,
        method="bounded",
    )
    kappa = math.exp(float(bound.x))
    return [
        side._replace(
            covariance=(kappa * prior + side.rows * side.covariance)
            / (kappa + side.rows - 1),
            shrinkage=0.0,
        )
        for side in found
    ]


def _surprise(found: Sequence[Moments], prior: Tensor, kappa: float) -> float:
    """Return minus the log-likelihood of the scatters n_k S_k under kappa, up to a constant."""
    d = len(prior)
    degrees = kappa + d + 1
    scatters = torch.stack([side.rows * side.covariance for side in found])
    freedom = torch.tensor([side.rows - 1.0 for side in found], dtype=torch.float64)
    first = 0.5 * degrees * torch.logdet(kappa * prior) - torch.special.multigammaln(
        torch.tensor(degrees / 2), d
    )
    after = torch.special.multigammaln((degrees + freedom) / 2, d)
    return -float(
        (
            first
            + after
            - 0.5 * (degrees + freedom) * torch.logdet(kappa * prior + scatters)
        ).sum()
    )


def gaussian_map(source: Gaussian, target: Gaussian) -> Tensor:
    """Return M (d, d), the symmetric positive definite linear part of the optimal map."""
    root, inverse_root = (
        matrix_power(source.covariance, 0.5),
        matrix_power(source.covariance, -0.5),
    )
    middle = matrix_power(root @ target.covariance @ root, 0.5)
    return inverse_root @ middle @ inverse_root


def matrix_power(matrix: Tensor, power: float) -> Tensor:
    """Return a power of a symmetric positive definite matrix (d, d); eigenvalues lost to rounding are floored."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    floor = (
        values[-1].clamp(min=torch.finfo(values.dtype).tiny)
        * torch.finfo(values.dtype).eps
    )
    return (vectors * values.clamp(min=floor) ** power) @ vectors.mT
