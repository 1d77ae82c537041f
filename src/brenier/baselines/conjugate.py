"""The convex conjugate of a potential at many points: sup over z of <z, y> - D(z), solved row by row."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import torch
from torch import Tensor

from brenier.solve import LBFGS, Iterate, Solution, minimise


class GradientPotential(Protocol):
    """A potential D whose gradient is known."""

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return D(x) (n,) and grad D(x) (n, d)."""
        ...

    def gradient(self, x: Tensor) -> Tensor:
        """Return grad D(x): (n, d) -> (n, d)."""
        ...


@dataclasses.dataclass(frozen=True)
class ConjugateProblem:
    """D(z) - <z, y> of every row, whose minimum is minus the conjugate at y.

    Attributes:
        potential: D.
        y: (n, d).
    """

    potential: GradientPotential
    y: Tensor

    def evaluate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the objective (n,) and its gradient grad D(z) - y (n, d)."""
        value, gradient = self.potential.value_and_gradient(z)
        return value - torch.linalg.vecdot(z, self.y), gradient - self.y

    def errors(self, at: Iterate) -> Tensor:
        """Return the largest number of each gradient: (n,)."""
        return at.residual.abs().amax(-1)

    def hessian_product(self, z: Tensor, v: Tensor) -> Tensor:
        """Return Hess D(z) v: (n, d)."""
        with torch.enable_grad():
            at = z.detach().requires_grad_()
            along = torch.linalg.vecdot(self.potential.gradient(at), v).sum()
            return torch.autograd.grad(along, at)[0]

    def rows(self, index: Tensor) -> ConjugateProblem:
        """Return the problem for some of the points."""
        return ConjugateProblem(self.potential, self.y.index_select(0, index))


def solve_conjugate(
    potential: GradientPotential,
    y: Tensor,
    start: Tensor,
    *,
    tol: float | Tensor,
    max_steps: int,
    skip_fraction: float = 0.0,
) -> Solution:
    """Return the points z at which <z, y> - D(z) is greatest.

    Args:
        potential: D, which should grow faster than a linear function, else there may be no such point.
        y: (n, d).
        start: (n, d), where to begin.
        tol: bound on the largest number of grad D(z) - y, one or one per row.
        max_steps: of L-BFGS, each an evaluation.
        skip_fraction: share of the rows that may be left unfinished.
    """
    return minimise(
        ConjugateProblem(potential, y),
        LBFGS(),
        start.detach(),
        tol=tol,
        max_steps=max_steps,
        skip_fraction=skip_fraction,
    )
