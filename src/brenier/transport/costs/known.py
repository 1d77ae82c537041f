"""Costs beside the quadratic ones: powers of the distance, sparse displacements, robust ones."""

from __future__ import annotations

import dataclasses
import math
import numbers

import torch
from torch import Tensor
from torch.nn import functional

from brenier.errors import DataError
from brenier.transport.costs.base import KnownCost


@dataclasses.dataclass(frozen=True)
class OfPower(KnownCost):
    """What costs of a power p have in common."""

    p: float

    def __post_init__(self) -> None:
        check_above("p", self.p, 1.0, "of p <= 1 maps are not determined by a gradient")

    @property
    def degree(self) -> float:  # type: ignore[override]
        """The power p."""
        return float(self.p)

    @property
    def dominates_square(self) -> bool:  # type: ignore[override]
        """Whether p > 2."""
        return self.p > 2


@dataclasses.dataclass(frozen=True)
class Power(OfPower):
    """c(x, z) = |z - x|^p / p with the Euclidean norm: W_p. Far moves cost less for p < 2, and more for p > 2.

    Args:
        p: above 1.

    Raises:
        DataError: where p is not above 1.

    >>> import torch
    >>> Power(3)(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor([41.6667])
    """

    of_distance = True

    def value(self, v: Tensor) -> Tensor:
        """Return |v|^p / p: (n, d) -> (n,)."""
        return torch.linalg.vector_norm(v, dim=-1) ** self.p / self.p

    def gradient(self, v: Tensor) -> Tensor:
        """Return |v|^(p-2) v, zero at zero: (n, d)."""
        return _with_length_to(v, self.p - 1)

    def conjugate_gradient(self, s: Tensor) -> Tensor:
        """Return |s|^(q-2) s with 1/p + 1/q = 1, zero at zero: (n, d)."""
        return _with_length_to(s, 1 / (self.p - 1))

    def pairwise(self, x: Tensor, z: Tensor) -> Tensor:
        """Return c(x, z) of all pairs of rows: (n, d), (m, d) -> (m, n)."""
        return torch.cdist(z, x) ** self.p / self.p


@dataclasses.dataclass(frozen=True)
class SeparablePower(OfPower):
    """c(x, z) = sum of |z_i - x_i|^p / p, feature by feature: W_p with the l_p norm.

    Args:
        p: above 1.

    Raises:
        DataError: where p is not above 1.
    """

    def value(self, v: Tensor) -> Tensor:
        """Return sum of |v_i|^p / p: (n, d) -> (n,)."""
        return (v.abs() ** self.p).sum(-1) / self.p

    def gradient(self, v: Tensor) -> Tensor:
        """Return sign(v_i) |v_i|^(p-1): (n, d)."""
        return _signed_power(v, self.p - 1)

    def conjugate_gradient(self, s: Tensor) -> Tensor:
        """Return sign(s_i) |s_i|^(q-1) with 1/p + 1/q = 1: (n, d)."""
        return _signed_power(s, 1 / (self.p - 1))

    def pairwise(self, x: Tensor, z: Tensor) -> Tensor:
        """Return c(x, z) of all pairs of rows: (n, d), (m, d) -> (m, n)."""
        return torch.cdist(z, x, p=self.p) ** self.p / self.p


