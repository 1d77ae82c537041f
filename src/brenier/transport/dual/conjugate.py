"""The conjugate of a potential, and with it the inverse map; here for the squared distance, for others see `inner`.

For g: R^d -> R and a target point z,

    env(z) = min over y of F(y),   F(y) = |y - z|^2/2 + g(y),   R(y) = grad F(y) = y - z + grad g(y).

env is the Moreau envelope of g, the c-transform of -g for the quadratic cost ("Fixed-Point Neural Optimal
Transport...", Park et al., 2026, (15)-(22)); its minimiser y*(z), the proximal point of g, is the inverse T^{-1}(z).
By the envelope theorem the gradient of env(z) in the parameters of g is that of g at y* held fixed (Lemma 3.2).
"""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor

from brenier.errors import DataError
from brenier.potentials import Potential
from brenier.solve import Iterate, Method, Rule, Solution, detached, minimise
from brenier.transport.costs import Cost, CostFacts, SquaredEuclidean
from brenier.transport.dual.inner import InnerProblem, usual_method
from brenier.transport.dual.rounding import without_rounded
from brenier.transport.dual.starts import InitialPoints


@dataclasses.dataclass(frozen=True)
class Proximal:
    """The inner problem of every row: F(y) = |y - z|^2/2 + g(y)."""

    potential: Potential
    z: Tensor

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return F(y) (n,) and R(y) (n, d)."""
        value, gradient = self.potential.value_and_gradient(y)
        return self.objective_from(y, value, gradient)

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        """Return (I + Hess g(y)) v: (n, d)."""
        return v + self.potential.hessian_product(y, v)

    def rows(self, index: Tensor) -> Proximal:
        """Return the problem for some of the target points."""
        return Proximal(self.potential, self.z.index_select(0, index))

    def objective_from(
        self, y: Tensor, value: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return F and R at y, of g and grad g there."""
        away = y - self.z
        return value + 0.5 * torch.linalg.vecdot(away, away), away + gradient


@dataclasses.dataclass(frozen=True)
class Conjugate:
    """The envelope of a potential at some points.

    Attributes:
        value: (n,), env(z), differentiable in the potential's parameters and in z; NaN for rows without finite iterate.
        point: (n, d), the minimiser y*(z) = T^{-1}(z), differentiable as `gradients` says.
        solution: how the solve went, row by row.
    """

    value: Tensor
    point: Tensor
    solution: Solution


def conjugate(
    potential: Potential,
    z: Tensor,
    *,
    cost: Cost | None = None,
    method: Method | None = None,
    start: Tensor | InitialPoints | None = None,
    tol: float | Tensor = 1e-3,
    max_steps: int = 200,
    check_every: int = 1,
    skip_fraction: float = 0.0,
    gradients: Rule = detached,
    evaluate_again: bool = True,
) -> Conjugate:
    """Return env(z) and its minimiser, for every row of z (n, d).

    Args:
        potential: g.
        z: (n, d), target points.
        cost: c, the squared distance |x - z|^2/2 by default.
        method: inner solver, by default `BFGS()`, or for a cost with a kink `OrthantBFGS()`.
        start: (n, d), first iterates, or `InitialPoints` where rows share them, for then g is evaluated once at each; z
            itself by default. Rows of z far from it only cost more steps.
        tol: bound on |R(y)|, for other costs on |R'(y)| (see `inner`), one number or one per row.
        max_steps: steps after which a row is given up, and says so in `solution.status`.
        check_every: steps between two stop tests (see `minimise`).
        skip_fraction: share of the rows that may be left unfinished (see `minimise`).
        gradients: how `point` is differentiated: `detached`, or `one_step`, `implicit`, `unrolled` of `brenier.solve`.
        evaluate_again: whether rows solved below double precision are evaluated again in it, so that none seems to have
            converged by rounding (see `brenier.transport.dual.rounding`). Training does without.

    Raises:
        DataError: where the method is none, or a class and no instance of it.

    >>> import torch
    >>> from brenier.potentials import Quadratic
    >>> found = conjugate(
    ...     Quadratic(1, torch.tensor([[2.0]])), torch.tensor([[3.0]])
    ... )  # T(x) = 2x
    >>> round(found.point.item(), 3), found.solution.report()
    (1.5, 'all 1 rows converged')
    """
    if isinstance(cost, SquaredEuclidean):
        cost = None
    problem = inner_problem(potential, z.detach(), cost)
    if not isinstance(start, InitialPoints):
        start = InitialPoints.per_row((z if start is None else start).detach())
    solution = minimise(
        problem,
        method or usual_method(cost),
        _initial_iterate(problem, start),
        tol=tol,
        max_steps=max_steps,
        check_every=check_every,
        skip_fraction=skip_fraction,
    )
    evaluations = len(start.points) + solution.evaluations
    solution = dataclasses.replace(solution, evaluations=evaluations)
    solution = without_rounded(
        potential, problem.z, solution, tol, evaluate=evaluate_again, cost=cost
    )
    value = _values(potential, cost, z, solution)
    if cost is None:
        of = functools.partial(_proximal_residual, potential, z)
    else:
        of = functools.partial(_cost_residual, potential, cost, z)
    return Conjugate(value, gradients(of, solution.point), solution)


def _values(
    potential: Potential, cost: Cost | None, z: Tensor, solution: Solution
) -> Tensor:
    """Return env(z) with a graph, NaN for rows without a finite iterate: (n,)."""
    y, usable = solution.point, torch.isfinite(solution.residual)
    # These stay out of the graph, where a zero gradient times NaN is NaN.
    of_move = SquaredEuclidean() if cost is None else cost
    value = of_move.value(z - y) + potential(torch.where(usable.unsqueeze(-1), y, 0.0))
    return torch.where(usable, value, torch.nan)


def inner_problem(
    potential: Potential, z: Tensor, cost: Cost | None = None
) -> Proximal | InnerProblem:
    """Return the inner problem of every row of z (n, d): for the squared distance where no other cost is given."""
    return Proximal(potential, z) if cost is None else InnerProblem(potential, cost, z)


def _initial_iterate(
    problem: Proximal | InnerProblem, starts: InitialPoints
) -> Iterate:
    """Return the first iterates with F and R there, g evaluated once at each of the points."""
    y = starts.rows()
    value, gradient = problem.potential.value_and_gradient(starts.points)
    value = value.index_select(0, starts.index)
    gradient = gradient.index_select(0, starts.index)
    return Iterate(y, *problem.objective_from(y, value, gradient))


def _proximal_residual(potential: Potential, z: Tensor, at: Tensor) -> Tensor:
    """Return R at points (n, d), with a graph."""
    # With a condition held fixed dR/dy is symmetric, as the rules of differentiation ask.
    fixed = at[:, potential.transport_dim :].detach()
    held = torch.cat([at[:, : potential.transport_dim], fixed], -1)
    return at - z + potential.gradient(held if fixed.numel() else at)


def _cost_residual(potential: Potential, cost: Cost, z: Tensor, at: Tensor) -> Tensor:
    """Return R at points (n, d) for a cost of any kind, with a graph.

    Raises:
        DataError: for a cost with a kink, of which R has no derivative.
    """
    if CostFacts.of(cost).kink:
        raise DataError(
            "z: the inverse under a cost with a kink cannot be differentiated; give z.detach(), or another cost"
        )
    return potential.gradient(at) - cost.gradient(z - at)
