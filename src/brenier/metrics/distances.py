"""How good a map is, in numbers.

Against the true map T*, from the source mu to the target nu:

    L2-UVP = 100 E|T(x) - T*(x)|^2 / tr Cov(nu)            in percent: 0 is perfect, the mean of nu scores 100
    cosine = <T - id, T* - id> / (|T - id| |T* - id|)      in L2(mu): 1 is the right direction everywhere

and between two sets of samples, of any two sizes:

    MMD^2  = E k(x, x') + E k(y, y') - 2 E k(x, y)         k(a, b) = mean_j exp(-|a - b|^2 / (2 s_j))
    energy = the same with k(a, b) = -|a - b|

together with sliced, entropic, exact and Gaussian Wasserstein distances. Where rows count by weights, `weights` are
those of x (n,) and of y (m,), None where all of a side count alike. Samples are tensors (n, d) on any device and
of any real type; sums are taken in float64, block by block. Metrics that need all pairs look at `max_points` rows a
side at most, chosen by `seed`. Everything raises a `DataError` for samples that are not finite or do not fit together,
for settings out of range, and where POT is needed and missing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brenier.datasets import check_finite, check_tensors, read_weights
from brenier.errors import ConvergenceWarning, DataError, warn
from brenier.statistics import (
    RowWeights,
    Weighted,
    discrepancy,
    double_chunks,
    in_double,
    matrix_power,
    squared_distances,
    total_variance,
)


@dataclasses.dataclass(frozen=True)
class MetricSettings:
    """How metrics are computed.

    Attributes:
        entries_at_once: of a distance matrix, or of a set of samples: few enough for a cache.
        bandwidth_factors: default bandwidths relative to the median squared distance.
        max_cost_ratio: largest cost over reg at which Sinkhorn steps need no logarithms: exp(cost / reg) and its
            reciprocal are then far from the ends of float64.
    """

    entries_at_once: int = 2**20
    bandwidth_factors: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    max_cost_ratio: float = 300.0


METRIC_SETTINGS = MetricSettings()


def l2_uvp(moved: Tensor, truth: Tensor, variance: float | None = None) -> float:
    """Return 100 E|moved - truth|^2 / tr Cov(target), the unexplained variance percentage.

    "Do Neural Optimal Transport Solvers Work? A Continuous Wasserstein-2 Benchmark", Korotin et al., 2021.

    Args:
        moved: (n, d), T(x).
        truth: (n, d), T*(x), row by row.
        variance: the trace of the covariance of the target; None for that of truth.
    """
    check_tensors(paired=True, moved=moved, truth=truth)
    variance = total_variance(truth, _held_at_once()) if variance is None else variance
    if not variance > 0:
        raise DataError(
            f"variance: is {variance}; give the trace of the target's covariance, a positive number"
        )
    squares = [
        (a - b).square().sum() for a, b in double_chunks(_held_at_once(), moved, truth)
    ]
    error = math.fsum(map(float, squares))
    return 100 * error / len(moved) / variance


def cosine(x: Tensor, moved: Tensor, truth: Tensor) -> float:
    """Return the cosine of T - id and T* - id in L2, NaN where one of the maps moves nothing.

    Its source is that of `l2_uvp`. All arguments are (n, d): x, T(x) and T*(x), row by row.
    """
    check_tensors(paired=True, x=x, moved=moved, truth=truth)
    sums = torch.zeros(3, dtype=torch.float64)
    for start, a, b in double_chunks(_held_at_once(), x, moved, truth):
        a, b = a - start, b - start
        sums += torch.stack([(a * b).sum(), a.square().sum(), b.square().sum()]).cpu()
    product, first, second = sums.tolist()
    return product / math.sqrt(first * second) if first * second > 0 else math.nan


def mmd(
    x: Tensor,
    y: Tensor,
    bandwidths: Sequence[float] | None = None,
    *,
    max_points: int = 5000,
    seed: int = 0,
    weights: RowWeights = (None, None),
) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy; below zero by chance where laws agree.

    "A Kernel Two-Sample Test", Gretton et al., 2012, Lemma 6, with the mean of several Gaussian kernels.

    Args:
        x, y: (n, d), (m, d), at least two rows each.
        bandwidths: the s_j; None for `median_bandwidths(x, y)`. Give the same to all methods that are compared.
    """
    check_tensors(min_rows=2, x=x, y=y)
    if bandwidths is None:
        bandwidths = median_bandwidths(x, y, seed=seed)
    chosen = tuple(bandwidths)
    if not chosen or not all(s > 0 for s in chosen):
        raise DataError(
            f"bandwidths: are {chosen}; give one or more positive squared lengths"
        )

    def kernel(squares: Tensor) -> Tensor:
        gaussians = [torch.exp(squares / (-2 * s)) for s in chosen]
        return torch.stack(gaussians).mean(0)

    a, b = _subsets(x, y, max_points, seed, weights)
    return discrepancy(kernel, a, b, _held_at_once())


