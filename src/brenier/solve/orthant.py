"""Objectives with kinks: a quasi-Newton method that works in one orthant at a time.

A row minimises, with q smooth and v = y - centre,

    F(y) = q(y) + kink * sum_j |v_j|.

Within an orthant, where no v_j changes its sign, F is smooth. With k for the kink, its slope is the *pseudo-gradient*

    p_j = grad_j q + k sign(v_j)                        where v_j is not zero,
    p_j = grad_j q - min(max(grad_j q, -k), k)          where it is: zero unless leaving the centre pays,

and the orthant of a step has the signs of v, and at the centre those of -p: "Scalable training of L1-regularized
log-linear models" (Andrew and Gao, 2007), which calls the method OWL-QN. A coordinate is *free* unless v_j = p_j = 0.

A step minimises the quadratic model <p, d> + <d, B d>/2 over the free coordinates within the orthant, B being an
estimate of the Hessian of q: coordinates that would leave the orthant stop at the centre, exactly, and the others are
solved for again. To solve with the free part of B, rather than to take that part of its inverse, makes steps
superlinear once the right coordinates rest at the centre. Where the step does not lead downhill, or B is not positive
definite, it is the best multiple of -p, projected onto the orthant, which always does: without such a rule steps may
jam at a point that is no minimum ("Projected Newton methods for optimization problems with simple constraints",
Bertsekas, 1982; "A Modified Orthant-Wise Limited Memory Quasi-Newton Method with Convergence Analysis", Gong and Ye,
2015).

With s a move and u the change of grad q, the update is B - B s s'B / s'B s + u u' / s'u. Where s'u < c s'B s, as it may
be where q is not convex, u is first mixed with B s so that equality holds ("Numerical Optimization", Nocedal and
Wright, procedure 18.2): B stays positive definite and of bounded growth, and steps lengthen where the slope falls.

How far a row is from a minimum is told by the *natural residual*, the length of the plain proximal step,

    y - prox(y - grad q) = grad q + min(max(v - grad q, -k), k),

coordinate by coordinate: zero just where F is stationary.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier.solve.linesearch import LineSearch, accept
from brenier.solve.loop import Iterate, Problem, as_kinked
from brenier.solve.secant import Secant


def natural_residual(at: Iterate, centre: Tensor, kink: float) -> Tensor:
    """Return |y - prox(y - grad q(y))| row by row: (n,).

    Args:
        at: iterates, their residual the gradient of the smooth part q.
        centre: (n, d).
        kink: not negative.

    >>> at = Iterate(torch.zeros(1, 2), torch.zeros(1), torch.tensor([[0.5, -4.0]]))
    >>> natural_residual(at, torch.zeros(1, 2), 1.0)
    tensor([3.])
    """
    g = at.residual
    step = g + (at.y - centre - g).clamp(-kink, kink)
    return torch.linalg.vector_norm(step, dim=-1)


class _Kinks(NamedTuple):
    """Where the kinks of every row are, and how steep: none if the slope is zero."""

    centre: Tensor  # (n, d)
    slope: Tensor  # (n, 1)

    @classmethod
    def of(cls, problem: Problem, at: Iterate) -> _Kinks:
        """Return the kinks of a problem; none of one that does not say it has some."""
        kinked, zero = as_kinked(problem), torch.zeros_like(at.value).unsqueeze(-1)
        if kinked is None:
            return cls(torch.zeros_like(at.y), zero)
        return cls(kinked.centre, zero + kinked.kink)

    def face(self, at: Iterate) -> _Face:
        """Return the orthant in which to go on from an iterate."""
        v, g = at.y - self.centre, at.residual
        resting = v == 0
        at_centre = g - torch.clamp(g, -self.slope, self.slope)
        slopes = torch.where(resting, at_centre, g + self.slope * v.sign())
        signs = torch.where(resting, -slopes.sign(), v.sign())
        free = ~resting | (slopes != 0)  # also where a slope is NaN
        # Where there is no kink there is nothing to stop at.
        return _Face(v, slopes, torch.where(self.slope > 0, signs, 0.0), free)


class _Face(NamedTuple):
    """The orthant of a step, and what is known of F in it."""

    v: Tensor  # (n, d), y - centre
    slopes: Tensor  # (n, d), the pseudo-gradient
    signs: Tensor  # (n, d), of the orthant; zero where it has no bounds
    free: Tensor  # (n, d) bool, what may move

    def leaves(self, d: Tensor) -> Tensor:
        """Say which coordinates a step d would take out of the orthant, or just to the centre: (n, d) bool."""
        return self.free & (self.signs != 0) & (self.signs * (self.v + d) <= 0)

    def projected(self, d: Tensor) -> Tensor:
        """Return the step with coordinates stopped at the centre instead of leaving: (n, d)."""
        return torch.where(self.leaves(d), -self.v, d)


class _OrthantState(NamedTuple):
    current: Iterate  # the last accepted one; its residual is grad q
    kinks: _Kinks
    face: _Face  # at the current iterate
    hessian: Tensor  # (n, d, d), B
    rejections: Tensor  # (n,), rejected trials in a row
    excused: Tensor  # (n,), how many of them do not shorten the step: those up to the restart of B


@dataclasses.dataclass(frozen=True)
class OrthantBFGS:
    """BFGS for objectives with kinks: one evaluation per step, a Hessian estimate (d, d) and an orthant per row.

    The problem is a `KinkedProblem`; of any other it is plain BFGS. Coordinates that are at the centre at the minimum
    are so exactly. Each step solves a linear system of d unknowns per row, or some of them, which costs little beside
    the evaluation of a network up to a hundred features or so; of many more, memory for n d^2 numbers is needed.

    Rejected trials teach B too, as in `BFGS`. After `patience` of them in a row B restarts from the identity times the
    latest curvature, and the length of the step with it.

    On quadratics of condition 100 in 16 dimensions, solved to 1e-8, it takes 39 evaluations where plain proximal
    gradients take 795 (a quarter of the coordinates at the centre), and 15 where they take 176 (three quarters).

    Attributes:
        passes: times per step that coordinates are stopped and the others solved for again.
        patience: rejected trials in a row after which B restarts.
        shrink: factor on the step length for each further rejection.
        damping: c, the least share of the curvature that B had along a move which it keeps. Powell's value: with less,
            rows where q is not convex take more steps, up to four times as many; on convex ones it hardly matters.
    """

    line_search: ClassVar[LineSearch] = LineSearch()

    passes: int = 3
    patience: int = 5
    shrink: float = 0.3
    damping: float = 0.2

    def init(self, problem: Problem, at: Iterate) -> tuple[_OrthantState, Tensor]:
        """Propose the plain step y - p, stopped at the centre."""
        n, d = at.y.shape
        kinks, zero = _Kinks.of(problem, at), torch.zeros_like(at.value)
        face = kinks.face(at)
        identity = torch.eye(d, dtype=at.y.dtype, device=at.y.device).repeat(n, 1, 1)
        state = _OrthantState(at, kinks, face, identity, zero, zero)
        return state, _moved(at.y, face, -face.slopes, kinks)

    def step(
        self, problem: Problem, state: _OrthantState, at: Iterate
    ) -> tuple[_OrthantState, Tensor]:
        """Accept or reject the trial, update B by its curvature either way, and propose the next trial."""
        accepted = self.line_search.accepts(
            _in_orthant(state, state.current), _in_orthant(state, at)
        )
        current = accept(accepted, state.current, at)
        secant = Secant.between(state.current, at)
        rejections = torch.where(accepted, 0.0, state.rejections + 1)
        restart = rejections == self.patience
        hessian = _restarted(
            _updated(state.hessian, secant, self.damping), secant, restart
        )
        excused = torch.where(restart, rejections, state.excused)
        excused = torch.minimum(excused, rejections)  # none once a trial is accepted
        face = state.kinks.face(current)
        step, definite = _model_step(hessian, face, self.passes)
        hessian = _restarted(hessian, secant, ~definite)
        state = _OrthantState(current, state.kinks, face, hessian, rejections, excused)
        return state, self._backtrack(state, step, secant.useful)

    def _backtrack(self, state: _OrthantState, step: Tensor, useful: Tensor) -> Tensor:
        """Return the next trial (n, d): the model's step, or after rejections a shorter one."""
        # With the curvature of the rejected trial in B, a first retry may have full length.
        shortenings = state.rejections - state.excused - useful.to(state.rejections)
        length = self.shrink ** shortenings.clamp(min=0)
        scaled = length.unsqueeze(-1) * step
        trial = _moved(state.current.y, state.face, scaled, state.kinks)
        return self.line_search.give_up(trial, state.rejections)


