"""Newton's method on many rows at once, its linear systems solved by conjugate gradients on Hessian products.

No Hessian is formed: a row that converges in few steps costs a few Hessian products for each.
"""

from __future__ import annotations

import dataclasses
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
                _restrict(problem, index, at.y.shape[0]), take_rows(current, index)
            )
        rejections = torch.where(accepted, 0.0, state.rejections + 1)
        length = self.shrink**rejections
        trial = current.y + length.unsqueeze(-1) * direction
        trial = self.line_search.give_up(trial, rejections)
        return _NewtonState(current, direction, rejections), trial

    def _direction(self, problem: Problem, at: Iterate) -> Tensor:
        """Solve Hess F p = -R by conjugate gradients, each row to its own tolerance: p (n, d)."""
        norm = torch.linalg.vector_norm(at.residual, dim=-1)
        limit = norm * torch.minimum(torch.full_like(norm, 0.5), norm.sqrt())
        p, r = torch.zeros_like(at.y), at.residual
        v, going = -r, torch.ones_like(norm, dtype=torch.bool)
        # In exact arithmetic d products are enough; rounding may cost as many again.
        for product in range(min(self.max_products, 2 * at.y.shape[-1])):
            hv = problem.hessian_product(at.y, v)
            curvature, energy = vecdot(v, hv), vecdot(r, r)
            positive = curvature > torch.finfo(p.dtype).eps * vecdot(v, v)
            if product == 0:
                # Steepest descent where even the gradient sees no positive curvature.
                p = torch.where(positive.unsqueeze(-1), p, v)
            going = going & positive
            step = torch.where(going, energy / curvature, 0.0).unsqueeze(-1)
            p, r = p + step * v, r + step * hv
            v = -r + torch.where(going, vecdot(r, r) / energy, 0.0).unsqueeze(-1) * v
            going = going & (torch.linalg.vector_norm(r, dim=-1) > limit)
            if not bool(going.any()):
                break
        return p


def _restrict(problem: Problem, index: Tensor, n: int) -> Problem:
    """Restrict to some rows, unless that is all n of them."""
    return problem if index.numel() == n else problem.rows(index)
