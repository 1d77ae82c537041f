"""The default inner solver: BFGS from the identity, its inverse Hessian kept per row as a sum of rank-two terms."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier.solve.linesearch import LineSearch, accept
from brenier.solve.loop import Iterate, Problem, first_scale
from brenier.solve.secant import Secant


class _Term(NamedTuple):
    """A term of rank two, a s s' - b (s w' + w s'); zero in rows whose secant is not useful."""

    s: Tensor  # (n, d)
    w: Tensor  # (n, d)
    a: Tensor  # (n,)
    b: Tensor  # (n,)

    def added_to(self, product: Tensor, r: Tensor) -> Tensor:
        """Return product + (this term) r: (n, d)."""
        along = vecdot(self.s, r)
        on_s = self.a * along - self.b * vecdot(self.w, r)
        on_w = self.b * along
        return product + on_s.unsqueeze(-1) * self.s - on_w.unsqueeze(-1) * self.w


class _InverseHessian(NamedTuple):
    """H = c I + sum_j a_j s_j s_j' - b_j (s_j w_j' + w_j s_j'), a row's estimate of its inverse Hessian."""

    scale: Tensor  # (n, 1), c
    pairs: (
        Tensor  # (n, 2k or more, d): s_1, w_1, s_2, w_2, ..., then room for later terms
    )
    a: Tensor  # (n, k)
    b: Tensor  # (n, k)

    @property
    def terms(self) -> int:
        """The number k of terms."""
        return self.a.shape[1]

    def apply(self, r: Tensor) -> Tensor:
        """Return H r: (n, d)."""
        n, k = self.a.shape
        if not k:
            return self.scale * r
        pairs = self.pairs[:, : 2 * k]
        along = torch.bmm(pairs, r.unsqueeze(-1)).view(n, k, 2)
        on_s = self.a * along[..., 0] - self.b * along[..., 1]
        on_w = self.b * along[..., 0]
        weights = torch.stack([on_s, -on_w], -1)
        return self.scale * r + torch.bmm(weights.view(n, 1, 2 * k), pairs).squeeze(1)

    def restarted(self, scale: Tensor) -> _InverseHessian:
        """Return scale (n, 1) times the identity; the room for terms is used again."""
        return _InverseHessian(scale, self.pairs, self.a[:, :0], self.b[:, :0])

    def with_term(self, term: _Term, room: int = 4) -> _InverseHessian:
        """Return the estimate with one more term. This one is not to be used any more: the two share their memory.

        Args:
            term: the term to add.
            room: how many terms memory is added for when it is full. Every such addition copies all pairs.
        """
        pairs, end = self.pairs, 2 * self.terms
        if end == pairs.shape[1]:
            n, d = term.s.shape
            pairs = torch.cat([pairs, term.s.new_empty(n, 2 * room, d)], 1)
        pairs[:, end] = term.s
        pairs[:, end + 1] = term.w
        a = torch.cat([self.a, term.a.unsqueeze(1)], 1)
        b = torch.cat([self.b, term.b.unsqueeze(1)], 1)
        return _InverseHessian(self.scale, pairs, a, b)


class _BFGSState(NamedTuple):
    current: Iterate  # the last accepted one
    step: Tensor  # (n, d), H residual: minus the full step from the current point
    rejections: Tensor  # (n,), rejected trials in a row
    excused: Tensor  # (n,), how many of them do not shorten the step: those up to the first restart of H
    inverse_hessian: _InverseHessian