def _in_orthant(state: _OrthantState, at: Iterate) -> Iterate:
    """Return the iterate with the gradient that F has there in the orthant of the step."""
    tilt = state.kinks.slope * state.face.signs
    return Iterate(at.y, at.value, at.residual + tilt)


def _moved(y: Tensor, face: _Face, step: Tensor, kinks: _Kinks) -> Tensor:
    """Return y + step, stopped at the centre, to the bit: (n, d)."""
    return torch.where(face.leaves(step), kinks.centre, y + step)


def _updated(hessian: Tensor, secant: Secant, damping: float) -> Tensor:
    """Return B - B s s' B / <s, B s> + q q' / <s, q>, the BFGS update with q damped: (n, d, d)."""
    product = torch.bmm(hessian, secant.s.unsqueeze(-1)).squeeze(-1)
    energy = vecdot(secant.s, product)
    useful = (energy > 0) & torch.isfinite(secant.square)
    share = (1 - damping) * energy / (energy - secant.curvature)
    short = secant.curvature < damping * energy
    share = torch.where(short, share, 1.0).unsqueeze(-1)
    column = useful.unsqueeze(-1)
    lost = torch.where(column, product, 0.0)
    gained = torch.where(column, torch.lerp(product, secant.q, share), 0.0)
    curvature = torch.where(short, damping * energy, secant.curvature)
    by_curvature = torch.where(useful, 1 / curvature, 0.0).unsqueeze(-1)
    by_energy = torch.where(useful, 1 / energy, 0.0).unsqueeze(-1)
    left = torch.stack([gained * by_curvature, -lost * by_energy], -1)
    return torch.baddbmm(hessian, left, torch.stack([gained, lost], 1))


