"""Whether rows that seem to have converged have: what rounding hides in R(y) = y - z + grad g(y).

Near a solution R is a small difference of large terms. Where the terms are so large that their own rounding exceeds the
bound on |R|, a computed R of zero says nothing. And a network may lose digits inside, by terms that cancel. So of rows
solved below double precision some are evaluated again in double precision, and where they differ by too much, all.
"""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import Solution, Status
from brenier.transport.costs import Cost
from brenier.transport.dual.inner import inner_error


@dataclasses.dataclass(frozen=True)
class RoundingSettings:
    """How rounding is looked for.

    Attributes:
        sampled: rows evaluated again in any case: as many of those where rounding is largest beside the bound, and as
            many spread over all rows.
        margin: where the error of every such row is below the bound divided by this, the others are not evaluated.
        slack: how far above the bound |R| may be in double precision: within it the answer is as good as was asked for,
            and a few of many ordinary rows are, by the rounding of single precision.
    """

    sampled: int = 256
    margin: float = 32.0
    slack: float = 2.0


@torch.no_grad()
def without_rounded(
    potential: Potential,
    z: Tensor,
    solution: Solution,
    tol: float | Tensor,
    *,
    evaluate: bool,
    cost: Cost | None = None,
    settings: RoundingSettings | None = None,
) -> Solution:
    """Return a solution where rows whose convergence is an effect of rounding have stalled, with what is known of |R|.

    Args:
        potential: g.
        z: (n, d), target points.
        solution: how the inner problems ended.
        tol: the bound on |R|, one number or one per row.
        evaluate: whether rows are evaluated again; else only those have stalled where eps (|y| + |z|) exceeds tol.
        cost: another one than the squared distance; |R| is then |R'| (see `inner`).
        settings: how many rows are evaluated again.
    """
    y, norm = solution.point, torch.linalg.vector_norm
    floor = torch.finfo(y.dtype).eps * (norm(y, dim=-1) + norm(z, dim=-1))
    bound = tol if isinstance(tol, Tensor) else y.new_full((), tol)
    bound = bound.to(y).expand_as(floor)
    unresolved = solution.converged & (floor > bound)
    residual = torch.where(
        unresolved, torch.maximum(solution.residual, floor), solution.residual
    )
    if evaluate and y.dtype != torch.float64:
        settings = settings or RoundingSettings()
        index, exact = _evaluated(
            (potential, cost), z, solution, floor / bound, bound, settings
        )
        faulty = unresolved[index] | ~(exact <= settings.slack * bound[index])
        residual[index] = torch.where(faulty, exact.to(residual), residual[index])
        unresolved[index] = faulty
    status = torch.where(unresolved, int(Status.STALLED), solution.status)
    return dataclasses.replace(solution, status=status, residual=residual)


def _evaluated(
    problem: tuple[Potential, Cost | None],
    z: Tensor,
    solution: Solution,
    risk: Tensor,
    bound: Tensor,
    settings: RoundingSettings,
) -> tuple[Tensor, Tensor]:
    """Return which of the converged rows were evaluated again, and |R| there in double precision.

    Args:
        problem: g and the cost.
        z, solution: as in `without_rounded`.
        risk: (n,), rounding of the terms of R beside the bound.
        bound: (n,), on |R|.
        settings: how many rows are evaluated.
    """
    rows = solution.converged.nonzero().squeeze(-1)
    first, count = rows, settings.sampled
    if len(rows) > 2 * count:
        largest = rows[risk[rows].topk(count).indices]
        first = torch.cat([largest, rows[:: len(rows) // count]]).unique()
    exact = _double_precision(*problem, solution.point[first], z[first])
    if exact is None:
        return rows[:0], bound[:0].double()
    error = (exact - solution.residual[first]).abs()
    if len(first) == len(rows) or bool((error * settings.margin <= bound[first]).all()):
        return first, exact
    exact = _double_precision(*problem, solution.point[rows], z[rows])
    return (rows[:0], bound[:0].double()) if exact is None else (rows, exact)


def _double_precision(
    potential: Potential, cost: Cost | None, y: Tensor, z: Tensor
) -> Tensor | None:
    """Return |R(y)| evaluated in double precision, or None where the potential, or its device, cannot be: (k,)."""
    at = y.double()
    try:
        _, gradient = copy.deepcopy(potential).double().value_and_gradient(at)
        v = z.double() - at
        if cost is not None:
            return inner_error(cost, v, gradient)
        norm = torch.linalg.vector_norm(at - z.double() + gradient, dim=-1)
    except (RuntimeError, TypeError):  # a potential of one's own, of one precision
        return None
    return norm
