"""Hamiltonians whose minimiser has a closed form: f is affine in the control, L depends on it by its length.

    H(u) = L(u) + b . u,   b = f_u' p

Each takes b (n, m), which carries the graph to states and costates, and leaves out what does not depend on u.
None forms a matrix (m, m) but in `hessian`, unless its weights are one.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier.control.hamiltonian import Hamiltonian


@dataclasses.dataclass(frozen=True)
class AffineHamiltonian(Hamiltonian):
    """L(u) + b . u for n rows, with some L that a subclass knows.

    Attributes:
        b: f_u' p, (n, m).
    """

    b: Tensor

    def rows(self, index: Tensor) -> Self:
        """Return the Hamiltonians of the rows in index."""
        return dataclasses.replace(self, b=self.b[index])

    def detached(self) -> Self:
        """Return the same without a graph."""
        if not self.b.requires_grad:
            return self
        return dataclasses.replace(self, b=self.b.detach())

    @functools.cached_property
    def scale(self) -> Tensor:  # type: ignore[override]
        """1 + |b|: (n,)."""
        return 1 + torch.linalg.vector_norm(self.b.detach(), dim=-1)


@dataclasses.dataclass(frozen=True)
class QuadraticHamiltonian(AffineHamiltonian):
    """L = u' R u / 2, minimal at u = -R^{-1} b.

    Attributes:
        b: f_u' p, (n, m).
        weights: R, a positive number, or a symmetric positive definite matrix (m, m).
    """

    weights: float | Tensor = 1.0

    def value(self, u: Tensor) -> Tensor:
        """Return H: (n,)."""
        return vecdot(u, self._weighted(u) / 2 + self.b)

    def gradient(self, u: Tensor) -> Tensor:
        """Return grad_u H = R u + b: (n, m)."""
        return self._weighted(u) + self.b

    def hessian(self, u: Tensor) -> Tensor:
        """Return R for every row: (n, m, m)."""
        return self._matrix.expand(len(u), -1, -1)

    def hessian_product(self, u: Tensor, v: Tensor) -> Tensor:
        """Return R v: (n, m)."""
        return self._weighted(v.detach())

    def diagonal(self, u: Tensor) -> Tensor:
        """Return the diagonal of R for every row: (n, m)."""
        return self._matrix.diagonal().expand_as(u)

    def curvature(self, u: Tensor) -> Tensor:
        """Return the largest eigenvalue of R: (n,)."""
        if not isinstance(self.weights, Tensor):
            return u.new_full((len(u),), self.weights)
        return torch.linalg.matrix_norm(self._matrix, 2).expand(len(u))

    @torch.no_grad()
    def exact(self) -> Tensor:
        """Return -R^{-1} b: (n, m)."""
        if not isinstance(self.weights, Tensor):
            return -self.b / self.weights
        return -torch.linalg.solve(self._matrix, self.b.mT).mT

    @functools.cached_property
    def _matrix(self) -> Tensor:
        """R as a matrix (m, m)."""
        if isinstance(self.weights, Tensor):
            return self.weights.to(self.b)
        one = torch.eye(self.b.shape[-1], dtype=self.b.dtype, device=self.b.device)
        return self.weights * one

    def _weighted(self, u: Tensor) -> Tensor:
        """Return R u: (n, m)."""
        if isinstance(self.weights, Tensor):
            return u @ self._matrix
        return self.weights * u


class _Slopes(NamedTuple):
    """g, g' and g'' of L = g(|u|^2 / 2): (n, 1) each."""

    value: Tensor
    first: Tensor
    second: Tensor


