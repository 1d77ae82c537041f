"""The dual objective of quadratic optimal transport.

    J(g) = E_mu g(x) - E_nu env(z),     env(z) = min over y of |y - z|^2/2 + g(y)

-J(g) <= W2^2(mu, nu)/2 for every g whose inner minima are exact, with equality at the Brenier potential ("Fixed-Point
Neural Optimal Transport...", Park et al., 2026, (15), (18)). The loss returned *is* J, quadratic term included, and its
gradient in the parameters is the envelope gradient E d g(x) - E d g(y*): one number is optimised, reported and used for
selection.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from brenier.conjugate import best_start, conjugate
from brenier.potentials import Potential
from brenier.solve import BFGS, Method, Solution, Status

CANDIDATES = 1024  # source points at which an inner problem may start


@dataclasses.dataclass(frozen=True)
class DualValue:
    """J on a batch.

    Attributes:
        loss: J, a scalar with the envelope gradient.
        source: (n,), g(x), whose mean is the first term.
        target: (m,), env(z), whose mean is the second.
        solution: how the inner solves went.
    """

    loss: Tensor
    source: Tensor
    target: Tensor
    solution: Solution

    def standard_error(self) -> float:
        """Return the standard error of J as an average over independent samples; inf for fewer than two rows."""
        return standard_error(self.source, self.target[torch.isfinite(self.solution.residual)])


def standard_error(*terms: Tensor) -> float:
    """Return the standard error of a sum of independent sample means, each given by its terms (n_i,)."""
    if min(term.numel() for term in terms) < 2:
        return float("inf")
    return float(sum(term.detach().double().var() / term.numel() for term in terms)) ** 0.5


Weigh = Callable[[Tensor], Tensor]  # points (n, d) -> weights (n,) of sum one


def equal(points: Tensor) -> Tensor:
    """Return equal weights."""
    n = len(points)
    return points.new_full((n,), 1 / n if n else torch.nan)


@dataclasses.dataclass(frozen=True)
class DualObjective:
    """J with a given inner solver: `objective(potential, x, z).loss.backward()`.

    Attributes:
        method: inner solver, `BFGS()` by default.
        tol: bound on the inner residual.
        max_steps: inner steps after which a row is given up. Such rows enter the loss with their best iterate and are
            counted in `solution`; rows without any finite iterate are left out of it.
        check_every: inner steps between two stop tests.
    """

    method: Method = dataclasses.field(default_factory=BFGS)
    tol: float = 1e-3
    max_steps: int = 200
    check_every: int = 1

    def __call__(
        self,
        potential: Potential,
        x: Tensor,
        z: Tensor,
        *,
        start: Tensor | None = None,
        tol: float | None = None,
        leave: float = 0.0,
        weigh: tuple[Weigh, Weigh] = (equal, equal),
    ) -> DualValue:
        """Return J(g) on source points x (n, d) and target points z (m, d).

        Args:
            potential: g.
            x, z: source and target points.
            start: (k, d), first iterates of the first k rows of z; the others start at the best of themselves and of
                x (`best_start`).
            tol: another bound on the inner residual.
            leave: share of the rows of z that may be left unfinished; those do not enter the loss.
            weigh: how x, and the rows of z that enter the loss, are weighed.
        """
        source = potential(x)
        known = 0 if start is None else len(start)
        first = best_start(potential, z[known:], x[:CANDIDATES], source[:CANDIDATES].detach())
        found = conjugate(
            potential,
            z,
            method=self.method,
            start=first if start is None else torch.cat([start, first]),
            tol=self.tol if tol is None else tol,
            max_steps=self.max_steps,
            check_every=self.check_every,
            leave=leave,
        )
        target, solution = found.value, found.solution
        usable = torch.isfinite(solution.residual) & (solution.status != Status.LEFT)
        loss = source @ weigh[0](x) - target[usable] @ weigh[1](z[usable])
        return DualValue(loss, source, target, solution)
