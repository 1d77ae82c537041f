"""Methods that use gradients alone: the fixed-point iteration of Park et al. (2026), and Anderson mixing.

Both iterate G(y) = y - alpha R(y), with R the residual. For F(y) = |y - z|^2/2 + g(y) and Hess g >= -I, G contracts
for alpha < 2 / (1 + L), where L bounds the curvature of g.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.solve.loop import Iterate, Problem


class _GradientState(NamedTuple):
    size: Tensor  # (n, 1), alpha


@dataclasses.dataclass(frozen=True)
class GradientStep:
    """y <- y - alpha R(y): "Fixed-Point Neural Optimal Transport..." (Park et al., 2026), equation (22).

    Attributes:
        size: a fixed alpha; None estimates the curvature and takes alpha = min(1, safety / curvature).
        safety: factor below the estimated stable step.
        power_steps: power iterations of the estimate.
        shift: the curvature estimated is that of F - shift |y|^2/2; with shift = 1 that is g's, as in the paper.
        shared: whether the batch has one alpha, from the largest curvature in it (the paper), or every row its own.
    """

    size: float | None = None
    safety: float = 0.9
    power_steps: int = 20
    shift: float = 0.0
    shared: bool = False

    @classmethod
    def paper(cls) -> GradientStep:
        """Return the published setting: alpha = 0.1 / L, L by 20 power iterations, the largest of the batch.

        We bound alpha by 1, beyond which the published rule diverges when g is nearly flat.
        """
        return cls(safety=0.1, shift=1.0, shared=True)

    def init(self, problem: Problem, at: Iterate) -> tuple[_GradientState, Tensor]:
        """Choose the step size and take the first step."""
        if self.size is not None:
            size = torch.full_like(at.value, self.size).unsqueeze(-1)
        else:
            size = self._estimate(problem, at)
        return self.step(problem, _GradientState(size), at)

    def step(
        self, problem: Problem, state: _GradientState, at: Iterate
    ) -> tuple[_GradientState, Tensor]:
        """Take one step from `at`."""
        return state, at.y - state.size * at.residual

    def _estimate(self, problem: Problem, at: Iterate) -> Tensor:
        """Return min(1, safety / curvature): (n, 1)."""
        curvature = power_iteration(problem, at, self.power_steps, self.shift)
        if self.shared:
            curvature = curvature.max().expand_as(curvature)
        return (self.safety / curvature.clamp(min=self.safety)).unsqueeze(-1)


def power_iteration(problem: Problem, at: Iterate, steps: int, shift: float) -> Tensor:
    """Estimate the spectral norm of Hess F - shift I at each row, from below: (n,).

    The start is the residual, tilted a little in case that is an eigenvector of a small eigenvalue; the tilt is the
    same for all rows and not random, so that a row's estimate depends on that row alone.
    """
    d = at.y.shape[-1]
    ramp = torch.linspace(0.5, 1.0, d, dtype=at.y.dtype, device=at.y.device)
    v = torch.nn.functional.normalize(at.residual, dim=-1) + 0.1 * ramp
    norm = torch.ones_like(at.value)
    for _ in range(steps):
        v = torch.nn.functional.normalize(v, dim=-1)
        v = problem.hessian_product(at.y, v) - shift * v
        norm = torch.linalg.vector_norm(v, dim=-1)
    return norm


class _AndersonState(NamedTuple):
    y: Tensor  # (n, d), last accepted iterate
    residual: Tensor  # (n, d)
    size: Tensor  # (n, 1), step of the plain iteration
    dy: Tensor  # (n, m, d), differences of iterates
    dr: Tensor  # (n, m, d), differences of residuals
    slot: Tensor  # (n,), which of the m is written next: the oldest


@dataclasses.dataclass(frozen=True)
class Anderson:
    """Anderson mixing of the gradient step, per row, guarded.

    The next iterate is the gradient step from the affine combination of the last `memory` iterates whose residual is
    least: "Anderson acceleration for fixed-point iterations" (Walker and Ni, 2011). Where a residual grows by more
    than `growth`, the row forgets its memory, goes back and halves its step.

    Attributes:
        memory: differences kept.
        size: step of the underlying iteration, before any halving.
        ridge: relative regularisation of the least-squares problem, which is singular once a row has converged.
        growth: largest tolerated growth of the residual in one step.
    """

    memory: int = 5
    size: float = 0.5
    ridge: float = 1e-6
    growth: float = 2.0

    def init(self, problem: Problem, at: Iterate) -> tuple[_AndersonState, Tensor]:
        """Take a plain step."""
        n, d = at.y.shape
        size = torch.full_like(at.value, self.size).unsqueeze(-1)
        dy, dr = at.y.new_zeros(n, self.memory, d), at.y.new_zeros(n, self.memory, d)
        slot = torch.zeros(n, dtype=torch.int64, device=at.y.device)
        state = _AndersonState(at.y, at.residual, size, dy, dr, slot)
        return state, at.y - size * at.residual

    def step(
        self, problem: Problem, state: _AndersonState, at: Iterate
    ) -> tuple[_AndersonState, Tensor]:
        """Accept or undo the trial, then mix."""
        old = torch.linalg.vector_norm(state.residual, dim=-1)
        new = torch.linalg.vector_norm(at.residual, dim=-1)
        accepted = (new <= self.growth * old).unsqueeze(-1)  # false for NaN
        row = torch.arange(at.y.shape[0], device=at.y.device)
        dy, dr = state.dy.clone(), state.dr.clone()
        dy[row, state.slot] = at.y - state.y
        dr[row, state.slot] = at.residual - state.residual
        # A rejected row forgets all differences, and starts again from its last iterate.
        dy = torch.where(accepted.unsqueeze(-1), dy, 0.0)
        dr = torch.where(accepted.unsqueeze(-1), dr, 0.0)
        size = torch.where(accepted, state.size, state.size / 2)
        y = torch.where(accepted, at.y, state.y)
        residual = torch.where(accepted, at.residual, state.residual)
        slot = torch.where(accepted.squeeze(-1), (state.slot + 1) % self.memory, 0)
        weights = self._weights(dr, residual).unsqueeze(-1)
        mixed = ((dy - size.unsqueeze(-1) * dr) * weights).sum(1)
        trial = y - size * residual - mixed
        return _AndersonState(y, residual, size, dy, dr, slot), trial

    def _weights(self, dr: Tensor, residual: Tensor) -> Tensor:
        """Least-squares weights (n, m) of |residual - sum_j w_j dr_j|^2; empty slots get weight zero."""
        gram = dr @ dr.mT
        # Residuals shrink over many orders of magnitude: the ridge is relative to the largest difference.
        largest = gram.diagonal(dim1=-2, dim2=-1).amax(-1)
        scale = largest.clamp(min=torch.finfo(dr.dtype).tiny)[:, None, None]
        eye = torch.eye(self.memory, dtype=dr.dtype, device=dr.device)
        gram = gram / scale + self.ridge * eye
        right = (dr @ residual.unsqueeze(-1)) / scale
        return torch.linalg.solve_ex(gram, right)[0].squeeze(-1)
