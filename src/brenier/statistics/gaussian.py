"""Gaussian fits of samples, and the optimal map between two Gaussians.

    T(x) = m1 + M (x - m0),   M = S0^{-1/2} (S0^{1/2} S1 S0^{1/2})^{1/2} S0^{-1/2}

is optimal between N(m0, S0) and N(m1, S1) (Olkin and Pukelsheim, 1982; Knott and Smith, 1984). Covariances are shrunk
towards a multiple of the identity ("A well-conditioned estimator for large-dimensional covariance matrices", Ledoit and
Wolf, 2004), which vanishes as samples grow and keeps them safe when n < d or a feature is constant.

Covariances of several classes are pooled. They are taken to vary about a common one S by an inverse Wishart law,

    Sigma_k ~ IW(kappa S, kappa + d + 1),     E[Sigma_k | class k] = (kappa S + n_k S_k) / (kappa + n_k - 1),

with the kappa under which the classes' scatters n_k S_k are most likely (empirical Bayes; "Bayesian Data Analysis",
Gelman et al., 2013, section 3.6). A class of few rows borrows from the others, one of many keeps its own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from brenier.statistics.weighted import (
    Weighted,
    as_weighted,
    effective_rows,
    weighted_mean,
)


@dataclasses.dataclass(frozen=True)
class GaussianSettings:
    """How covariances are regularised and pooled.

    Attributes:
        min_relative_variance: smallest variance in any direction, relative to the mean one.
        log_concentration_bounds: between these lies log kappa, of how alike the covariances of classes are: the first
            leaves each class its own, the second gives all of them the common one.
        one_decomposition_from: features from which on coordinates come of one eigendecomposition instead of six; they
            are the same, up to signs and rounding.
    """

    min_relative_variance: float = 1e-9
    log_concentration_bounds: tuple[float, float] = (-3.0, 18.0)
    one_decomposition_from: float = math.inf


class Gaussian(NamedTuple):
    """A mean (d,) and a positive definite covariance (d, d), float64."""

    mean: Tensor
    covariance: Tensor


class Moments(NamedTuple):
    """Sample moments of some rows.

    Attributes:
        mean: (d,), float64.
        covariance: (d, d), float64, not shrunk.
        shrinkage: share by which the covariance is to be shrunk, between 0 and 1.
        rows: how many there are, or are worth where they are weighted.
    """

    mean: Tensor
    covariance: Tensor
    shrinkage: float
    rows: float


def moments(
    rows: Tensor | Weighted | Iterable[Tensor | Weighted], unit: Tensor | float = 1.0
) -> Moments:
    """Return the moments of rows (n, d), given at once or in chunks, in these units: float64, on the CPU.

    Chunks are merged as in "Updating formulae and a pairwise algorithm for computing sample variances" (Chan, Golub and
    LeVeque, 1979). Shrinkage falls like one over the rows, or over what they are worth.
    """
    total, squares, shrinkage = 0.0, 0.0, 0.0
    mean, scatter = torch.zeros(()), torch.zeros(())
    chunks = [rows] if isinstance(rows, Tensor | Weighted) else rows
    for given in chunks:
        part = as_weighted(given)
        chunk = part.rows.detach().to("cpu", torch.float64) / unit
        n, own = part.total, weighted_mean(chunk, part.weights)
        constant = (chunk == chunk[0]).all(0)  # whose mean is not to be rounded
        own = torch.where(constant, chunk[0], own)
        centred, step = chunk - own, own - mean
        between = torch.outer(step, step) * (total * n / (total + n))
        heavy = centred
        if part.weights is not None:
            heavy = centred * part.weights.unsqueeze(-1)
        own_scatter = heavy.mT @ centred
        scatter = scatter + own_scatter + between
        mean = mean + step * (n / (total + n))
        total += n
        squares += n**2 / part.effective
        shrinkage += n**2 * _shrinkage(centred, own_scatter / n, part.weights)
    worth = total if squares == total else total**2 / squares
    return Moments(mean, scatter / total, shrinkage / total**2, worth)


def _shrinkage(centred: Tensor, covariance: Tensor, weights: Tensor | None) -> float:
    """Return the share by which the covariance (d, d) of centred rows (n, d) is to be shrunk.

    "A well-conditioned estimator for large-dimensional covariance matrices" (Ledoit and Wolf, 2004), Lemma 3.2 to 3.4,
    in n d operations, since the covariance is known; scikit-learn's, which finds it anew, takes n d^2.
    """
    n, d = effective_rows(len(centred), weights), centred.shape[1]
    # Two centred rows are each other's opposite, which the formula takes for perfect agreement.
    if n < 3 or not bool(centred.any()):
        return 1.0
    squares = float(covariance.square().sum())
    between = squares - float(covariance.diagonal().sum()) ** 2 / d
    lengths = torch.linalg.vecdot(centred, centred).square()
    noise = min((float(weighted_mean(lengths, weights)) - squares) / n, between)
    return noise / between if noise > 0 else 0.0


def regularised(
    found: Moments,
    floor: float = 0.0,
    settings: GaussianSettings = GaussianSettings(),
) -> Gaussian:
    """Return the Gaussian of some moments, shrunk, with every variance at least `floor`."""
    average = float(found.covariance.diagonal().mean())
    least = max(floor, settings.min_relative_variance * average)
    ridge = found.shrinkage * average + least
    eye = torch.eye(len(found.mean), dtype=torch.float64)
    covariance = (1 - found.shrinkage) * found.covariance + ridge * eye
    return Gaussian(found.mean, covariance)


def fit_gaussian(
    x: Tensor | Weighted,
    floor: float = 0.0,
    settings: GaussianSettings = GaussianSettings(),
) -> Gaussian:
    """Return the Gaussian fit of x (n, d), every variance at least `floor`, in float64 on the CPU."""
    return regularised(moments(x), floor, settings)


def pool_covariances(
    found: Sequence[Moments], settings: GaussianSettings = GaussianSettings()
) -> list[Moments]:
    """Return the moments of several classes, covariances shrunk to the common one as far as the classes are alike.

    Args:
        found: moments of each class, in the same units.
        settings: between which bounds kappa is sought.

    Returns:
        The same means and counts; the covariances are E[Sigma_k | class k] and need no more shrinkage.
    """
    total = sum(side.rows for side in found)
    if len(found) == 1 or total == len(found):
        return list(found)
    scatters = sum((side.rows * side.covariance for side in found), torch.zeros(()))
    shrinkage = sum(side.rows**2 * side.shrinkage for side in found) / total**2
    common = Moments(
        torch.zeros_like(found[0].mean),
        scatters / (total - len(found)),
        shrinkage,
        total,
    )
    prior = regularised(common, settings=settings).covariance
    optimum = minimize_scalar(
        lambda log: _negative_log_likelihood(found, prior, math.exp(log)),
        bounds=settings.log_concentration_bounds,
        method="bounded",
    )
    kappa = math.exp(float(optimum.x))
    pooled = []
    for side in found:
        scatter = kappa * prior + side.rows * side.covariance
        covariance = scatter / (kappa + side.rows - 1)
        pooled.append(side._replace(covariance=covariance, shrinkage=0.0))
    return pooled


def _negative_log_likelihood(
    found: Sequence[Moments], prior: Tensor, kappa: float
) -> float:
    """Return minus the log-likelihood of the scatters n_k S_k under kappa, up to a constant."""
    d = len(prior)
    degrees = kappa + d + 1
    scatters = torch.stack([side.rows * side.covariance for side in found])
    freedom = torch.tensor([side.rows - 1.0 for side in found], dtype=torch.float64)
    half = torch.tensor(degrees / 2)
    determinant = torch.logdet(kappa * prior)
    before = 0.5 * degrees * determinant - torch.special.multigammaln(half, d)
    after = torch.special.multigammaln((degrees + freedom) / 2, d)
    determinants = torch.logdet(kappa * prior + scatters)
    likelihoods = before + after - 0.5 * (degrees + freedom) * determinants
    return -float(likelihoods.sum())


def gaussian_map(source: Gaussian, target: Gaussian) -> Tensor:
    """Return M (d, d), the symmetric positive definite linear part of the optimal map."""
    root = matrix_power(source.covariance, 0.5)
    inverse_root = matrix_power(source.covariance, -0.5)
    middle = matrix_power(root @ target.covariance @ root, 0.5)
    return inverse_root @ middle @ inverse_root


def matrix_power(matrix: Tensor, power: float) -> Tensor:
    """Return a power of a symmetric positive definite matrix (d, d); eigenvalues lost to rounding are floored."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    precision = torch.finfo(values.dtype)
    floor = values[-1].clamp(min=precision.tiny) * precision.eps
    return (vectors * values.clamp(min=floor) ** power) @ vectors.mT