@dataclasses.dataclass(frozen=True)
class BFGS:
    """The BFGS method with one evaluation per step, an inverse Hessian and a step length per row.

    With s a move, q the change of the residual and w = H q, the update is H + (1 + <q, w>/<s, q>) s s'/<s, q> - (s w' +
    w s')/<s, q>: a term of rank two, so that H is kept as the identity and one such term per step, applied by two small
    products and never formed. The identity is the Hessian of F where g is zero, as it is at the start of training in
    coordinates where the affine map between the Gaussian fits is the identity. After `memory` steps H restarts from
    the identity times the latest curvature. A rejected trial is not lost: its curvature enters H, and only a second
    rejection in a row shortens the step. Where H restarts amid rejections, so does the length of the step: a pair of
    hardly any curvature may have ruined H by rounding. See "Numerical Optimization" (Nocedal and Wright), equation
    (6.17).

    Attributes:
        memory: terms after which the estimate restarts.
        shrink: factor on the step length for each further rejection.
    """

    line_search: ClassVar[LineSearch] = LineSearch()

    memory: int = 16
    shrink: float = 0.3

    def init(self, problem: Problem, at: Iterate) -> tuple[_BFGSState, Tensor]:
        """Propose the plain step y - R(y), scaled where the problem knows how."""
        n, d = at.y.shape
        no_terms, zero = at.y.new_zeros(n, 0), torch.zeros_like(at.value)
        known = first_scale(problem, at)
        scale = (1 + zero if known is None else known).unsqueeze(-1)
        identity = _InverseHessian(scale, at.y.new_zeros(n, 0, d), no_terms, no_terms)
        step = at.residual if known is None else identity.apply(at.residual)
        state = _BFGSState(at, step, zero, zero, identity)
        return state, at.y - step

    def step(
        self, problem: Problem, state: _BFGSState, at: Iterate
    ) -> tuple[_BFGSState, Tensor]:
        """Accept or reject the trial, update H by its curvature either way, and propose the next trial."""
        accepted = self.line_search.accepts(state.current, at)
        current = accept(accepted, state.current, at)
        secant = Secant.between(state.current, at)
        restart = state.inverse_hessian.terms >= self.memory
        inverse_hessian, step = _update_inverse_hessian(
            state, at, accepted, current, secant, restart=restart
        )
        rejections = torch.where(accepted, 0.0, state.rejections + 1)
        excused = state.excused
        if restart:
            # Not where some are excused already, so that a row in trouble does shorten its step in the end.
            excused = torch.where(excused > 0, excused, rejections)
        excused = torch.minimum(excused, rejections)  # none once a trial is accepted
        state = _BFGSState(current, step, rejections, excused, inverse_hessian)
        return state, self._backtrack(state, secant.useful)

    def _backtrack(self, state: _BFGSState, useful: Tensor) -> Tensor:
        """Return the next trial (n, d): a full step, or after rejections a shorter one."""
        # With the curvature of the rejected trial in H, a first retry may have full length.
        shortenings = state.rejections - state.excused - useful.to(state.rejections)
        length = self.shrink ** shortenings.clamp(min=0)
        trial = state.current.y - length.unsqueeze(-1) * state.step
        return self.line_search.give_up(trial, state.rejections)


def _rank_two_term(secant: Secant, w: Tensor) -> _Term:
    """Return the term that makes H q = s, given w = H q (n, d) before."""
    column = secant.useful.unsqueeze(-1)
    s, w = torch.where(column, secant.s, 0.0), torch.where(column, w, 0.0)
    b = torch.where(secant.useful, 1 / secant.curvature, 0.0)
    a = torch.where(secant.useful, (1 + b * vecdot(secant.q, w)) * b, 0.0)
    return _Term(s, w, a, b)


def _update_inverse_hessian(
    state: _BFGSState,
    trial: Iterate,
    accepted: Tensor,
    current: Iterate,
    secant: Secant,
    *,
    restart: bool,
) -> tuple[_InverseHessian, Tensor]:
    """Return the new H, and H times the residual of the current iterate (n, d).

    Args:
        state: the state before the trial.
        trial: the evaluated trial.
        accepted: (n,) bool, whether it has been accepted.
        current: the trial where accepted, elsewhere the iterate of the state.
        secant: what the trial tells about the curvature.
        restart: whether H is first set back to a multiple of the identity.
    """
    before = state.inverse_hessian
    if restart:
        scale = torch.where(secant.useful, secant.curvature / secant.square, 1.0)
        before = before.restarted(scale.unsqueeze(-1))
        w, step = before.apply(secant.q), before.apply(current.residual)
    else:
        # The state knows H times its residual, so one product serves for w = H q and for the step.
        product = before.apply(trial.residual)
        w = product - state.step
        step = torch.where(accepted.unsqueeze(-1), product, state.step)
    term = _rank_two_term(secant, w)
    # What the term adds to the step is added to the product, which saves a second one with the new H.
    return before.with_term(term), term.added_to(step, current.residual)