def median_bandwidths(
    x: Tensor, y: Tensor, *, max_points: int = 1000, seed: int = 0
) -> tuple[float, ...]:
    """Return the median squared distance within x (n, d) and y (m, d) together, times 1/4, 1/2, 1, 2 and 4.

    The median heuristic of "A Kernel Two-Sample Test", Gretton et al., 2012, section 8.
    """
    check_tensors(x=x, y=y)
    a, b = _subsets(x, y, max_points, seed)
    squares = torch.pdist(torch.cat([a.rows, b.rows])).square()
    # Most rows, or all, may be equal.
    scale = float(squares.median()) or float(squares.mean()) or 1.0
    return tuple(factor * scale for factor in METRIC_SETTINGS.bandwidth_factors)


def energy_distance(
    x: Tensor,
    y: Tensor,
    *,
    max_points: int = 5000,
    seed: int = 0,
    weights: RowWeights = (None, None),
) -> float:
    """Return the unbiased estimate of 2 E|x - y| - E|x - x'| - E|y - y'| for x (n, d) and y (m, d), n, m > 1.

    "Energy statistics: A class of statistics based on distances", Székely and Rizzo, 2013. No square root is taken;
    it is below zero by chance where laws agree.
    """
    check_tensors(min_rows=2, x=x, y=y)
    a, b = _subsets(x, y, max_points, seed, weights)
    return discrepancy(lambda squares: -squares.sqrt(), a, b, _held_at_once())


def sliced_w2(
    x: Tensor,
    y: Tensor,
    n_projections: int = 100,
    seed: int = 0,
    *,
    weights: RowWeights = (None, None),
) -> float:
    """Return (E_u W2(<u, x>, <u, y>)^2)^(1/2) over n_projections random directions u of the unit sphere.

    "Sliced and Radon Wasserstein Barycenters of Measures", Bonneel et al., 2015, as POT computes it. All rows of x
    (n, d) and y (m, d) are used.
    """
    check_tensors(x=x, y=y)
    ot = _pot()
    if n_projections < 1:
        raise DataError(f"n_projections: is {n_projections}; give at least 1")
    a, b = _centred(x, y)
    p, q = (side.masses for side in _checked_weights(x, y, weights))
    generator = torch.Generator().manual_seed(seed)
    shape = (n_projections, x.shape[1])
    directions = torch.randn(shape, generator=generator, dtype=torch.float64)
    directions = torch.nn.functional.normalize(directions).to(a.device)
    squares = []
    for part in directions.split(_rows_at_once(len(x) + len(y))):
        distance = ot.sliced_wasserstein_distance(a, b, p, q, projections=part.mT)
        squares.append(float(len(part) * distance**2))
    return math.sqrt(math.fsum(squares) / n_projections)


def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    reg: float | None = None,
    *,
    tol: float = 1e-6,
    max_steps: int = 5000,
    max_points: int = 2000,
    seed: int = 0,
    weights: RowWeights = (None, None),
) -> float:
    """Return S(x, y) - (S(x, x) + S(y, y))/2, S the squared-distance cost of the entropic plan; never below zero.

    "Learning Generative Models with Sinkhorn Divergences", Genevay et al., 2018, as POT computes it: the entropy
    shapes the plan and is not part of the value, which approaches W2^2 as reg shrinks.

    Args:
        x, y: (n, d), (m, d).
        reg: weight of the entropy, in squared units of the data; None for a twentieth of tr Cov(x) + tr Cov(y).
        tol: norm of the error in the plan's marginals at which to stop.
        max_steps: Sinkhorn steps at most; a `ConvergenceWarning` says so if they did not suffice.
    """
    check_tensors(x=x, y=y)
    ot = _pot()
    of_x, of_z = _subsets(x, y, max_points, seed, weights)
    a, b = of_x.rows, of_z.rows
    if reg is None:
        reg = 0.05 * float(of_x.variance().sum() + of_z.variance().sum()) or 1.0
    if not reg > 0:
        raise DataError(f"reg: is {reg}; give a positive weight, or None")
    largest = max(squared_distances(p, q).max() for p, q in ((a, b), (a, a), (b, b)))
    # The plain iteration is ten times cheaper; the one in the log domain cannot underflow.
    plain = float(largest) < METRIC_SETTINGS.max_cost_ratio * reg
    value, log = ot.bregman.empirical_sinkhorn_divergence(
        *(a, b, reg, of_x.masses, of_z.masses),
        method="sinkhorn" if plain else "sinkhorn_log",
        numIterMax=max_steps,
        stopThr=tol,
        log=True,
        warn=False,
    )
    logs = [log[f"log_sinkhorn_{side}"] for side in ("ab", "a", "b")]
    error = max(float(each["err"][-1]) for each in logs)
    if not error <= tol:
        warn(
            f"sinkhorn_divergence: marginals are off by {error:.1e} (tol={tol:g}) after {max_steps} steps; "
            f"raise max_steps, or reg={reg:.3g}",
            ConvergenceWarning,
        )
    return float(value)


