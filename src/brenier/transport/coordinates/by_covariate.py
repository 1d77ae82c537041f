"""What rows are conditioned on: numbers such as a dose or a time, at any value of which there is a map.

Means and covariances of either side follow the covariates by regression (`regression`). From them come Gaussian
coordinates at some knots, and between the knots by interpolation: of the means, and of B = M^{1/2} by the factor L of
B = L L' with the logarithm of its diagonal, so that B stays positive definite.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import torch
from scipy.interpolate import RBFInterpolator
from sklearn.cluster import KMeans
from torch import Tensor

from brenier.datasets import read_covariates
from brenier.statistics import Gaussian, GaussianRegression, matrix_power
from brenier.transport.coordinates.affine import (
    Coordinates,
    aligned_coordinates,
    plain_coordinates,
)
from brenier.transport.coordinates.conditioned import RowCoordinates

KNOTS = {1: 17, 2: 32}  # by the number of covariates; beyond two of them, 64


@dataclasses.dataclass(frozen=True)
class Covariates:
    """Coordinates for every value of some covariates.

    Attributes:
        knots: (k, p), where coordinates are known, scaled.
        low, high: (p,), the range met in the fit, which is scaled to -1 ... 1.
        coordinates: at the knots, with the k in front of what differs.
    """

    knots: Tensor
    low: Tensor
    high: Tensor
    coordinates: Coordinates

    word = "covariates"

    def keys(self, values: Any, name: str, rows: int) -> Tensor:
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

    def code(self, keys: Tensor) -> Tensor:
        """Return the codes of scaled covariates (n, p): (n, 3p), themselves and their places on half a circle."""
        angle = 0.5 * np.pi * keys
        return torch.cat([keys, angle.cos(), angle.sin()], -1).to(
            self.coordinates.unit.device
        )

    def rows(self, keys: Tensor) -> RowCoordinates:
        """Return coordinates row by row for scaled covariates (n, p)."""
        return RowCoordinates(
            **self._row_coordinates(keys).tensors(), code=self.code(keys)
        )

    def _row_coordinates(self, keys: Tensor) -> Coordinates:
        unit, d = self.coordinates.unit, self.coordinates.dim
        found = torch.from_numpy(self._between(keys.cpu().numpy()))
        source_mean, target_mean, flat = found.split([d, d, found.shape[1] - 2 * d], -1)
        factor = torch.zeros(len(found), d, d, dtype=torch.float64)
        i, j = torch.tril_indices(d, d)
        factor[:, i, j] = flat
        factor.diagonal(dim1=-2, dim2=-1).exp_()
        eye = self._rotation.expand(len(found), d, d)
        parts = {
            "source_mean": source_mean,
            "target_mean": target_mean,
            "basis": torch.cholesky_solve(eye, factor),
            "inverse": self._rotation.mT @ factor @ factor.mT,
        }
        moved = {name: part.to(unit.device) for name, part in parts.items()}
        return dataclasses.replace(self.coordinates, **moved)

    def at(self, key: Tensor) -> Coordinates:
        """Return the coordinates for one scaled value (p,)."""
        return self._row_coordinates(key.unsqueeze(0)).pick(0)

    def to(self, device: torch.device | str) -> Covariates:
        """Return the same on a device; what is interpolated stays on the CPU."""
        return dataclasses.replace(self, coordinates=self.coordinates.to(device))

    @functools.cached_property
    def _rotation(self) -> Tensor:
        """The rotation Q that the bases B^{-1} Q of all knots share: (d, d)."""
        inverse = self.coordinates.inverse[0].cpu()
        return (inverse @ matrix_power(inverse.mT @ inverse, -0.5)).mT

    @functools.cached_property
    def _between(self) -> Any:
        """Interpolation of means and factors: (n, p) -> (n, 2d + d(d+1)/2)."""
        known = self.coordinates.to("cpu")
        factor = torch.linalg.cholesky(_symmetric(self._rotation @ known.inverse))
        factor.diagonal(dim1=-2, dim2=-1).log_()
        i, j = torch.tril_indices(known.dim, known.dim)
        values = torch.cat(
            [known.source_mean, known.target_mean, factor[:, i, j]], -1
        ).numpy()
        k, p = self.knots.shape
        if k <= p + 1:
            nearest = (
                RBFInterpolator(self.knots.numpy(), values, kernel="linear", degree=0)
                if k > 1
                else None
            )
            return nearest or (lambda keys: np.repeat(values, len(keys), axis=0))
        return RBFInterpolator(
            self.knots.numpy(),
            values,
            kernel="cubic" if p == 1 else "thin_plate_spline",
            degree=1,
        )


def covariate_coordinates(
    x: tuple[Tensor, Tensor | None],
    z: tuple[Tensor, Tensor | None],
    unit: Tensor,
    gaussian: bool = True,
) -> Covariates:
    """Return coordinates at every value of the covariates.

    Args:
        x, z: rows (n, d) in float64 and their covariates (n, p); None on one side where these do not matter to it.
        unit: (d,), of the cost.
        gaussian: whether maps between the Gaussian fits become the identity, or are left as they are.
    """
    given = torch.cat([c for _, c in (x, z) if c is not None])
    low, high = given.amin(0), given.amax(0)
    knots = _knots(_scaled(given, low, high))
    if not gaussian:
        return Covariates(
            knots, low, high, plain_coordinates(x[0], z[0], unit).repeated(len(knots))
        )
    sides = []
    for rows, c in (x, z):
        own = (
            torch.zeros(len(rows), knots.shape[1], dtype=torch.float64)
            if c is None
            else _scaled(c, low, high)
        )
        fitted = GaussianRegression.fit(rows / unit, own)
        sides.append([Gaussian(*each) for each in zip(*fitted.at(knots), strict=True)])
    return Covariates(
        knots, low, high, aligned_coordinates(list(zip(*sides, strict=True)), unit)
    )


def _knots(scaled: Tensor) -> Tensor:
    """Return where coordinates are computed: all values if these are few, else places among them: (k, p)."""
    values, p = scaled.unique(dim=0), scaled.shape[1]
    most = KNOTS.get(p, 64)
    if len(values) <= most:
        return values
    if p == 1:
        return torch.linspace(-1, 1, most, dtype=torch.float64).unsqueeze(-1)
    centres = (
        KMeans(most, n_init=1, random_state=0).fit(values.numpy()).cluster_centers_
    )
    return torch.from_numpy(centres)


def _scaled(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return covariates (n, p) scaled to -1 ... 1 over a range: (n, p)."""
    return 2 * (values - low) / torch.where(high > low, high - low, 1.0) - 1


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.mT) / 2
