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

from brenier.solve.loop import Iterate, Problem

ARMIJO = 1e-4
GIVE_UP = 25  # rejected trials in a row after which no step length can help at this precision


def accepted(old: Iterate, new: Iterate) -> Tensor:
    """Say per row whether the trial `new` may replace `old`: (n,) bool, false for anything not finite.

    A move too short to change y at this precision is no progress: rows that make only such moves have stalled.
    """
    move = new.y - old.y
    slope = vecdot(old.residual, move)
    change = new.value - old.value
    # F may be the small difference of terms of order |y|^2, whose rounding errors remain.
    noise = 32 * torch.finfo(change.dtype).eps * (1 + old.value.abs() + vecdot(old.y, old.y))
    flat = (change <= noise) & (vecdot(new.residual, move) <= (2 * ARMIJO - 1) * slope)
    return ((change <= ARMIJO * slope) | flat) & (slope < 0) & torch.isfinite(vecdot(new.residual, new.residual))


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
        return _Memory(*at, empty, empty, at.y.new_zeros(n, 0), tries), at.y - at.residual

    def step(self, problem: Problem, state: _Memory, at: Iterate) -> tuple[_Memory, Tensor]:
        """Accept or reject the trial, learn its curvature either way, and propose the next."""
        old = Iterate(state.y, state.value, state.residual)
        good = accepted(old, at)
        dy, dr, rho = self._learn(state, at)
        column = good.unsqueeze(-1)
        y, residual = torch.where(column, at.y, state.y), torch.where(column, at.residual, state.residual)
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

    def step(self, problem: Problem, state: _Newton, at: Iterate) -> tuple[_Newton, Tensor]:
        """Accept the trial and find a new direction, or shorten the step, row by row."""
        old = Iterate(state.y, state.value, state.residual)
        good = accepted(old, at)
        column = good.unsqueeze(-1)
        now = Iterate(
            *(torch.where(column if new.ndim == 2 else good, new, was) for was, new in zip(old, at, strict=True))
        )
        direction = state.direction
        if bool(good.any()):
            index = good.nonzero().squeeze(-1)
            direction = direction.clone()
            part = Iterate(now.y[index], now.value[index], now.residual[index])
            direction[index] = self._direction(_restrict(problem, index, at.y.shape[0]), part)
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
            if product == 0:  # steepest descent where even the gradient sees no positive curvature
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
