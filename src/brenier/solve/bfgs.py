"""The default inner solver: BFGS from the identity, its inverse Hessian kept per row as a sum of rank-two terms."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier.solve.linesearch import GIVE_UP, accepted
from brenier.solve.loop import Iterate, Problem

ROOM = 4  # terms that room is made for at once


class _Estimate(NamedTuple):
    """H = c I + sum_j a_j s_j s_j' - b_j (s_j w_j' + w_j s_j'), a row's estimate of its inverse Hessian."""

    scale: Tensor  # (n, 1), c
    pairs: Tensor  # (n, 2k, d) or with room for more: s_1, w_1, s_2, w_2, ...
    a: Tensor  # (n, k)
    b: Tensor  # (n, k)

    def apply(self, r: Tensor) -> Tensor:
        """Return H r: (n, d)."""
        n, k = self.a.shape
        if not k:
            return self.scale * r
        pairs = self.pairs[:, : 2 * k]
        along = torch.bmm(pairs, r.unsqueeze(-1)).view(n, k, 2)
        s, w = along[..., 0], self.b * along[..., 0]
        weights = torch.stack([self.a * s - self.b * along[..., 1], -w], -1)
        return self.scale * r + torch.bmm(weights.view(n, 1, 2 * k), pairs).squeeze(1)

    def with_pair(self, s: Tensor, w: Tensor) -> Tensor:
        """Return the pairs with one more, each (n, d); room is made for several at a time, for it costs a copy."""
        end, pairs = 2 * self.a.shape[1], self.pairs
        if end == pairs.shape[1]:
            pairs = torch.cat([pairs, s.new_empty(s.shape[0], 2 * ROOM, s.shape[1])], 1)
        pairs[:, end], pairs[:, end + 1] = s, w
        return pairs


class _State(NamedTuple):
    y: Tensor  # (n, d) last accepted iterate
    value: Tensor  # (n,)
    residual: Tensor  # (n, d)
    step: Tensor  # (n, d), H residual
    tries: Tensor  # (n,) rejected trials in a row
    spared: Tensor  # (n,) those of them before H first began again
    scale: Tensor
    pairs: Tensor
    a: Tensor
    b: Tensor


@dataclasses.dataclass(frozen=True)
class BFGS:
    """The BFGS method with one evaluation per step, an inverse Hessian and a step length per row.

    With s a move, q the change of the residual and w = H q, the update is H + (1 + <q, w>/<s, q>) s s'/<s, q> - (s w' +
    w s')/<s, q>: a term of rank two, so that H is kept as the identity and one such term per step, applied by two small
    products and never formed. The identity is the Hessian of F where g is zero, as it is at the start of training in
    coordinates where the affine map between the Gaussian fits is the identity. After `memory` steps H begins again,
    from the identity times the curvature last met. A rejected trial is not lost: its curvature enters H, and only a
    second rejection in a row shortens the step. Where H begins again amid rejections, so does the length of the step: a
    pair of hardly any curvature may have spoilt H by rounding. See "Numerical Optimization" (Nocedal and Wright),
    equation (6.17).

    Attributes:
        memory: terms after which the estimate begins again.
        shrink: factor on the step length for each further rejection.
    """

    memory: int = 16
    shrink: float = 0.3

    def init(self, problem: Problem, at: Iterate) -> tuple[_State, Tensor]:
        """Propose the plain step y - R(y)."""
        n, d = at.y.shape
        none, zero = at.y.new_zeros(n, 0), torch.zeros_like(at.value)
        state = _State(
            *at,
            at.residual,
            zero,
            zero,
            1 + zero.unsqueeze(-1),
            at.y.new_zeros(n, 0, d),
            none,
            none,
        )
        return state, at.y - at.residual

    def step(
        self, problem: Problem, state: _State, at: Iterate
    ) -> tuple[_State, Tensor]:
        """Accept or reject the trial, learn its curvature either way, and propose the next."""
        good = accepted(Iterate(state.y, state.value, state.residual), at)
        column = good.unsqueeze(-1)
        y, residual = (
            torch.where(column, at.y, state.y),
            torch.where(column, at.residual, state.residual),
        )
        s, q = at.y - state.y, at.residual - state.residual
        curvature, bend = vecdot(s, q), vecdot(q, q)
        useful = (curvature > torch.finfo(s.dtype).eps * bend) & torch.isfinite(bend)
        terms = _Estimate(state.scale, state.pairs, state.a, state.b)
        again = state.a.shape[1] >= self.memory
        if again:
            scale = torch.where(useful, curvature / bend, 1.0).unsqueeze(-1)
            terms = _Estimate(scale, terms.pairs, terms.a[:, :0], terms.b[:, :0])
            w, step = scale * q, scale * residual
        else:
            moved = terms.apply(at.residual)
            w, step = moved - state.step, torch.where(column, moved, state.step)
        s, w = (torch.where(useful.unsqueeze(-1), part, 0.0) for part in (s, w))
        b = torch.where(useful, 1 / curvature, 0.0)
        a = torch.where(useful, (1 + b * vecdot(q, w)) * b, 0.0)
        along = vecdot(s, residual)
        step = (
            step
            + (a * along - b * vecdot(w, residual)).unsqueeze(-1) * s
            - (b * along).unsqueeze(-1) * w
        )
        tries = torch.where(good, 0.0, state.tries + 1)
        forgiven = (
            torch.where(state.spared > 0, state.spared, tries)
            if again
            else state.spared
        )
        spared = torch.minimum(forgiven, tries)
        # With the rejected trial's curvature learnt, a first retry may go at full length.
        waste = (tries - spared - useful.to(tries)).clamp(min=0)
        trial = y - (self.shrink**waste).unsqueeze(-1) * step
        trial = torch.where((tries < GIVE_UP).unsqueeze(-1), trial, torch.nan)
        pairs = terms.with_pair(s, w)
        value = torch.where(good, at.value, state.value)
        learnt = (
            torch.cat([terms.a, a.unsqueeze(1)], 1),
            torch.cat([terms.b, b.unsqueeze(1)], 1),
        )
        return _State(
            y, value, residual, step, tries, spared, terms.scale, pairs, *learnt
        ), trial
