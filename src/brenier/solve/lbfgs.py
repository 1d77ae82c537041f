"""Limited-memory BFGS, from gradients alone."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier.solve.linesearch import GIVE_UP, accepted
from brenier.solve.loop import Iterate, Problem


class _Memory(NamedTuple):
    y: Tensor  # (n, d) last accepted iterate
    value: Tensor  # (n,)
    residual: Tensor  # (n, d)
    dy: Tensor  # (n, k, d) differences of iterates, newest last
    dr: Tensor  # (n, k, d) differences of residuals
    rho: Tensor  # (n, k) 1 / <dy, dr>, zero for a pair without positive curvature
    tries: Tensor  # (n,) rejected trials in a row


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

    memory: int = 8
    shrink: float = 0.3

    def init(self, problem: Problem, at: Iterate) -> tuple[_Memory, Tensor]:
        """Propose the plain step y - R(y)."""
        n, d = at.y.shape
        empty = at.y.new_zeros(n, 0, d)
        tries = torch.zeros_like(at.value)
        return _Memory(
            *at, empty, empty, at.y.new_zeros(n, 0), tries
        ), at.y - at.residual

    def step(
        self, problem: Problem, state: _Memory, at: Iterate
    ) -> tuple[_Memory, Tensor]:
        """Accept or reject the trial, learn its curvature either way, and propose the next."""
        old = Iterate(state.y, state.value, state.residual)
        good = accepted(old, at)
        dy, dr, rho = self._learn(state, at)
        column = good.unsqueeze(-1)
        y, residual = (
            torch.where(column, at.y, state.y),
            torch.where(column, at.residual, state.residual),
        )
        value = torch.where(good, at.value, state.value)
        tries = torch.where(good, 0.0, state.tries + 1)
        direction = two_loop(residual, dy, dr, rho)
        # With the rejected trial's curvature learnt, a first retry may go at full length.
        waste = (tries - (rho[:, -1] > 0).to(tries)).clamp(min=0)
        trial = y - (self.shrink**waste).unsqueeze(-1) * direction
        trial = torch.where((tries < GIVE_UP).unsqueeze(-1), trial, torch.nan)
        return _Memory(y, value, residual, dy, dr, rho, tries), trial

    def _learn(self, state: _Memory, at: Iterate) -> tuple[Tensor, Tensor, Tensor]:
        """Append the newest pair; a pair without positive curvature is kept inert (rho = 0)."""
        dy, dr = at.y - state.y, at.residual - state.residual
        curvature = vecdot(dy, dr)
        floor = torch.finfo(dy.dtype).eps * vecdot(dr, dr)
        useful = (curvature > floor) & torch.isfinite(vecdot(dr, dr))
        rho = torch.where(useful, 1 / curvature, 0.0)
        dy, dr = (torch.where(useful.unsqueeze(-1), t, 0.0) for t in (dy, dr))
        keep = slice(max(0, state.rho.shape[1] + 1 - self.memory), None)
        return (
            torch.cat([state.dy, dy.unsqueeze(1)], 1)[:, keep],
            torch.cat([state.dr, dr.unsqueeze(1)], 1)[:, keep],
            torch.cat([state.rho, rho.unsqueeze(1)], 1)[:, keep],
        )


def two_loop(residual: Tensor, dy: Tensor, dr: Tensor, rho: Tensor) -> Tensor:
    """Apply the inverse Hessian estimate of the pairs to the residual, row by row: (n, d)."""
    q = residual
    weights = []
    for j in reversed(range(rho.shape[1])):
        weight = rho[:, j] * vecdot(dy[:, j], q)
        weights.append(weight)
        q = q - weight.unsqueeze(-1) * dr[:, j]
    q = _scale(dr, rho).unsqueeze(-1) * q
    for j, weight in zip(range(rho.shape[1]), reversed(weights), strict=True):
        correction = weight - rho[:, j] * vecdot(dr[:, j], q)
        q = q + correction.unsqueeze(-1) * dy[:, j]
    return q


def _scale(dr: Tensor, rho: Tensor) -> Tensor:
    """Initial scale <dy, dr> / |dr|^2 of the newest useful pair, else 1: (n,)."""
    scale = torch.ones_like(rho[:, 0])
    for j in range(rho.shape[1]):
        size = rho[:, j] * vecdot(dr[:, j], dr[:, j])
        scale = torch.where(size > 0, 1 / size, scale)
    return scale
