"""Newton's method on many rows at once, its linear systems solved by conjugate gradients on Hessian products.

No Hessian is formed: a row that converges in few steps costs a few Hessian products for each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier.solve.linesearch import LineSearch, accept
from brenier.solve.loop import Iterate, Problem, take_rows


class _NewtonState(NamedTuple):
    current: Iterate  # the last accepted one
    direction: Tensor  # (n, d), the descent direction being searched
    rejections: Tensor  # (n,), rejected trials in a row


@dataclasses.dataclass(frozen=True)
class NewtonCG:
    """Newton's method, each direction from truncated conjugate gradients on Hessian products.

    A row's inner iteration stops at relative residual min(0.5, |R|^(1/2)), or at a direction of negative curvature, as
    in "Numerical Optimization" (Nocedal and Wright), algorithm 7.1. A rejected step is shortened.

    Attributes:
        max_products: Hessian products per direction and row.
        shrink: factor on the step length for each rejection.
    """

    line_search: ClassVar[LineSearch] = LineSearch()

    max_products: int = 20
    shrink: float = 0.4

    def init(self, problem: Problem, at: Iterate) -> tuple[_NewtonState, Tensor]:
        """Propose the first Newton step."""
        direction = self._direction(problem, at)
        state = _NewtonState(at, direction, torch.zeros_like(at.value))
        return state, at.y + direction

    def step(
        self, problem: Problem, state: _NewtonState, at: Iterate
    ) -> tuple[_NewtonState, Tensor]:
        """Accept the trial and find a new direction, or shorten the step, row by row."""
        accepted = self.line_search.accepts(state.current, at)
        current = accept(accepted, state.current, at)
        direction = state.direction
        if bool(accepted.any()):
            # Only accepted rows pay for a new direction.
            index = accepted.nonzero().squeeze(-1)
            direction = direction.clone()
            direction[index] = self._direction(
                restricted(problem, index, at.y.shape[0]), take_rows(current, index)
            )
        rejections = torch.where(accepted, 0.0, state.rejections + 1)
        length = self.shrink**rejections
        trial = current.y + length.unsqueeze(-1) * direction
        trial = self.line_search.give_up(trial, rejections)
        return _NewtonState(current, direction, rejections), trial

    def _direction(self, problem: Problem, at: Iterate) -> Tensor:
        """Return a Newton direction: (n, d)."""
        return truncated_newton(
            lambda v: problem.hessian_product(at.y, v), at.residual, self.max_products
        )


def truncated_newton(
    product: Callable[[Tensor], Tensor],
    residual: Tensor,
    max_products: int,
    *,
    onward: bool = False,
) -> Tensor:
    """Solve H p = -R by conjugate gradients, each row to its own tolerance: p (n, d), downhill where R is not zero.

    A row stops at a direction of negative curvature; where that is the first, p is minus its residual.

    Args:
        product: v -> H v, each (n, d), H symmetric.
        residual: (n, d), R.
        max_products: most products.
        onward: whether to follow a later one as far as if its curvature were positive, which leaves saddles sooner.
    """
    norm = torch.linalg.vector_norm(residual, dim=-1)
    limit = norm * torch.minimum(torch.full_like(norm, 0.5), norm.sqrt())
    p, r = torch.zeros_like(residual), residual
    v, going = -r, torch.ones_like(norm, dtype=torch.bool)
    # In exact arithmetic d products are enough; rounding may cost as many again.
    for number in range(min(max_products, 2 * residual.shape[-1])):
        hv = product(v)
        curvature, energy = vecdot(v, hv), vecdot(r, r)
        resolved = torch.finfo(p.dtype).eps * vecdot(v, v)
        positive = curvature > resolved
        if number == 0:
            # Steepest descent where even the gradient sees no positive curvature.
            p = torch.where(positive.unsqueeze(-1), p, v)
        elif onward:
            last = going & (curvature < -resolved)
            p = p - torch.where(last, energy / curvature, 0.0).unsqueeze(-1) * v
        going = going & positive
        step = torch.where(going, energy / curvature, 0.0).unsqueeze(-1)
        p, r = p + step * v, r + step * hv
        v = -r + torch.where(going, vecdot(r, r) / energy, 0.0).unsqueeze(-1) * v
        going = going & (torch.linalg.vector_norm(r, dim=-1) > limit)
        if not bool(going.any()):
            break
    return p


def restricted(problem: Problem, index: Tensor, n: int) -> Problem:
    """Restrict to some rows, unless that is all n of them."""
    return problem if index.numel() == n else problem.rows(index)