def _restarted(hessian: Tensor, secant: Secant, restart: Tensor) -> Tensor:
    """Return B, in rows that restart the identity times the curvature of the secant: (n, d, d)."""
    if not bool(restart.any()):
        return hessian
    curvature = torch.where(secant.useful, secant.square / secant.curvature, 1.0)
    identity = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device)
    return torch.where(
        restart[:, None, None], curvature[:, None, None] * identity, hessian
    )


def _model_step(hessian: Tensor, face: _Face, passes: int) -> tuple[Tensor, Tensor]:
    """Return a step d that lowers the quadratic model within the orthant, and where B was positive definite.

    Args:
        hessian: (n, d, d), B.
        face: the orthant.
        passes: how often coordinates are stopped at the centre and the others solved for again.

    Returns:
        d (n, d), downhill, and (n,) bool.
    """
    step, definite = _solved(hessian, face.free, -face.slopes)
    stopped = torch.zeros_like(face.free)
    for _ in range(passes):
        leaving = face.leaves(step) & ~stopped
        index = leaving.any(-1).nonzero().squeeze(-1)
        if not index.numel():
            break
        stopped = stopped | leaving
        step = step.index_copy(0, index, _solved_beside(hessian, face, stopped, index))
    step = face.projected(step)
    downhill = definite & (vecdot(face.slopes, step) < 0)
    plain = face.projected(_cauchy_step(hessian, face.slopes))
    return torch.where(downhill.unsqueeze(-1), step, plain), definite


def _solved_beside(
    hessian: Tensor, face: _Face, stopped: Tensor, index: Tensor
) -> Tensor:
    """Return the model's step in the rows of the index, given that some coordinates go to the centre: (k, d)."""
    hessian, stopped = hessian.index_select(0, index), stopped.index_select(0, index)
    fixed = torch.where(stopped, -face.v.index_select(0, index), 0.0)
    pull = torch.bmm(hessian, fixed.unsqueeze(-1)).squeeze(-1)
    free = face.free.index_select(0, index) & ~stopped
    slopes = face.slopes.index_select(0, index)
    return fixed + _solved(hessian, free, -slopes - pull)[0]


def _solved(hessian: Tensor, free: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Solve with the free part of B: (n, d), zero in what is not free; and where that is positive definite (n,)."""
    mask = free.to(hessian.dtype)
    matrix = hessian * mask.unsqueeze(-1) * mask.unsqueeze(-2)
    matrix = matrix + torch.diag_embed(1 - mask)
    factor, info = torch.linalg.cholesky_ex(matrix)
    right = torch.where(free, right, 0.0).unsqueeze(-1)
    found = torch.cholesky_solve(right, factor).squeeze(-1)
    return found, (info == 0) & torch.isfinite(vecdot(found, found))


def _cauchy_step(hessian: Tensor, slopes: Tensor) -> Tensor:
    """Return the minimiser of the model along -slopes; -slopes where the model has none: (n, d)."""
    product = torch.bmm(hessian, slopes.unsqueeze(-1)).squeeze(-1)
    length = vecdot(slopes, slopes) / vecdot(slopes, product)
    sound = (length > 0) & torch.isfinite(length)
    return -torch.where(sound, length, 1.0).unsqueeze(-1) * slopes
