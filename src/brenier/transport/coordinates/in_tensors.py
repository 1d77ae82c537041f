"""The coordinates of conditions by operations on tensors alone, so that they can be written into a file of operations.

They are those of `Classes` and `Covariates`: tables in place of calls, and the interpolation between knots worked out.
For covariates it is the sum, over the knots, of a function of the distance, plus a polynomial: what SciPy evaluates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from brenier.transport.coordinates.affine import Coordinates
from brenier.transport.coordinates.by_class import Classes
from brenier.transport.coordinates.by_covariate import Covariates, varying_directions
from brenier.transport.coordinates.conditioned import ConditionedCoordinates, Conditions

OfSquares: TypeAlias = Callable[[Tensor], Tensor]


class TensorConditions(Protocol):
    """Conditions as they stand in a file: numbers of classes (n,), or covariates (n, p) in their own units."""

    def side(self, given: Tensor) -> ConditionedCoordinates:
        """Return coordinates row by row for what is given of some rows."""
        ...


def tensor_conditions(conditions: Conditions) -> TensorConditions:
    """Return conditions by operations on tensors alone."""
    if isinstance(conditions, Classes):
        return TensorClasses.of(conditions)
    if isinstance(conditions, Covariates):
        return TensorCovariates.of(conditions)
    raise TypeError(type(conditions).__name__)


@dataclasses.dataclass(frozen=True)
class TensorClasses:
    """Classes by number.

    Attributes:
        coordinates: of all k classes.
        embeddings: (k, e).
    """

    coordinates: Coordinates
    embeddings: Tensor

    @classmethod
    def of(cls, classes: Classes) -> TensorClasses:
        """Return the same as tables."""
        numbers = torch.arange(len(classes.labels))
        return cls(classes.coordinates, classes.embedding(numbers))

    def side(self, given: Tensor) -> ConditionedCoordinates:
        """Return coordinates row by row for numbers of classes (n,)."""
        return ConditionedCoordinates(
            self.coordinates.pick(given), self.embeddings[given]
        )


@dataclasses.dataclass(frozen=True)
class Interpolant:
    """An interpolation, as a sum over the knots: (n, p) -> (n, m).

    Attributes:
        directions: (r, p), in which knots vary, where these are fewer than p; else None.
        knots: (k, r).
        radial: (k, m), of the functions of the distances; None where all is constant.
        linear: (1 + r, m) or (1, m), of the polynomial, in `shift` and `scale`.
        shift, scale: (r,).
        kernel: the function, of squared distances.
    """

    directions: Tensor | None
    knots: Tensor
    radial: Tensor | None
    linear: Tensor
    shift: Tensor
    scale: Tensor
    kernel: OfSquares

    @classmethod
    def of(cls, covariates: Covariates) -> Interpolant:
        """Return the interpolation of means and factors, solved for at the knots."""
        knots, values = covariates.knots.cpu(), covariates.knot_values
        k, p = knots.shape
        if k == 1:
            zero = torch.zeros(p, dtype=knots.dtype)
            return cls(None, knots, None, values, zero, zero + 1, _minus_distance)
        if k <= p + 1:
            return cls._solved(None, knots, values, _minus_distance, 0)
        directions = torch.from_numpy(varying_directions(knots.numpy()))
        if len(directions) == p:
            return cls._solved(None, knots, values, _kernel(p), 1)
        along = knots @ directions.mT
        return cls._solved(directions, along, values, _kernel(along.shape[1]), 1)

    @classmethod
    def _solved(
        cls,
        directions: Tensor | None,
        knots: Tensor,
        values: Tensor,
        kernel: OfSquares,
        degree: int,
    ) -> Interpolant:
        """Return what has these values (k, m) at the knots (k, r)."""
        low, high = knots.amin(0), knots.amax(0)
        shift, scale = (low + high) / 2, (high - low) / 2
        scale = torch.where(scale > 0, scale, 1.0)
        columns = _polynomial((knots - shift) / scale, degree)
        corner = torch.zeros(columns.shape[1], columns.shape[1], dtype=knots.dtype)
        of_distance = kernel(_squares(knots, knots))
        above = torch.cat([of_distance, columns], -1)
        below = torch.cat([columns.mT, corner], -1)
        right = torch.cat([values, values.new_zeros(len(corner), values.shape[1])])
        found = torch.linalg.solve(torch.cat([above, below]), right)
        radial, linear = found.split([len(knots), len(corner)])
        return cls(directions, knots, radial, linear, shift, scale, kernel)

    def __call__(self, scaled: Tensor) -> Tensor:
        """Return the values at scaled covariates (n, p): (n, m)."""
        at = scaled if self.directions is None else scaled @ self.directions.mT
        degree = 0 if len(self.linear) == 1 else 1
        found = _polynomial((at - self.shift) / self.scale, degree) @ self.linear
        if self.radial is None:
            return found
        return found + self.kernel(_squares(at, self.knots)) @ self.radial


@dataclasses.dataclass(frozen=True)
class TensorCovariates:
    """Covariates in their own units.

    Attributes:
        covariates: with the knots.
        interpolant: between them.
        eye: (d, d), the identity.
        place: (d * d,), which interpolated entry stands where in the factor; that after the last is zero.
    """

    covariates: Covariates
    interpolant: Interpolant
    eye: Tensor
    place: Tensor

    @classmethod
    def of(cls, covariates: Covariates) -> TensorCovariates:
        """Return the same by operations on tensors."""
        d = covariates.coordinates.dim
        i, j = torch.tril_indices(d, d)
        place = torch.full((d, d), len(i))
        place[i, j] = torch.arange(len(i))
        eye = torch.eye(d, dtype=torch.float64)
        return cls(covariates, Interpolant.of(covariates), eye, place.flatten())

    def side(self, given: Tensor) -> ConditionedCoordinates:
        """Return coordinates row by row for covariates (n, p)."""
        scaled = self.covariates.scaled(given)
        known = self.covariates.coordinates
        d = known.dim
        found = self.interpolant(scaled)
        source_mean, target_mean = found[:, :d], found[:, d : 2 * d]
        factor = self._factor(found[:, 2 * d :])
        rotation = self.covariates.rotation
        undone = self._inverse(factor)
        own = dataclasses.replace(
            known,
            source_mean=source_mean,
            target_mean=target_mean,
            basis=undone.mT @ (undone @ rotation),
            inverse=rotation.mT @ factor @ factor.mT,
        )
        return ConditionedCoordinates(own, self.covariates.embedding(scaled))

    def _factor(self, entries: Tensor) -> Tensor:
        """Return factors (n, d, d) of their lower entries (n, d(d+1)/2), logarithms on the diagonal."""
        above = torch.zeros_like(entries[:, :1])
        whole = torch.cat([entries, above], -1)[:, self.place]
        whole = whole.unflatten(-1, self.eye.shape)
        return torch.where(self.eye > 0, whole.exp(), whole)

    def _inverse(self, factor: Tensor) -> Tensor:
        """Return the inverses of factors (n, d, d), row by row from the top."""
        rows: list[Tensor] = []
        for i, unit in enumerate(self.eye):
            row = unit.expand(factor.shape[0], -1)
            if rows:
                before = torch.stack(rows, 1)
                row = row - (factor[:, i, :i].unsqueeze(1) @ before).squeeze(1)
            rows.append(row / factor[:, i, i].unsqueeze(-1))
        return torch.stack(rows, 1)


def _squares(at: Tensor, knots: Tensor) -> Tensor:
    """Return the squared distances of points (n, r) to knots (k, r): (n, k)."""
    return (at.unsqueeze(1) - knots).square().sum(-1)


def _polynomial(at: Tensor, degree: int) -> Tensor:
    """Return 1 and, in degree one, the coordinates of points (n, r): (n, 1) or (n, 1 + r)."""
    one = torch.ones_like(at[:, :1])
    return torch.cat([one, at], -1) if degree else one


def _kernel(dim: int) -> OfSquares:
    """Return the kernel for points of this dimension."""
    return KERNELS["cubic" if dim == 1 else "thin_plate_spline"]


def _minus_distance(squares: Tensor) -> Tensor:
    return -squares.sqrt()


def _cubic(squares: Tensor) -> Tensor:
    return squares * squares.sqrt()


def _thin_plate_spline(squares: Tensor) -> Tensor:
    return 0.5 * squares * torch.where(squares > 0, squares, 1.0).log()


KERNELS: Mapping[str, OfSquares] = MappingProxyType(
    {"cubic": _cubic, "thin_plate_spline": _thin_plate_spline}
)
