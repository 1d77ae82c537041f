"""The inner problem of every target row, for any cost c(x, z) = h(z - x).

    F(y) = h(z - y) + g(y),   R(y) = grad F(y) = grad g(y) - grad h(z - y),   R = 0  <=>  z = y + grad h*(grad g(y)).

R in units of grad g says little about y where h is flat or steep: of |v|^p both are met near zero. So what is tested is

    R'(y) = y + grad h*(grad g(y)) - z,

by how much the map misses z from y, in units of displacements. Of the squared distance the two are the same. Where h
has a largest slope (log-cosh), R' grows without bound near it while y hardly changes, since F has the curvature of g as
well; there the lesser of |R'| and ten times |R| is tested, as if F bent by a tenth at least.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import BFGS, Iterate, Method, OrthantBFGS
from brenier.transport.costs import Cost, CostFacts


@dataclasses.dataclass(frozen=True)
class InnerProblem:
    """F of every row, for a cost that is not the squared distance.

    Where h has a kink, the residual is the gradient of F without it, as `solve.KinkedProblem` asks.

    Attributes:
        potential: g.
        cost: h.
        z: (n, d), target points.
    """

    potential: Potential
    cost: Cost
    z: Tensor

    @property
    def kink(self) -> float:
        """lambda, where F holds lambda sum |y_i - z_i|, else 0."""
        return CostFacts.of(self.cost).kink

    @property
    def centre(self) -> Tensor:
        """Where that kink is: (n, d)."""
        return self.z

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return F(y) (n,), and R(y), or its smooth part (n, d)."""
        value, gradient = self.potential.value_and_gradient(y)
        return self.objective_from(y, value, gradient)

    def objective_from(
        self, y: Tensor, value: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the same of g and grad g at y."""
        v = self.z - y
        return value + self.cost.value(v), gradient - self._slope(v)

    def errors(self, at: Iterate) -> Tensor:
        """Return |R'(y)|: (n,)."""
        v = self.z - at.y
        return inner_error(self.cost, v, at.residual + self._slope(v))

    def first_scale(self, at: Iterate) -> Tensor:
        """Return |grad h*(s)| / |s| for s = grad g(y): about the inverse curvature of h at the displacement of y: (n,).

        For costs below a square at most one, since their curvature at short displacements says too little.
        """
        s = at.residual + self._slope(self.z - at.y)
        moves, length = self.cost.conjugate_gradient(s), torch.linalg.vector_norm
        sizes = length(s, dim=-1)
        scale = length(moves, dim=-1) / sizes
        if not CostFacts.of(self.cost).dominates_square:
            scale = scale.clamp(max=1.0)
        usable = (sizes > 0) & (scale > 0) & torch.isfinite(scale)
        return torch.where(usable, scale, 1.0)

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        """Return (Hess h(z - y) + Hess g(y)) v, the former by a central difference: (n, d)."""
        length = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
        step = torch.finfo(y.dtype).eps ** (1 / 3) / length.clamp(min=1e-30)
        there = self.z - y
        rise = self._slope(there + step * v) - self._slope(there - step * v)
        return rise / (2 * step) + self.potential.hessian_product(y, v)

    def rows(self, index: Tensor) -> InnerProblem:
        """Return the problem for some of the target points."""
        return InnerProblem(self.potential, self.cost, self.z.index_select(0, index))

    def _slope(self, v: Tensor) -> Tensor:
        """Return grad h(v) without what the kink adds: (n, d)."""
        slope = self.cost.gradient(v)
        return slope - self.kink * v.sign() if self.kink else slope


def inner_error(cost: Cost, v: Tensor, slope: Tensor) -> Tensor:
    """Return how far a row is from solved, in units of displacements: (n,).

    Args:
        cost: h.
        v: (n, d), z - y.
        slope: (n, d), grad g(y).
    """
    missed = torch.linalg.vector_norm(cost.conjugate_gradient(slope) - v, dim=-1)
    if math.isinf(CostFacts.of(cost).largest_slope):
        return missed
    residual = torch.linalg.vector_norm(slope - cost.gradient(v), dim=-1)
    return torch.minimum(missed, 10 * residual)


def usual_method(cost: Cost | None) -> Method:
    """Return the inner solver of a cost where none is asked for: `BFGS`, or where it has a kink `OrthantBFGS`."""
    if cost is not None and CostFacts.of(cost).kink:
        return OrthantBFGS()
    return BFGS()
