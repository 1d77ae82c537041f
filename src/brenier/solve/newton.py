"""Methods that use curvature: limited-memory BFGS from gradients, and Newton's with conjugate gradients.

Both are descent methods: a trial is accepted, per row, when the value falls enough (Armijo) or, once values no longer
resolve the change, when the slope along the step shows it did (the approximate Wolfe test of "A new conjugate gradient
method with guaranteed descent and an efficient line search", Hager and Zhang, 2005, equation (4.1)).
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier.solve.linesearch import GIVE_UP, accepted
from brenier.solve.loop import Iterate, Problem


class _Newton(NamedTuple):
    y: Tensor
    value: Tensor
    residual: Tensor
    direction: Tensor  # (n, d), the descent direction being searched
    tries: Tensor


@dataclasses.dataclass(frozen=True)
class NewtonCG:
    """Newton's method, each direction from truncated conjugate gradients on Hessian products.

    A row's inner iteration stops at relative residual min(0.5, |R|^(1/2)), or at a direction of negative curvature, as
    in "Numerical Optimization" (Nocedal and Wright), algorithm 7.1. A rejected step is shortened.

    Attributes:
        max_products: Hessian products per direction and row.
        shrink: factor on the step length for each rejection.
    """

    max_products: int = 20
    shrink: float = 0.4

    def init(self, problem: Problem, at: Iterate) -> tuple[_Newton, Tensor]:
        """Propose the first Newton step."""
        direction = self._direction(problem, at)
        return _Newton(*at, direction, torch.zeros_like(at.value)), at.y + direction

    def step(
        self, problem: Problem, state: _Newton, at: Iterate
    ) -> tuple[_Newton, Tensor]:
        """Accept the trial and find a new direction, or shorten the step, row by row."""
        old = Iterate(state.y, state.value, state.residual)
        good = accepted(old, at)
        column = good.unsqueeze(-1)
        now = Iterate(
            *(
                torch.where(column if new.ndim == 2 else good, new, was)
                for was, new in zip(old, at, strict=True)
            )
        )
        direction = state.direction
        if bool(good.any()):
            index = good.nonzero().squeeze(-1)
            direction = direction.clone()
            part = Iterate(now.y[index], now.value[index], now.residual[index])
            direction[index] = self._direction(
                _restrict(problem, index, at.y.shape[0]), part
            )
        tries = torch.where(good, 0.0, state.tries + 1)
        trial = now.y + (self.shrink**tries).unsqueeze(-1) * direction
        trial = torch.where((tries < GIVE_UP).unsqueeze(-1), trial, torch.nan)
        return _Newton(*now, direction, tries), trial

    def _direction(self, problem: Problem, at: Iterate) -> Tensor:
        """Solve Hess F p = -R by conjugate gradients, each row to its own tolerance: p (n, d)."""
        norm = torch.linalg.vector_norm(at.residual, dim=-1)
        limit = norm * torch.minimum(torch.full_like(norm, 0.5), norm.sqrt())
        p, r = torch.zeros_like(at.y), at.residual
        v, going = -r, torch.ones_like(norm, dtype=torch.bool)
        for product in range(min(self.max_products, 2 * at.y.shape[-1])):
            hv = problem.hessian_product(at.y, v)
            curvature, energy = vecdot(v, hv), vecdot(r, r)
            sound = curvature > torch.finfo(p.dtype).eps * vecdot(v, v)
            if (
                product == 0
            ):  # steepest descent where even the gradient sees no positive curvature
                p = torch.where(sound.unsqueeze(-1), p, v)
            going = going & sound
            step = torch.where(going, energy / curvature, 0.0).unsqueeze(-1)
            p, r = p + step * v, r + step * hv
            v = -r + torch.where(going, vecdot(r, r) / energy, 0.0).unsqueeze(-1) * v
            going = going & (torch.linalg.vector_norm(r, dim=-1) > limit)
            if not bool(going.any()):
                break
        return p


def _restrict(problem: Problem, index: Tensor, n: int) -> Problem:
    """Restrict to some rows, unless that is all of them."""
    return problem if index.numel() == n else problem.rows(index)
