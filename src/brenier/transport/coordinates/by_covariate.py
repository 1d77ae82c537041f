"""What rows are conditioned on: numbers such as a dose or a time, at any value of which there is a map.

Means and covariances of either side follow the covariates by regression (`brenier.statistics.regression`). From them
come Gaussian coordinates at some knots, and between the knots by interpolation: of the means, and of B = M^{1/2} by the
factor L of B = L L' with the logarithm of its diagonal, so that B stays positive definite.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from sklearn.cluster import KMeans
from torch import Tensor

from brenier.datasets import read_covariates
from brenier.statistics import (
    Gaussian,
    GaussianRegression,
    RegressionSettings,
    matrix_power,
)
from brenier.transport.coordinates.affine import (
    Coordinates,
    aligned_coordinates,
    plain_coordinates,
)
from brenier.transport.coordinates.conditioned import ConditionedCoordinates
from brenier.transport.coordinates.settings import CoordinateSettings

Interpolation: TypeAlias = Callable[[NDArray[np.floating]], NDArray[np.floating]]


class CovariateRows(NamedTuple):
    """Rows (n, d) of one side in float64, and their covariates (n, p), None where these do not matter to it."""

    rows: Tensor
    covariates: Tensor | None


@dataclasses.dataclass(frozen=True)
class Covariates:
    """Coordinates for every value of some covariates; an index is a row of scaled covariates.

    Attributes:
        knots: (k, p), where coordinates are known, scaled.
        low, high: (p,), the range seen in the fit, which is scaled to -1 ... 1.
        coordinates: at the knots, with the k in front of what differs.
    """

    knots: Tensor
    low: Tensor
    high: Tensor
    coordinates: Coordinates

    kind = "covariates"

    def encode_index(self, values: object, name: str, rows: int) -> Tensor:
        """Return the covariates of some rows, scaled: (rows, p).

        Args:
            values: (rows, p), or (rows,) where p is one; or those of one row, meant for all.
            name: the argument's name, for messages.
            rows: how many there are.

        Raises:
            DataError: for values that are not finite numbers of such a shape.
        """
        return self.scaled(read_covariates(values, name, rows, len(self.low)))

    def scaled(self, values: Tensor) -> Tensor:
        """Return covariates (n, p) scaled: (n, p)."""
        return _scaled(values, self.low, self.high)

    def embedding(self, index: Tensor) -> Tensor:
        """Return the embeddings of scaled covariates (n, p): (n, 3p), themselves and their places on half a circle."""
        angle = 0.5 * np.pi * index
        embedded = torch.cat([index, angle.cos(), angle.sin()], -1)
        return embedded.to(self.coordinates.unit.device)

    def side(self, index: Tensor) -> ConditionedCoordinates:
        """Return coordinates row by row for scaled covariates (n, p)."""
        return ConditionedCoordinates(
            self._row_coordinates(index), self.embedding(index)
        )

    def at(self, index: Tensor) -> Coordinates:
        """Return the coordinates for one scaled value (p,)."""
        return self._row_coordinates(index.unsqueeze(0)).pick(0)

    def after(self, coordinates: Coordinates) -> Covariates:
        """Return the same conditions with other coordinates."""
        return dataclasses.replace(self, coordinates=coordinates)

    def to(self, device: torch.device | str) -> Covariates:
        """Return the same on a device; what is interpolated stays on the CPU."""
        return dataclasses.replace(self, coordinates=self.coordinates.to(device))

    def _row_coordinates(self, index: Tensor) -> Coordinates:
        """Return affine coordinates for scaled covariates (n, p), with the n in front of what differs."""
        unit, d = self.coordinates.unit, self.coordinates.dim
        found = torch.from_numpy(self._interpolation(index.cpu().numpy()))
        source_mean, target_mean, entries = found.split(
            [d, d, found.shape[1] - 2 * d], -1
        )
        factor = torch.zeros(len(found), d, d, dtype=torch.float64)
        i, j = torch.tril_indices(d, d)
        factor[:, i, j] = entries
        factor.diagonal(dim1=-2, dim2=-1).exp_()
        rotations = self.rotation.expand(len(found), d, d)
        basis = torch.cholesky_solve(rotations, factor)
        inverse = self.rotation.mT @ factor @ factor.mT
        return dataclasses.replace(
            self.coordinates,
            source_mean=source_mean.to(unit.device),
            target_mean=target_mean.to(unit.device),
            basis=basis.to(unit.device),
            inverse=inverse.to(unit.device),
        )

    @functools.cached_property
    def rotation(self) -> Tensor:
        """The rotation Q that the bases B^{-1} Q of all knots share: (d, d)."""
        inverse = self.coordinates.inverse[0].cpu()
        return (inverse @ matrix_power(inverse.mT @ inverse, -0.5)).mT

    @functools.cached_property
    def knot_values(self) -> Tensor:
        """What is interpolated: both means and the entries of the factor at every knot, (k, 2d + d(d+1)/2)."""
        known = self.coordinates.to("cpu")
        factor = torch.linalg.cholesky(_symmetric(self.rotation @ known.inverse))
        factor.diagonal(dim1=-2, dim2=-1).log_()
        i, j = torch.tril_indices(known.dim, known.dim)
        return torch.cat([known.source_mean, known.target_mean, factor[:, i, j]], -1)

    @functools.cached_property
    def _interpolation(self) -> Interpolation:
        """Interpolation of means and factors: (n, p) -> (n, 2d + d(d+1)/2)."""
        values = self.knot_values.numpy()
        knots = self.knots.numpy()
        k, p = knots.shape
        if k == 1:
            return lambda index: np.repeat(values, len(index), axis=0)
        if k <= p + 1:
            return RBFInterpolator(knots, values, kernel="linear", degree=0)
        directions = varying_directions(knots)
        if len(directions) < p:  # no polynomial of degree one is determined elsewhere
            within = _radial(knots @ directions.T, values)
            return lambda index: within(index @ directions.T)
        return _radial(knots, values)


def covariate_coordinates(
    source: CovariateRows,
    target: CovariateRows,
    unit: Tensor,
    gaussian: bool = True,
    settings: CoordinateSettings | None = None,
    regression: RegressionSettings | None = None,
) -> Covariates:
    """Return coordinates at every value of the covariates.

    Args:
        source, target: rows of either side and their covariates.
        unit: (d,), of the cost.
        gaussian: whether maps between the Gaussian fits become the identity, or are left as they are.
        settings: how many knots there are.
        regression: how Gaussian fits follow the covariates.
    """
    sides = (source, target)
    given = torch.cat(
        [side.covariates for side in sides if side.covariates is not None]
    )
    low, high = given.amin(0), given.amax(0)
    scaled = _scaled(given, low, high)
    knots = _knots(
        scaled, (settings or CoordinateSettings()).max_knots(scaled.shape[1])
    )
    if not gaussian:
        plain = plain_coordinates(source.rows, target.rows, unit)
        return Covariates(knots, low, high, plain.repeated(len(knots)))
    gaussians = []
    for side in sides:
        if side.covariates is None:
            own = torch.zeros(len(side.rows), knots.shape[1], dtype=torch.float64)
        else:
            own = _scaled(side.covariates, low, high)
        fitted = GaussianRegression.fit(
            side.rows / unit, own, regression or RegressionSettings()
        )
        means, covariances = fitted.at(knots)
        gaussians.append(
            [Gaussian(*each) for each in zip(means, covariances, strict=True)]
        )
    pairs = list(zip(*gaussians, strict=True))
    return Covariates(knots, low, high, aligned_coordinates(pairs, unit))


def _knots(scaled: Tensor, most: int) -> Tensor:
    """Return where coordinates are computed: all values if these are few, else places among them: (k, p)."""
    values = scaled.unique(dim=0)
    if len(values) <= most:
        return values
    if scaled.shape[1] == 1:
        return torch.linspace(-1, 1, most, dtype=torch.float64).unsqueeze(-1)
    centres = (
        KMeans(most, n_init=1, random_state=0).fit(values.numpy()).cluster_centers_
    )
    return torch.from_numpy(centres)


def _radial(knots: NDArray[np.floating], values: NDArray[np.floating]) -> Interpolation:
    """Return the interpolation of values (k, m) at knots (k, p): the smoothest, and exact where they are linear."""
    kernel = "cubic" if knots.shape[1] == 1 else "thin_plate_spline"
    return RBFInterpolator(knots, values, kernel=kernel, degree=1)


def varying_directions(knots: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the directions that knots (k, p) vary in: (r, p), fewer than p where covariates depend on each other."""
    away = knots - knots.mean(0)
    rank = np.linalg.matrix_rank(away, rtol=CoordinateSettings().min_relative_spread)
    return np.linalg.svd(away, full_matrices=False)[2][:rank]


def _scaled(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return covariates (n, p) scaled to -1 ... 1 over a range: (n, p)."""
    return 2 * (values - low) / torch.where(high > low, high - low, 1.0) - 1


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.mT) / 2
