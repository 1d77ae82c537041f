"""What a cost is: c(x, z) = h(z - x), and the calculus of h that maps are made of.

h: R^d -> R is strictly convex and least at zero. With its conjugate h*, whose gradient is the inverse of that of h, a
potential g gives the map

    T(x) = x + grad h*(grad g(x)),

which is optimal for c between mu and its image whenever y -> h(z - y) + g(y) is least at x for z = T(x) ("The geometry
of optimal transportation", Gangbo and McCann, 1996). The squared distance h = |v|^2/2 has grad h* = identity.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Cost(Protocol):
    """A cost c(x, z) = h(z - x) as a user may write one; `check_cost` says whether its parts agree."""

    def value(self, v: Tensor) -> Tensor:
        """Return h(v), row by row: (n, d) -> (n,)."""
        ...

    def gradient(self, v: Tensor) -> Tensor:
        """Return grad h(v): (n, d) -> (n, d)."""
        ...

    def conjugate_gradient(self, s: Tensor) -> Tensor:
        """Return the v at which grad h(v) = s, that is grad h*(s): (n, d) -> (n, d)."""
        ...


class KnownCost(abc.ABC):
    """A cost of this library, with what the fit wants to know of it. A cost of one's own may say so as well.

    Attributes:
        degree: p, where h(a v) = |a|^p h(v) and p h(v) is the p-th power of a norm; then the p-th root of p OT_c is a
            distance, W_p. Else None.
        kink: lambda, where h(v) is a smooth function plus lambda sum |v_i|, which makes displacements sparse; else 0.
        contains_square: whether h(v) - |v|^2/2 is convex: then a convex psi makes every inner problem convex; else
            a convex g does.
        dominates_square: whether h(v) - |v|^2/2 is bounded below, whatever the units of v. Where it is not, potentials
            must be bounded below by themselves.
        of_distance: whether h(v) is a function of |v|, so that the costs of all pairs of rows are cheap.
        largest_slope: what no partial derivative of h reaches; infinity where h is superlinear.
    """

    degree: float | None = None
    kink: float = 0.0
    contains_square: bool = False
    dominates_square: bool = False
    of_distance: bool = False
    largest_slope: float = math.inf

    def __call__(self, x: Tensor, z: Tensor) -> Tensor:
        """Return c(x, z) = h(z - x) row by row: (n, d), (n, d) -> (n,)."""
        return self.value(z - x)

    @abc.abstractmethod
    def value(self, v: Tensor) -> Tensor:
        """Return h(v), row by row: (n, d) -> (n,)."""

    @abc.abstractmethod
    def gradient(self, v: Tensor) -> Tensor:
        """Return grad h(v): (n, d) -> (n, d)."""

    @abc.abstractmethod
    def conjugate_gradient(self, s: Tensor) -> Tensor:
        """Return grad h*(s): (n, d) -> (n, d)."""

    def pairwise(self, x: Tensor, z: Tensor) -> Tensor:
        """Return c(x, z) of all pairs of rows: (n, d), (m, d) -> (m, n)."""
        return self.value(z.unsqueeze(1) - x)


@dataclasses.dataclass(frozen=True)
class CostFacts:
    """What is known of a cost, as the attributes of `KnownCost` say; the least that can be where nothing is."""

    degree: float | None
    kink: float
    contains_square: bool
    dominates_square: bool
    of_distance: bool
    largest_slope: float

    @classmethod
    def of(cls, cost: Cost) -> CostFacts:
        """Return what a cost says of itself."""
        told = {
            field.name: getattr(cost, field.name, getattr(KnownCost, field.name))
            for field in dataclasses.fields(cls)
        }
        return cls(**told)


def conjugate_value(cost: Cost, s: Tensor) -> Tensor:
    """Return h*(s) = <s, v> - h(v) with v = grad h*(s), row by row: (n, d) -> (n,)."""
    v = cost.conjugate_gradient(s)
    return torch.linalg.vecdot(s, v) - cost.value(v)


def pairwise_cost(cost: Cost, x: Tensor, z: Tensor) -> Tensor:
    """Return c(x, z) of all pairs of rows, of any cost: (n, d), (m, d) -> (m, n)."""
    if isinstance(cost, KnownCost):
        return cost.pairwise(x, z)
    v = (z.unsqueeze(1) - x).flatten(0, 1)  # a user's cost takes rows (n, d)
    return cost.value(v).view(len(z), len(x))