@dataclasses.dataclass(frozen=True)
class RadialHamiltonian(AffineHamiltonian):
    """L = g(|u|^2 / 2) with g convex and increasing, so that the Hessian is g' I + g'' u u'."""

    @abc.abstractmethod
    def slopes(self, half: Tensor) -> _Slopes:
        """Return g, g' and g'' at |u|^2 / 2 (n, 1)."""

    def value(self, u: Tensor) -> Tensor:
        """Return H: (n,)."""
        return self._at(u).value.squeeze(-1) + vecdot(self.b, u)

    def gradient(self, u: Tensor) -> Tensor:
        """Return grad_u H = g' u + b: (n, m)."""
        return self._at(u).first * u + self.b

    def evaluate(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return value and gradient without a graph: (n,), (n, m)."""
        with torch.no_grad():
            at = self._at(u)
            value = at.value.squeeze(-1) + vecdot(self.b, u)
            return value, at.first * u + self.b

    @torch.no_grad()
    def hessian(self, u: Tensor) -> Tensor:
        """Return g' I + g'' u u': (n, m, m)."""
        at = self._at(u)
        outer = (at.second * u).unsqueeze(-1) * u.unsqueeze(-2)
        return outer + torch.diag_embed(at.first.expand_as(u))

    @torch.no_grad()
    def hessian_product(self, u: Tensor, v: Tensor) -> Tensor:
        """Return g' v + g'' (u . v) u: (n, m)."""
        at = self._at(u)
        return at.first * v + at.second * vecdot(u, v).unsqueeze(-1) * u

    @torch.no_grad()
    def diagonal(self, u: Tensor) -> Tensor:
        """Return the diagonal of the Hessian: (n, m)."""
        at = self._at(u)
        return at.first + at.second * u.square()

    @torch.no_grad()
    def curvature(self, u: Tensor) -> Tensor:
        """Return the largest eigenvalue, along u: (n,)."""
        at = self._at(u)
        return (at.first + at.second * vecdot(u, u).unsqueeze(-1)).squeeze(-1)

    def _at(self, u: Tensor) -> _Slopes:
        return self.slopes(vecdot(u, u).unsqueeze(-1) / 2)


@dataclasses.dataclass(frozen=True)
class ExponentialHamiltonian(RadialHamiltonian):
    """L = exp(|u|^2 / (2 spread)), minimal by Lambert's W function.

    Attributes:
        b: f_u' p, (n, m).
        spread: a positive number.
    """

    spread: float = 1.0

    def slopes(self, half: Tensor) -> _Slopes:
        """Return g, g' and g'' of exp(./spread)."""
        value = (half / self.spread).exp()
        return _Slopes(value, value / self.spread, value / self.spread**2)

    @torch.no_grad()
    def exact(self) -> Tensor:
        """Return -c b/|b| with (c/spread) exp(c^2 / (2 spread)) = |b|: (n, m)."""
        length = torch.linalg.vector_norm(self.b, dim=-1, keepdim=True)
        speed = exponential_speed(length, self.spread)
        # c/|b| tends to the spread as b tends to zero, where no direction is left.
        ratio = torch.where(length > 0, speed / length, self.spread)
        return -ratio * self.b


@dataclasses.dataclass(frozen=True)
class QuarticHamiltonian(RadialHamiltonian):
    """L = |u|^2 / 2 + |u|^4 / 4, minimal by Cardano's formula.

    Attributes:
        b: f_u' p, (n, m).
    """

    def slopes(self, half: Tensor) -> _Slopes:
        """Return g, g' and g'' of . + .^2."""
        return _Slopes(half + half**2, 1 + 2 * half, torch.full_like(half, 2.0))

    @torch.no_grad()
    def exact(self) -> Tensor:
        """Return -s b/|b| with s + s^3 = |b|: (n, m)."""
        length = torch.linalg.vector_norm(self.b, dim=-1, keepdim=True)
        # The hyperbolic form of Cardano's root: nothing cancels, however small or large |b| is.
        angle = torch.asinh(1.5 * math.sqrt(3) * length) / 3
        speed = 2 / math.sqrt(3) * torch.sinh(angle)
        return -self.b / (1 + speed.square())  # s/|b| = 1 / (1 + s^2)


def exponential_speed(force: Tensor, spread: float) -> Tensor:
    """Return the c not below zero with (c/spread) exp(c^2 / (2 spread)) = force, to the last digits, without a graph.

    It is sqrt(spread W(spread force^2)) with Lambert's W function.

    Args:
        force: not negative, any shape.
        spread: a positive number.
    """
    force = force.detach()
    tiny = torch.finfo(force.dtype).tiny
    w = lambert_w_of_log(math.log(spread) + 2 * force.clamp(min=tiny).log())
    # Where W is small its root would lose digits that force still has.
    small = spread * force * (-w / 2).exp()
    return torch.where(w < 1, small, (spread * w).sqrt())


def lambert_w_of_log(y: Tensor) -> Tensor:
    """Return W(exp(y)), the w with w + log w = y: any shape, without a graph."""
    y = y.detach()
    # In v = log w: exp(v) + v = y is convex, and this start lies right of the root, so that Newton's steps go down
    # to it. Six reach the last digit from anywhere.
    v = torch.where(y > 1, y.clamp(min=1).log(), y)
    for _ in range(6):
        w = v.exp()
        v = v - (w + v - y) / (w + 1)
    return v.exp()
