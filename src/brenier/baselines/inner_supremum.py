"""The inner problem of the dual, sup over z of <z, y> - psi(z) with psi convex, solved numerically for rows of y.

Two ways: Adam on a whole batch, as the published benchmark does it, and BFGS row by row from the affine inverse.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.baselines.networks import DenseSquares
from brenier.solve import BFGS, Solution, minimise


@dataclasses.dataclass(frozen=True)
class Supremum:
    """Minimise psi(z) - <z, y> over z, row by row; a problem of `brenier.solve`.

    Attributes:
        potential: psi, convex.
        y: (n, d).
    """

    potential: DenseSquares
    y: Tensor

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the value (n,) and the residual grad psi - y (n, d) at points (n, d)."""
        value, gradient = self.potential.value_and_gradient(y)
        return value - torch.linalg.vecdot(y, self.y), gradient - self.y

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        """Return Hess psi(y) v, row by row: (n, d)."""
        with torch.enable_grad():
            at = y.detach().requires_grad_()
            slope = self.potential.gradient(at)
            return torch.autograd.grad(slope, at, v)[0]

    def rows(self, index: Tensor) -> Supremum:
        """Return the problem for some of the rows."""
        return Supremum(self.potential, self.y.index_select(0, index))


def solve_rows(
    potential: DenseSquares, y: Tensor, start: Tensor, tol: float, max_steps: int
) -> Solution:
    """Return the suprema by BFGS, every row by itself.

    Args:
        potential: psi, convex.
        y: (n, d).
        start: (n, d), first points.
        tol: bound on |grad psi(z) - y| of every row.
        max_steps: evaluations after which a row is given up.
    """
    problem = Supremum(potential, y.detach())
    return minimise(problem, BFGS(), start, tol=tol, max_steps=max_steps)


class BatchSolution(NamedTuple):
    """What Adam found for a batch.

    Attributes:
        point: (n, d).
        residual: (n,), root mean square over features of grad psi(z) - y.
        steps: taken for the whole batch.
    """

    point: Tensor
    residual: Tensor
    steps: int


@torch.no_grad()
def solve_batch(
    potential: DenseSquares,
    y: Tensor,
    start: Tensor,
    rate: float,
    tol: float,
    max_steps: int,
) -> BatchSolution:
    """Return the suprema by Adam, all rows at once.

    It ends when the mean over the batch of the rows' root mean square residuals is below the tolerance, so that single
    rows may be far from theirs.

    Args:
        potential: psi, convex.
        y: (n, d).
        start: (n, d), first points.
        rate: learning rate of Adam.
        tol: bound on the mean residual.
        max_steps: of Adam.
    """
    z = start.clone()
    optimiser = torch.optim.Adam([z], lr=rate)
    taken = 0
    while True:
        z.grad = potential.gradient(z) - y
        residual = z.grad.square().mean(-1).sqrt()
        if taken == max_steps or not float(residual.mean()) >= tol:
            return BatchSolution(z.detach(), residual, taken)
        optimiser.step()
        taken += 1
