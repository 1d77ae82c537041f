"""Limited-memory BFGS: like BFGS, but old curvature pairs leave the memory one by one instead of all at once.

The inverse Hessian is applied by the two-loop recursion, which takes two products with a vector per pair; `bfgs` does
the same work in two batched products, and is faster where steps are cheap.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier.solve.linesearch import LineSearch, accept
from brenier.solve.loop import Iterate, Problem


class _Pairs(NamedTuple):
    """The latest curvature pairs of every row, newest last."""

    dy: Tensor  # (n, k, d), differences of iterates
    dr: Tensor  # (n, k, d), differences of residuals
    rho: Tensor  # (n, k), 1 / <dy, dr>; zero for a pair without positive curvature

    def with_pair(self, old: Iterate, trial: Iterate, memory: int) -> _Pairs:
        """Return the pairs with one more, at most `memory` of them.

        A pair without positive curvature stays in, with rho = 0 and without effect, so that all rows have as many.
        """
        dy, dr = trial.y - old.y, trial.residual - old.residual
        curvature, square = vecdot(dy, dr), vecdot(dr, dr)
        positive = curvature > torch.finfo(dy.dtype).eps * square
        useful = positive & torch.isfinite(square)
        column = useful.unsqueeze(-1)
        rho = torch.where(useful, 1 / curvature, 0.0)
        dy, dr = torch.where(column, dy, 0.0), torch.where(column, dr, 0.0)
        keep = slice(max(0, self.rho.shape[1] + 1 - memory), None)
        return _Pairs(
            torch.cat([self.dy, dy.unsqueeze(1)], 1)[:, keep],
            torch.cat([self.dr, dr.unsqueeze(1)], 1)[:, keep],
            torch.cat([self.rho, rho.unsqueeze(1)], 1)[:, keep],
        )


class _LBFGSState(NamedTuple):
    current: Iterate  # the last accepted one
    pairs: _Pairs
    rejections: Tensor  # (n,), rejected trials in a row


@dataclasses.dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS with one evaluation per step, a memory and a step length per row.

    The first step is y - R(y): exact where F is |y - z|^2/2 plus a constant, as in coordinates where the affine map
    between the Gaussian fits is the identity. A rejected trial is not lost: its curvature enters the memory, and only
    a second rejection in a row shortens the step. See "Numerical Optimization" (Nocedal and Wright), algorithm 7.4.

    Attributes:
        memory: curvature pairs kept.
        shrink: factor on the step length for each further rejection.
    """

    line_search: ClassVar[LineSearch] = LineSearch()

    memory: int = 8
    shrink: float = 0.3

    def init(self, problem: Problem, at: Iterate) -> tuple[_LBFGSState, Tensor]:
        """Propose the plain step y - R(y)."""
        n, d = at.y.shape
        empty = at.y.new_zeros(n, 0, d)
        pairs = _Pairs(empty, empty, at.y.new_zeros(n, 0))
        state = _LBFGSState(at, pairs, torch.zeros_like(at.value))
        return state, at.y - at.residual

    def step(
        self, problem: Problem, state: _LBFGSState, at: Iterate
    ) -> tuple[_LBFGSState, Tensor]:
        """Accept or reject the trial, remember its curvature either way, and propose the next trial."""
        accepted = self.line_search.accepts(state.current, at)
        pairs = state.pairs.with_pair(state.current, at, self.memory)
        current = accept(accepted, state.current, at)
        rejections = torch.where(accepted, 0.0, state.rejections + 1)
        step = _two_loop_recursion(current.residual, pairs)
        # With the curvature of the rejected trial in memory, a first retry may have full length.
        useful = (pairs.rho[:, -1] > 0).to(rejections)
        length = self.shrink ** (rejections - useful).clamp(min=0)
        trial = current.y - length.unsqueeze(-1) * step
        trial = self.line_search.give_up(trial, rejections)
        return _LBFGSState(current, pairs, rejections), trial


def _two_loop_recursion(residual: Tensor, pairs: _Pairs) -> Tensor:
    """Apply the inverse Hessian estimate of the pairs to the residual, row by row: (n, d)."""
    dy, dr, rho = pairs
    q = residual
    weights = []
    for j in reversed(range(rho.shape[1])):
        weight = rho[:, j] * vecdot(dy[:, j], q)
        weights.append(weight)
        q = q - weight.unsqueeze(-1) * dr[:, j]
    q = _initial_scale(pairs).unsqueeze(-1) * q
    for j, weight in enumerate(reversed(weights)):
        correction = weight - rho[:, j] * vecdot(dr[:, j], q)
        q = q + correction.unsqueeze(-1) * dy[:, j]
    return q


def _initial_scale(pairs: _Pairs) -> Tensor:
    """Return <dy, dr> / |dr|^2 of the newest useful pair, else 1: (n,)."""
    scale = torch.ones_like(pairs.rho[:, 0])
    for j in range(pairs.rho.shape[1]):
        inverse = pairs.rho[:, j] * vecdot(pairs.dr[:, j], pairs.dr[:, j])
        scale = torch.where(inverse > 0, 1 / inverse, scale)
    return scale
