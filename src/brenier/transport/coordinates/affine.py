"""The coordinates a potential works in, chosen so that the same transport problem becomes an easy one.

The cost is c(x, z) = sum_i ((x_i - z_i) / s_i)^2 / 2 with a unit s_i per feature. With a = (x - m0)/s, b = (z - m1)/s
and any invertible A, put u = A^{-1} a and w = A' b. Then <u, w> = <a, b>: a gradient of a convex function of u is a
gradient of a convex function of a, so T is optimal between x and z exactly when w = T~(u) is between u and w. Gaussian
coordinates take A = M^{-1/2} Q, where M is the linear part of the optimal map between the two Gaussian fits: in them
that map is the identity, both covariances are the same diagonal matrix, and inner problems are well conditioned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from brenier.statistics import (
    Gaussian,
    GaussianSettings,
    Moments,
    Weighted,
    as_weighted,
    gaussian_map,
    matrix_power,
    regularised,
    weighted_mean,
)

PER_ROW = (
    "source_mean",
    "target_mean",
    "basis",
    "inverse",
)  # what may differ from row to row


@dataclasses.dataclass(frozen=True)
class Metric:
    """The change of variables x -> root x after which a Mahalanobis cost is the squared distance.

    Attributes:
        matrix: (d, d), that of the cost.
        root, inverse_root: (d, d), of it; symmetric.
    """

    matrix: Tensor
    root: Tensor
    inverse_root: Tensor

    def to(self, device: torch.device | str) -> Metric:
        """Return the same on a device."""
        parts = self.matrix, self.root, self.inverse_root
        return Metric(*(part.to(device) for part in parts))


@dataclasses.dataclass(frozen=True)
class Coordinates:
    """Affine coordinates of both sides, float64.

    Attributes:
        unit: (d,), s times the scale: what has variance one, on average, in the coordinates.
        source_mean, target_mean: (d,), m0 and m1, in the units of the data.
        basis: (d, d), A.
        inverse: (d, d), A^{-1}.
        scale: (), the normaliser in `unit`, so that unit / scale are the units of cost that were asked for.
        metric: what all of this is after, or None; rows are then taken through it first.

    Means, basis and inverse may have one more dimension in front: each row of points then has its own.
    """

    unit: Tensor
    source_mean: Tensor
    target_mean: Tensor
    basis: Tensor
    inverse: Tensor
    scale: Tensor
    metric: Metric | None = None

    def encode_source(self, x: Tensor) -> Tensor:
        """Return u = A^{-1} (x - m0)/s: (n, d)."""
        x = self.measured(x)
        return _through((x - self.source_mean) / self.unit, self.inverse.mT)

    def decode_source(self, u: Tensor) -> Tensor:
        """Return x, the inverse of `encode_source`: (n, d)."""
        x = _through(u, self.basis.mT) * self.unit + self.source_mean
        return x if self.metric is None else x @ self.metric.inverse_root

    def encode_target(self, z: Tensor) -> Tensor:
        """Return w = A' (z - m1)/s: (n, d)."""
        z = self.measured(z)
        return _through((z - self.target_mean) / self.unit, self.basis)

    def decode_target(self, w: Tensor) -> Tensor:
        """Return z, the inverse of `encode_target`: (n, d)."""
        z = _through(w, self.inverse) * self.unit + self.target_mean
        return z if self.metric is None else z @ self.metric.inverse_root

    def source_terms(self, x: Tensor, u: Tensor, value: Tensor) -> Tensor:
        """Return phi(x) = |a|^2/2 - |u|^2/2 - g~(u) + <delta, a> + |delta|^2/4, given value = g~(u): (n,).

        Here delta = (m0 - m1)/s. With `target_terms`, E phi + E phi^c is the dual value of the cost between x and z;
        written in centred quantities it loses no digits when the data lie far from the origin.
        """
        x = self.measured(x)
        a, delta = (x - self.source_mean) / self.unit, self._delta()
        return (
            0.5 * (_square(a) - _square(u))
            - value.to(a)
            + _dot(a, delta)
            + _square(delta) / 4
        )

    def target_terms(self, z: Tensor, w: Tensor, envelope: Tensor) -> Tensor:
        """Return phi^c(z) = |b|^2/2 - |w|^2/2 + env~(w) - <delta, b> + |delta|^2/4, given env~(w): (n,)."""
        z = self.measured(z)
        b, delta = (z - self.target_mean) / self.unit, self._delta()
        return (
            0.5 * (_square(b) - _square(w))
            + envelope.to(b)
            - _dot(b, delta)
            + _square(delta) / 4
        )

    def cost(self, x: Tensor, z: Tensor) -> Tensor:
        """Return c(x, z) row by row: (n, d), (n, d) -> (n,)."""
        return 0.5 * _square(self.measured(x - z) / self.unit)

    def log_det(self) -> Tensor:
        """Return log det of x -> decode_target(encode_source(x)), A^{-T} A^{-1} up to the units: (), or (n,)."""
        return 2 * torch.linalg.slogdet(self.inverse).logabsdet

    def measured(self, rows: Tensor) -> Tensor:
        """Return rows, or differences of rows, of the data in the variables of the metric: (n, d)."""
        return rows if self.metric is None else rows @ self.metric.root

    def in_units(self, rows: Tensor) -> Tensor:
        """Return rows, or differences of rows, in the units of the cost that were asked for: (n, d)."""
        return self.measured(rows) * self.scale / self.unit

    def comparable(self, rows: Tensor) -> Tensor:
        """Return rows in units in which every feature counts as it does in the cost, up to a factor: (n, d)."""
        rows = self.measured(rows)
        return rows if self.common else rows / self.unit

    def lengths(self, differences: Tensor) -> Tensor:
        """Return the lengths of differences of rows (n, d), in the units of the cost: (n,)."""
        return torch.linalg.vector_norm(self.measured(differences) / self.unit, dim=-1)

    @property
    def dim(self) -> int:
        """How many features the data have."""
        return len(self.unit)

    @property
    def common(self) -> bool:
        """Whether every feature has the same unit, so that the cost is the plain squared distance, up to a factor."""
        return bool((self.unit == self.unit[0]).all())

    def squared_unit(self) -> float:
        """Return the factor from cost in these coordinates to cost as it is reported.

        That is |x - z|^2/2 in the units of the data where every feature has the same unit, else in the units asked for.
        """
        return float(self.unit[0] if self.common else self.scale) ** 2

    def to(self, device: torch.device | str) -> Coordinates:
        """Return the same coordinates on a device."""
        metric = None if self.metric is None else self.metric.to(device)
        tensors = {name: part.to(device) for name, part in self.tensors().items()}
        return Coordinates(**tensors, metric=metric)

    def pick(self, index: int | Tensor) -> Coordinates:
        """Return what differs from row to row for one row or for some, given all."""
        return dataclasses.replace(
            self, **{name: getattr(self, name)[index] for name in PER_ROW}
        )

    def repeated(self, k: int) -> Coordinates:
        """Return these coordinates k times, with the k in front of what may differ."""
        stacked: dict[str, Any] = {
            name: torch.stack([getattr(self, name)] * k) for name in PER_ROW
        }
        return dataclasses.replace(self, **stacked)

    def unit_of_cost(self) -> Tensor:
        """Return the units of the cost that were asked for: (d,)."""
        return self.unit / self.scale

    def tensors(self) -> dict[str, Any]:
        """Return the fields by name, but for the metric."""
        names = [field.name for field in dataclasses.fields(self)]
        names.remove("metric")
        return {name: getattr(self, name) for name in names}

    def _delta(self) -> Tensor:
        return (self.source_mean - self.target_mean) / self.unit