@dataclasses.dataclass(frozen=True)
class Elastic(KnownCost):
    """c(x, z) = |z - x|^2/2 + sparsity * sum of |z_i - x_i|: features that gain little are not moved at all.

    "Monge, Bregman and Occam: Interpretable Optimal Transport in High-Dimensions with Feature-Sparse Maps" (Cuturi,
    Klein and Ablin, 2023), section 4.1.

    Args:
        sparsity: lambda, above 0, in units of the data: grad g must exceed it for a feature to be moved.

    Raises:
        DataError: where the sparsity is not above 0.
    """

    sparsity: float

    contains_square = True
    dominates_square = True

    def __post_init__(self) -> None:
        remedy = "without it this is the squared distance"
        check_above("sparsity", self.sparsity, 0.0, remedy)

    @property
    def kink(self) -> float:  # type: ignore[override]
        """The sparsity."""
        return float(self.sparsity)

    def value(self, v: Tensor) -> Tensor:
        """Return |v|^2/2 + sparsity * sum of |v_i|: (n, d) -> (n,)."""
        return v.square().sum(-1) / 2 + self.sparsity * v.abs().sum(-1)

    def gradient(self, v: Tensor) -> Tensor:
        """Return v + sparsity * sign(v), of several the one of zero where v_i is zero: (n, d)."""
        return v + self.sparsity * v.sign()

    def conjugate_gradient(self, s: Tensor) -> Tensor:
        """Return s less sparsity, towards zero and no further: (n, d)."""
        return functional.softshrink(s, self.sparsity)

    def pairwise(self, x: Tensor, z: Tensor) -> Tensor:
        """Return c(x, z) of all pairs of rows: (n, d), (m, d) -> (m, n)."""
        squares = torch.cdist(z, x).square() / 2
        return squares + self.sparsity * torch.cdist(z, x, p=1.0)


@dataclasses.dataclass(frozen=True)
class LogCosh(KnownCost):
    """c(x, z) = scale^2 * sum of log cosh((z_i - x_i) / scale): quadratic for short moves, linear for long ones.

    No partial derivative of it reaches `scale`, so that a potential tells displacements of many times that apart by
    little: choose a scale of the size of displacements.

    Args:
        scale: above 0, in units of the data: where the cost turns from quadratic to linear.

    Raises:
        DataError: where the scale is not above 0.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        check_above("scale", self.scale, 0.0, "give about the length of displacements")

    @property
    def largest_slope(self) -> float:  # type: ignore[override]
        """The scale."""
        return float(self.scale)

    def value(self, v: Tensor) -> Tensor:
        """Return scale^2 * sum of log cosh(v_i / scale): (n, d) -> (n,)."""
        size = (v / self.scale).abs()
        logs = size + functional.softplus(-2 * size) - math.log(2)
        return self.scale**2 * logs.sum(-1)

    def gradient(self, v: Tensor) -> Tensor:
        """Return scale * tanh(v / scale): (n, d)."""
        return self.scale * torch.tanh(v / self.scale)

    def conjugate_gradient(self, s: Tensor) -> Tensor:
        """Return scale * artanh(s / scale), of the last number below 1 where |s_i| >= scale: (n, d)."""
        last = 1 - torch.finfo(s.dtype).eps
        return self.scale * torch.atanh((s / self.scale).clamp(-last, last))


def check_above(name: str, value: object, least: float, remedy: str) -> None:
    """Check that a parameter of a cost is a finite number above `least`.

    Raises:
        DataError: where it is not.
    """
    known = isinstance(value, numbers.Real) and not isinstance(value, bool)
    number = float(value) if known else math.nan  # type: ignore[arg-type]
    if not (math.isfinite(number) and number > least):
        raise DataError(
            f"{name}: must be a finite number above {least:g}, got {value!r}; {remedy}"
        )


def _with_length_to(v: Tensor, power: float) -> Tensor:
    """Return rows v (n, d) with their length raised to a power above 0; zero, and its derivative, stay zero."""
    square = torch.linalg.vecdot(v, v).unsqueeze(-1)
    # A power of zero has no derivative: rows of zeros take that of one, times zero.
    somewhere = torch.where(square > 0, square, 1.0)
    return v * somewhere ** ((power - 1) / 2)


def _signed_power(v: Tensor, power: float) -> Tensor:
    """Return sign(v_i) |v_i|^power for a power above 0; zero, and its derivative, stay zero."""
    somewhere = torch.where(v == 0, 1.0, v)
    return v * somewhere.abs() ** (power - 1)