def exact_w2(
    x: Tensor,
    y: Tensor,
    *,
    max_points: int = 2000,
    seed: int = 0,
    weights: RowWeights = (None, None),
) -> float:
    """Return (min over plans E|x - y|^2)^(1/2), W2 between the two sets of samples, as POT computes it.

    "Displacement Interpolation Using Lagrangian Mass Transport", Bonneel et al., 2011. It lies above the W2 of the laws
    that x (n, d) and y (m, d) come from, by much in high dimension: compare it with its value between two sets of one
    law. Time grows with the cube of max_points, the rows used of each side.
    """
    check_tensors(x=x, y=y)
    ot = _pot()
    a, b = _subsets(x, y, max_points, seed, weights)
    cost = squared_distances(a.rows, b.rows).cpu().numpy()
    p, q = (
        np.empty(0) if each.masses is None else each.masses.cpu().numpy()
        for each in (a, b)
    )
    return math.sqrt(max(float(ot.emd2(p, q, cost, numItermax=10**7)), 0.0))


def bures_w2(mean0: Tensor, cov0: Tensor, mean1: Tensor, cov1: Tensor) -> float:
    """Return W2 between two Gaussians, a lower bound on W2 between any two laws with these moments.

        W2^2 = |m0 - m1|^2 + tr(S0 + S1 - 2 (S0^{1/2} S1 S0^{1/2})^{1/2})

    "On a Formula for the L2 Wasserstein Metric between Measures on Euclidean and Hilbert Spaces", Gelbrich, 1990.
    Means are (d,), covariances (d, d), which may be singular.
    """
    for name, mean, covariance in (("cov0", mean0, cov0), ("cov1", mean1, cov1)):
        if mean.shape != mean0.shape or covariance.shape != (mean.numel(), *mean.shape):
            shapes = f"{tuple(mean.shape)} and {tuple(covariance.shape)}"
            raise DataError(
                f"{name}: it and its mean have shapes {shapes}; give (d, d) and (d,), one d for both laws"
            )
        check_finite(covariance + mean, name)
    m0, s0, m1, s1 = (in_double(value).cpu() for value in (mean0, cov0, mean1, cov1))
    root = matrix_power(s0, 0.5)
    cross = matrix_power(root @ s1 @ root, 0.5)
    square = (m0 - m1).square().sum() + (s0 + s1 - 2 * cross).trace()
    return math.sqrt(max(float(square), 0.0))


def _pot() -> Any:
    """Return POT's module, imported here because it is optional."""
    try:
        import ot
    except ImportError as error:
        raise DataError(
            'POT: this metric needs it; install it with pip install "brenier[metrics]"'
        ) from error
    return ot


def _held_at_once() -> int:
    return METRIC_SETTINGS.entries_at_once


def _rows_at_once(entries: int) -> int:
    """Return how many rows of so many entries are handled at once."""
    return max(1, _held_at_once() // entries)


def _centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in float64 about the mean of y, so that differences of large numbers keep their digits."""
    centre = in_double(y).mean(0)
    return in_double(x) - centre, in_double(y) - centre


def _checked_weights(
    x: Tensor, y: Tensor, weights: RowWeights
) -> tuple[Weighted, Weighted]:
    """Return both with their weights, checked."""
    own, other = weights
    return (
        Weighted(x, read_weights(own, "weights of x", len(x))),
        Weighted(y, read_weights(other, "weights of y", len(y))),
    )


def _subsets(
    x: Tensor,
    y: Tensor,
    max_points: int,
    seed: int,
    weights: RowWeights = (None, None),
) -> tuple[Weighted, Weighted]:
    """Return at most max_points rows of each, drawn without replacement, centred."""
    if max_points < 2:
        raise DataError(f"max_points: is {max_points}; give at least 2")
    generator = torch.Generator().manual_seed(seed)
    some = []
    for side in _checked_weights(x, y, weights):
        order = torch.randperm(len(side), generator=generator)
        some.append(side[order[:max_points]])
    a, b = _centred(some[0].rows, some[1].rows)
    return Weighted(a, some[0].weights), Weighted(b, some[1].weights)