def _through(rows: Tensor, matrix: Tensor) -> Tensor:
    """Return rows (n, d) times one matrix (d, d), or each times its own (n, d, d): (n, d)."""
    if matrix.ndim == 2:
        return rows @ matrix
    return torch.bmm(rows.unsqueeze(1), matrix).squeeze(1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return a @ b if b.ndim == 1 else torch.linalg.vecdot(a, b)


def _square(a: Tensor) -> Tensor:
    return torch.linalg.vecdot(a, a)


def aligned_coordinates(
    pairs: Sequence[tuple[Gaussian, Gaussian]],
    unit: Tensor,
    settings: GaussianSettings | None = None,
) -> Coordinates:
    """Return coordinates for each of k pairs of Gaussians, with the k in front of means, basis and inverse.

    In each the optimal map of its pair is the identity. All share one rotation and one scale, so that where the pairs
    are alike the coordinates are.

    Args:
        pairs: source and target, in units of the cost.
        unit: (d,), of the cost.
        settings: whether those of one pair come of one eigendecomposition.
    """
    many = (settings or GaussianSettings()).one_decomposition_from
    if len(pairs) == 1 and len(unit) >= many:
        return _at_once(*pairs[0], unit)
    matrices = [gaussian_map(source, target) for source, target in pairs]
    roots = torch.stack([matrix_power(matrix, 0.5) for matrix in matrices])
    inverse_roots = torch.stack([matrix_power(matrix, -0.5) for matrix in matrices])
    covariances = torch.stack([source.covariance for source, _ in pairs])
    values, vectors = torch.linalg.eigh((roots @ covariances @ roots).mean(0))
    scale = float(values.clamp(min=0).mean()) ** 0.5  # makes the average variance one
    if not scale > 0:
        scale = 1.0
    return Coordinates(
        unit=unit * scale,
        source_mean=torch.stack([source.mean for source, _ in pairs]) * unit,
        target_mean=torch.stack([target.mean for _, target in pairs]) * unit,
        basis=inverse_roots @ vectors,
        inverse=vectors.mT @ roots,
        scale=torch.tensor(scale, dtype=torch.float64),
    )


def _at_once(source: Gaussian, target: Gaussian, unit: Tensor) -> Coordinates:
    """Return the coordinates of one pair, with one in front of means, basis and inverse.

    With S0 = L L' and L' S1 L = V D V' the optimal map is M = L^-T V D^(1/2) V' L^-1. So A = L V D^(-1/4) has
    A' M A = I, and both covariances are D^(1/2) in its coordinates, as with A = M^(-1/2) Q.
    """
    factor = torch.linalg.cholesky(source.covariance)
    values, vectors = torch.linalg.eigh(factor.mT @ target.covariance @ factor)
    least = values[-1].clamp(min=torch.finfo(values.dtype).tiny)
    values = values.clamp(min=least * torch.finfo(values.dtype).eps)
    scale = float(values.sqrt().mean()) ** 0.5
    inverse = torch.linalg.solve_triangular(
        factor.mT, vectors * values**0.25, upper=True
    )
    return Coordinates(
        unit=unit * scale,
        source_mean=(source.mean * unit).unsqueeze(0),
        target_mean=(target.mean * unit).unsqueeze(0),
        basis=(factor @ (vectors * values**-0.25)).unsqueeze(0),
        inverse=inverse.mT.unsqueeze(0),
        scale=torch.tensor(scale, dtype=torch.float64),
    )


def regularised_pair(
    source: Moments, target: Moments, settings: GaussianSettings | None = None
) -> tuple[Gaussian, Gaussian]:
    """Return the Gaussians of two sides.

    A side's floor is a share of its own variance, however much larger the other side is; a point borrows the other's.
    """
    own = [float(side.covariance.diagonal().mean()) for side in (source, target)]
    floors = [1e-8 * (variance or sum(own)) + 1e-30 for variance in own]
    settings = settings or GaussianSettings()
    return regularised(source, floors[0], settings), regularised(
        target, floors[1], settings
    )


def plain_coordinates(
    x: Tensor | Weighted, z: Tensor | Weighted, unit: Tensor
) -> Coordinates:
    """Return coordinates that only centre both sides at one point and scale them: the identity stays the identity."""
    source, target = as_weighted(x), as_weighted(z)
    centre = 0.5 * (source.mean() + target.mean())
    variances = [_variance_about(side, centre, unit) for side in (source, target)]
    variance = 0.5 * (variances[0] + variances[1])
    scale = torch.tensor(float(variance) ** 0.5 or 1.0, dtype=torch.float64)
    eye = torch.eye(len(centre), dtype=source.rows.dtype)
    return Coordinates(unit * scale, centre, centre.clone(), eye, eye.clone(), scale)


def _variance_about(side: Weighted, centre: Tensor, unit: Tensor) -> Tensor:
    """Return the mean square of all coordinates about a point, in some units."""
    squares = ((side.rows - centre) / unit).square()
    if side.weights is None:
        return squares.mean()
    return weighted_mean(squares, side.weights).mean()


def identity_coordinates(dim: int) -> Coordinates:
    """Return the coordinates of the data themselves."""
    zero, eye = (
        torch.zeros(dim, dtype=torch.float64),
        torch.eye(dim, dtype=torch.float64),
    )
    one = torch.ones((), dtype=torch.float64)
    return Coordinates(one.repeat(dim), zero, zero.clone(), eye, eye.clone(), one)
