"""Coordinates where a side does not vary in some directions: constant features, and features that follow from others.

With a = (x - m0)/s and b = (z - m1)/s, split space into orthonormal V, N and W. Along W the target does not vary, so
b_W = 0 and <a, b> knows nothing of a_W; along N the target varies and the source does not, so a_N = 0. Only V is
transported: u = [A^{-1} a_V; 0; a_N] and w = [A' b_V; b_W; 0] give <u, w> = <a, b> on the data. Back from them,

    x: a = V A u_V + W u_W,      z: b = (V + N L) A^{-T} w_V + N w_N,

with L the regression of b_N on b_V. So T(x) does not vary along W, not by rounding either where that is a feature; and
along N new rows keep their own differences, with a gain of one, however many rows there were.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from brenier.statistics import (
    Gaussian,
    GaussianSettings,
    Moments,
    Weighted,
    as_weighted,
    moments,
    pool_covariances,
    regularised,
)
from brenier.transport.coordinates.affine import (
    Coordinates,
    aligned_coordinates,
    regularised_pair,
)

ROUNDING = 1e-12  # numerical floor: what varies by less than this, of a value or of the largest variance, is rounding

MomentPairs: TypeAlias = Sequence[tuple[Moments, Moments]]


class Span(NamedTuple):
    """The directions in which both sides vary, and those in which one does not, as orthonormal columns.

    Attributes:
        varying: (d, r), V.
        fixed: (d, k), W.
        silent: (d, l), N.
        lift: (l, r), L.
    """

    varying: Tensor
    fixed: Tensor
    silent: Tensor
    lift: Tensor

    def reduced(self, found: Moments) -> Moments:
        """Return moments along V."""
        within = self.varying.mT @ found.covariance @ self.varying
        mean = self.varying.mT @ found.mean
        return found._replace(mean=mean, covariance=within)

    def embedded(self, basis: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
        """Return the basis and the inverse of all coordinates, given those along V, (k, r, r) -> (k, d, d)."""
        k, d = len(basis), len(self.varying)
        others = [each.expand(k, *each.shape) for each in (self.fixed, self.silent)]
        blocks = [self.varying @ basis, others[0], torch.zeros_like(others[1])]
        lifted = self.varying + self.silent @ self.lift
        back = [inverse @ lifted.mT, torch.zeros_like(others[0]).mT, others[1].mT]
        return torch.cat(blocks, -1).view(k, d, d), torch.cat(back, -2).view(k, d, d)


def gaussian_coordinates(
    x: Tensor | Weighted | Iterable[Tensor | Weighted],
    z: Tensor | Weighted | Iterable[Tensor | Weighted],
    unit: Tensor,
    settings: GaussianSettings | None = None,
) -> Coordinates:
    """Return coordinates in which the optimal map between the Gaussian fits of x and z is the identity.

    Args:
        x, z: (n, d), (m, d), samples in float64, weighted or not, at once or in chunks.
        unit: (d,), of the cost.
        settings: how covariances are regularised.
    """
    pair = moments(x, unit), moments(z, unit)
    return moment_coordinates([pair], unit, settings).pick(0)


def moment_coordinates(
    pairs: MomentPairs,
    unit: Tensor,
    settings: GaussianSettings | None = None,
    pooled: bool = True,
) -> Coordinates:
    """Return coordinates for each of k classes, in which the optimal map between its Gaussian fits is the identity.

    Args:
        pairs: moments of source and target of every class, in units of the cost.
        unit: (d,), of the cost.
        settings: how covariances are regularised and pooled.
        pooled: whether classes borrow from each other.
    """
    settings = settings or GaussianSettings()
    span = common_span(pairs, settings)
    if span is None:
        return _aligned(pairs, unit, settings, pooled)
    within = [(span.reduced(x), span.reduced(z)) for x, z in pairs]
    r = span.varying.shape[1]
    if r:
        along = _aligned(within, torch.ones(r, dtype=torch.float64), settings, pooled)
    else:
        empty = torch.zeros(len(pairs), 0, 0, dtype=torch.float64)
        scale = _any_scale(pairs)
        along = Coordinates(empty, empty, empty, empty, empty, scale)
    basis, inverse = span.embedded(along.basis, along.inverse)
    return Coordinates(
        unit=unit * along.scale,
        source_mean=torch.stack([source.mean for source, _ in pairs]) * unit,
        target_mean=torch.stack([target.mean for _, target in pairs]) * unit,
        basis=basis,
        inverse=inverse,
        scale=along.scale,
    )


def _aligned(
    pairs: MomentPairs, unit: Tensor, settings: GaussianSettings, pooled: bool
) -> Coordinates:
    """Return coordinates for classes that vary in every direction."""
    if pooled:
        return aligned_coordinates(_pooled(pairs, settings), unit, settings)
    alone = [_pooled([pair], settings)[0] for pair in pairs]
    return aligned_coordinates(alone, unit, settings)


def gaussian_fits(
    pairs: Sequence[tuple[Tensor | Weighted, Tensor | Weighted]],
    settings: GaussianSettings | None = None,
) -> list[tuple[Gaussian, Gaussian]]:
    """Return the Gaussian fits that coordinates are made of, in the units of the rows.

    Args:
        pairs: source rows (n, d) and target rows (m, d) of every class, float64; covariances are pooled.
        settings: how covariances are regularised and pooled.
    """
    found = [(moments(x), moments(z)) for x, z in pairs]
    return _pooled(found, settings or GaussianSettings())


def _pooled(
    pairs: MomentPairs, settings: GaussianSettings
) -> list[tuple[Gaussian, Gaussian]]:
    """Return the Gaussians of both sides of every class, of which each borrows from the others."""
    source = pool_covariances([x for x, _ in pairs], settings)
    target = pool_covariances([z for _, z in pairs], settings)
    sides = zip(source, target, strict=True)
    return [regularised_pair(x, z, settings) for x, z in sides]


def _any_scale(pairs: MomentPairs) -> Tensor:
    """Return the root of a mean variance of either side, or one where none varies."""
    variances = [
        float(side.covariance.diagonal().mean()) for pair in pairs for side in pair
    ]
    return torch.tensor(max(variances) ** 0.5 or 1.0, dtype=torch.float64)


def common_span(pairs: MomentPairs, settings: GaussianSettings) -> Span | None:
    """Return the directions in which classes vary on both sides, or None where these are all directions."""
    source, target = (_within_classes(side) for side in zip(*pairs, strict=True))
    fixed, rest = _null(target)
    along = source._replace(
        mean=rest.mT @ source.mean, covariance=rest.mT @ source.covariance @ rest
    )
    null, varies = _null(along)
    if not fixed.shape[1] and not null.shape[1]:
        return None
    varying, silent = rest @ varies, rest @ null
    lift = torch.zeros(silent.shape[1], varying.shape[1], dtype=torch.float64)
    if lift.numel():
        covariance = regularised(target, settings=settings).covariance
        together = varying.mT @ covariance @ varying
        across = silent.mT @ covariance @ varying
        lift = torch.linalg.solve(together, across.mT).mT
    return Span(varying, fixed, silent, lift)


def _within_classes(found: Sequence[Moments]) -> Moments:
    """Return the moments of a side within its classes, with means that are as large as the largest."""
    rows = sum(side.rows for side in found)
    scatter = sum((side.rows * side.covariance for side in found), torch.zeros(()))
    shrinkage = sum(side.rows**2 * side.shrinkage for side in found) / rows**2
    mean = torch.stack([side.mean.abs() for side in found]).amax(0)
    return Moments(mean, scatter / rows, shrinkage, rows - len(found) + 1)


def _null(found: Moments) -> tuple[Tensor, Tensor]:
    """Return the directions in which some rows do not vary (d, k), and the others (d, d - k), as orthonormal columns.

    Constant features are among them, and where there are more rows than features what follows from other features.
    """
    d = len(found.mean)
    eye = torch.eye(d, dtype=torch.float64)
    variances = found.covariance.diagonal()
    constant = variances <= (ROUNDING * found.mean).square()
    null, rest = eye[:, constant], eye[:, ~constant]
    if found.rows <= d or not rest.shape[1]:
        return null, rest
    scale = variances[~constant].sqrt()
    correlation = found.covariance[~constant][:, ~constant] / torch.outer(scale, scale)
    values, vectors = torch.linalg.eigh((correlation + correlation.mT) / 2)
    follows = int((values < ROUNDING).sum())
    if not follows:
        return null, rest
    combined = vectors[:, :follows] / scale.unsqueeze(-1)
    rotation = torch.linalg.qr(combined, mode="complete").Q
    return torch.cat([null, rest @ rotation[:, :follows]], 1), rest @ rotation[
        :, follows:
    ]


def without_choice(
    coordinates: Coordinates, x: Tensor | Weighted, z: Tensor | Weighted
) -> Coordinates:
    """Return plain coordinates in which features that are constant on one side have the only map there is for them.

    A feature that is constant in the target comes out as that constant; one that is constant in the source is shifted.

    Args:
        coordinates: that only centre and scale both sides.
        x, z: (n, d), (m, d), samples.
    """
    source, target = as_weighted(x), as_weighted(z)
    fixed = (target.rows == target.rows[0]).all(0)
    silent = (source.rows == source.rows[0]).all(0) & ~fixed
    odd = silent | fixed
    if not bool(odd.any()):
        return coordinates
    of_source, of_target = (
        torch.where(constant, side.rows[0], side.mean())
        for constant, side in ((silent, source), (fixed, target))
    )
    return dataclasses.replace(
        coordinates,
        source_mean=torch.where(odd, of_source, coordinates.source_mean),
        target_mean=torch.where(odd, of_target, coordinates.target_mean),
        basis=torch.where(silent, 0.0, coordinates.basis),
        inverse=torch.where(fixed, 0.0, coordinates.inverse),
    )
