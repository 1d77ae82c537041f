"""Objectives within bounds, lower <= y <= upper: Newton's method on the coordinates that are free to move.

A coordinate is *fixed* where it is at a bound, or close to one, and descent leads that way; the others are *free*. A
step solves the Newton system of the free coordinates, moves the fixed ones along minus their gradient, and clips the
result: "Projected Newton methods for optimization problems with simple constraints" (Bertsekas, 1982). Once the right
coordinates rest at their bounds, exactly, steps are those of Newton's method in the others. A coordinate close to its
bound counts as fixed since otherwise the direction could lead downhill for tiny lengths only. How close, is the
*projected residual*,

    |y - clip(y - grad F)|,

zero just where F is stationary within the bounds, or less.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier.errors import DataError
from brenier.solve.linesearch import LineSearch, accept
from brenier.solve.loop import (
    Iterate,
    MeasuresErrors,
    Problem,
    hessian,
    take_rows,
    uncounted,
)
from brenier.solve.newton import restricted, truncated_newton


class HasBounds(Protocol):
    """The least and the largest y: (n, d) or what broadcasts to it, infinite where there is none."""

    @property
    def lower(self) -> Tensor:
        """The least: (n, d)."""
        ...

    @property
    def upper(self) -> Tensor:
        """The largest: (n, d)."""
        ...


@runtime_checkable
class BoxedProblem(Problem, MeasuresErrors, Protocol):
    """Objectives within bounds: see `ProjectedNewton`.

    `evaluate` returns F and its gradient, and is asked for them within the bounds only (and at the start); `rows`
    restricts the bounds as well. `errors` may be `projected_residual`.
    """

    @property
    def bounds(self) -> HasBounds | None:
        """The bounds of all rows, or None where there are none."""
        ...


def projected_residual(at: Iterate, bounds: HasBounds) -> Tensor:
    """Return |y - clip(y - grad F(y))| row by row: (n,).

    >>> class Positive(NamedTuple):
    ...     lower: Tensor = torch.zeros(2)
    ...     upper: Tensor = torch.full((2,), torch.inf)
    >>> at = Iterate(torch.zeros(1, 2), torch.zeros(1), torch.tensor([[0.5, -4.0]]))
    >>> projected_residual(at, Positive())
    tensor([4.])
    """
    nearest = torch.minimum(at.y - at.residual, bounds.upper)
    step = at.y - torch.maximum(nearest, bounds.lower)
    return torch.linalg.vector_norm(step, dim=-1)


class _Box(NamedTuple):
    """The bounds of every row."""

    lower: Tensor  # (n, d), or (n, 0) where there are none
    upper: Tensor
    near: Tensor  # how close to a bound a coordinate may count as fixed

    @classmethod
    def of(cls, problem: Problem, y: Tensor, near: float) -> _Box:
        """Return the bounds of a problem; none of one that does not say it has some."""
        # Not by isinstance, which would compute the bounds once more.
        bounds: HasBounds | None = getattr(uncounted(problem), "bounds", None)
        if bounds is None:
            return cls(y[:, :0], y[:, :0], y[:, :0])
        lower, upper = bounds.lower.to(y), bounds.upper.to(y)
        if not bool((lower <= upper).all()):
            raise DataError(
                "bounds: lower must not exceed upper, and neither be NaN; exchange them, or give infinite bounds where "
                "there are none",
                argument="bounds",
            )
        width = near * (upper - lower).clamp(max=1.0)
        return cls(lower.expand_as(y), upper.expand_as(y), width.expand_as(y))

    @property
    def exists(self) -> bool:
        """Whether there are any bounds."""
        return self.lower.shape[1] > 0

    def clip(self, y: Tensor) -> Tensor:
        """Return the nearest points within: (n, d)."""
        if not self.exists:
            return y
        return torch.maximum(torch.minimum(y, self.upper), self.lower)

    def face(self, at: Iterate) -> _FreeFace | None:
        """Return what may move from an iterate within, or None where everything may."""
        if not self.exists:
            return None
        g = at.residual
        room = torch.where(g > 0, at.y - self.lower, self.upper - at.y)
        way = torch.minimum(g.abs(), room)
        error = torch.linalg.vector_norm(way, dim=-1, keepdim=True)
        fixed = room <= torch.minimum(self.near, error)
        across = torch.where(torch.isfinite(room), room, 0.0)
        return _FreeFace(fixed, -torch.copysign(way, g), -torch.copysign(across, g))


class _FreeFace(NamedTuple):
    """Which coordinates are fixed, and how those move."""

    fixed: Tensor  # (n, d) bool
    way: Tensor  # (n, d), clip(y - grad F) - y
    across: Tensor  # (n, d), the way down to the bound, zero where that is infinite


class _BoxState(NamedTuple):
    current: Iterate  # the last accepted one
    box: _Box
    direction: Tensor  # (n, d), the step being tried, before it is clipped
    rejections: Tensor  # (n,), rejected trials in a row


@dataclasses.dataclass(frozen=True)
class ProjectedNewton:
    """Newton's method within bounds; where there are none, it is `NewtonCG`.

    The problem is a `BoxedProblem`; any other has no bounds. Coordinates stop at their bounds exactly. Where the
    objective is not convex, F falls from step to step and a row ends at a stationary point, which may be a bound. A
    start outside of the bounds is first clipped.

    Directions come from `truncated_newton`, or, in few dimensions and from problems with a method `hessian` (y (n, d)
    -> (n, d, d)), from a Cholesky factor; where the free part is not positive definite, from its eigenvalues without
    their signs, so that saddles are left fast. Within bounds `truncated_newton` goes on past negative curvature, too.

    Attributes:
        max_products: Hessian products per direction and row.
        shrink: factor on the step length for each rejection, from the length at which a step is clipped entirely.
        near: a coordinate counts as at its bound within this share of the distance between bounds, or this distance
            if that is less; and never farther than the projected residual.
        dense: most dimensions in which a Hessian is asked for as a matrix.
    """

    line_search: ClassVar[LineSearch] = LineSearch()

    max_products: int = 20
    shrink: float = 0.4
    near: float = 1e-3
    dense: int = 8

    def init(self, problem: Problem, at: Iterate) -> tuple[_BoxState, Tensor]:
        """Propose the first Newton step; where the start is outside, the nearest point within.

        Raises:
            DataError: where bounds cross or are NaN.
        """
        box, zero = _Box.of(problem, at.y, self.near), torch.zeros_like(at.value)
        direction = self._direction(problem, at, box)
        if box.exists:
            at, direction = _entering(at, box.clip(at.y) - at.y, direction)
        state = _BoxState(at, box, direction, zero)
        return state, box.clip(at.y + direction)

    def step(
        self, problem: Problem, state: _BoxState, at: Iterate
    ) -> tuple[_BoxState, Tensor]:
        """Accept the trial and find a new direction, or shorten the step, row by row."""
        accepted, box = self.line_search.accepts(state.current, at), state.box
        if bool(accepted.all()):
            current, rejections = at, torch.zeros_like(state.rejections)
            direction = self._direction(problem, at, box)
        else:
            current = accept(accepted, state.current, at)
            rejections = torch.where(accepted, 0.0, state.rejections + 1)
            direction = self._shortened(state, at)
            index = accepted.nonzero().squeeze(-1)
            if index.numel():
                # Only accepted rows pay for a new direction.
                some = restricted(problem, index, len(at.y))
                rows, within = take_rows(current, index), take_rows(box, index)
                found = self._direction(some, rows, within)
                direction = direction.index_copy(0, index, found)
        trial = self.line_search.give_up(box.clip(current.y + direction), rejections)
        return _BoxState(current, box, direction, rejections), trial

    def _shortened(self, state: _BoxState, rejected: Iterate) -> Tensor:
        """Return shorter steps than those that led to rejected trials: (n, d)."""
        if not state.box.exists:
            return self.shrink * state.direction
        # Longer steps than that of the last coordinate to be clipped all lead to the same point.
        move = rejected.y - state.current.y
        share = (move / state.direction).nan_to_num(nan=0.0).amax(-1, keepdim=True)
        return self.shrink * share.clamp(max=1.0) * state.direction

    def _direction(self, problem: Problem, at: Iterate, box: _Box) -> Tensor:
        """Return the step from iterates within the bounds, before it is clipped: (n, d)."""
        face, slopes = box.face(at), at.residual
        if face is not None:
            slopes = torch.where(face.fixed, 0.0, slopes)
        step = self._newton(problem, at.y, slopes, face)
        return step if face is None else torch.where(face.fixed, face.way, step)

    def _newton(
        self, problem: Problem, y: Tensor, slopes: Tensor, face: _FreeFace | None
    ) -> Tensor:
        """Return Newton directions of the free coordinates, zero in the others: (n, d)."""
        matrix = hessian(problem, y) if y.shape[1] <= self.dense else None
        if matrix is not None:
            return _newton_step(matrix, slopes, face)

        def product(v: Tensor) -> Tensor:
            found = problem.hessian_product(y, v)
            return found if face is None else torch.where(face.fixed, 0.0, found)

        onward = face is not None
        return truncated_newton(product, slopes, self.max_products, onward=onward)


def _entering(at: Iterate, way: Tensor, direction: Tensor) -> tuple[Iterate, Tensor]:
    """Return first iterates and directions (n, d), from outside of the bounds the way to the nearest point within.

    What is known outside must not count: there the value becomes infinite, and the residual minus the way.
    """
    outside = (way.abs() > 0).any(-1)  # not where it is NaN
    value = torch.where(outside, torch.inf, at.value)
    column = outside.unsqueeze(-1)
    residual = torch.where(column, -way, at.residual)
    return Iterate(at.y, value, residual), torch.where(column, way, direction)


def _newton_step(matrix: Tensor, slopes: Tensor, face: _FreeFace | None) -> Tensor:
    """Return -(free part of the matrix)^{-1} slopes, that part made positive definite where it is not: (n, d)."""
    if face is not None:
        beside = face.fixed.unsqueeze(-1) | face.fixed.unsqueeze(-2)
        matrix = torch.where(beside, torch.diag_embed(face.fixed.to(matrix)), matrix)
    factor, info = torch.linalg.cholesky_ex(matrix)
    step = -torch.cholesky_solve(slopes.unsqueeze(-1), factor).squeeze(-1)
    sound = (info == 0) & torch.isfinite(vecdot(step, step))
    if bool(sound.all()):
        return step
    index = (~sound).nonzero().squeeze(-1)
    turned = _uphill_turned(matrix[index], slopes[index])
    if face is not None:
        # Where F is flat but for its slope, a step as long as the slope takes for ever; the minimum is at the bound.
        flat = (matrix[index].abs().amax(-1) == 0) & ~face.fixed[index]
        across = face.across[index]
        turned = torch.where(flat & (across != 0), across, turned)
    return step.index_copy(0, index, turned)


def _uphill_turned(matrix: Tensor, slopes: Tensor) -> Tensor:
    """Return -|matrix|^{-1} slopes, or -slopes where the matrix or the result is not finite: (n, d)."""
    finite = torch.isfinite(matrix.sum((-1, -2)))
    matrix = torch.where(finite[:, None, None], matrix, 0.0)
    values, vectors = torch.linalg.eigh(matrix)
    along = torch.einsum("nij,ni->nj", vectors, slopes)
    step = -torch.einsum("nij,nj->ni", vectors, along / values.abs())
    sound = torch.isfinite(vecdot(step, step)) & (vecdot(step, slopes) < 0)
    return torch.where(sound.unsqueeze(-1), step, -slopes)
