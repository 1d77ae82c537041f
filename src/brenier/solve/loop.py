"""The only loop: minimise many independent objectives, one per row, with any method.

A row i has its own objective F_i: R^d -> R. The *residual* is its gradient; a row has converged when
|residual| <= tol, or where the problem measures errors of its own, when that is at most tol. A *problem* evaluates
value and residual of its rows and can be restricted to some of them. A *method* is a pair (init, step): from an
evaluated iterate it proposes the next trial point, so that every step costs one evaluation, and the residual tested is
the one the next step uses.

Rows are independent: nothing here or in a method may look across rows. A finished row leaves the batch and costs
nothing more. A method gives up on a row by proposing NaN.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor

from brenier.errors import DataError
from brenier.solve.positions import positions
from brenier.solve.solution import Solution, Status

Batched = TypeVar("Batched", bound=tuple)
State = TypeVar("State", bound=tuple)


class Iterate(NamedTuple):
    """A point and what is known there: y (n, d), value (n,), residual (n, d)."""

    y: Tensor
    value: Tensor
    residual: Tensor


class Problem(Protocol):
    """Row-wise objectives. `rows(index)` is the same problem for some of the rows."""

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return value (n,) and residual (n, d) at y (n, d)."""
        ...

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        """Return Hess F(y) v, row by row: (n, d)."""
        ...

    def rows(self, index: Tensor) -> Problem:
        """Return the problem restricted to the rows in index."""
        ...


@runtime_checkable
class MeasuresErrors(Protocol):
    """A problem that says itself how far a row is from done, in place of the norm of the residual."""

    def errors(self, at: Iterate) -> Tensor:
        """Return the error of every row, zero at its answer and compared with tol: (n,)."""
        ...


@runtime_checkable
class KinkedProblem(Problem, MeasuresErrors, Protocol):
    """Objectives F(y) = q(y) + kink * sum_j |y_j - centre_j| with q smooth: see `brenier.solve.OrthantBFGS`.

    `evaluate` returns F with the kinks, but as residual the gradient of q alone; `hessian_product` is that of q;
    `rows` restricts the centre as well. `errors` may be `natural_residual`.
    """

    @property
    def kink(self) -> float:
        """The factor of the sum, not negative."""
        ...

    @property
    def centre(self) -> Tensor:
        """Where the kinks are: (n, d)."""
        ...


class Method(Protocol[State]):
    """A pair (init, step) over plain state.

    The state is a NamedTuple of tensors whose first dimension is the row, or of such NamedTuples: the loop keeps some
    of its rows when others have finished.
    """

    def init(self, problem: Problem, at: Iterate) -> tuple[State, Tensor]:
        """Return the first state and the first trial point (n, d)."""
        ...

    def step(self, problem: Problem, state: State, at: Iterate) -> tuple[State, Tensor]:
        """Return the next state and trial, given the evaluated trial `at`."""
        ...


def take_rows(rows: Batched, index: Tensor) -> Batched:
    """Return the rows in index (k,) of a NamedTuple of tensors, or of such NamedTuples."""
    # On a CPU index_select takes half the time of part[index].
    parts = (
        take_rows(part, index)
        if isinstance(part, tuple)
        else part.index_select(0, index)
        for part in rows
    )
    return type(rows)(*parts)


@dataclasses.dataclass(frozen=True)
class _Counted:
    """A problem that counts the row evaluations asked of it and of its restrictions."""

    problem: Problem
    tally: list[int]
    measures: bool  # whether it measures errors; asked once, for the question takes tens of microseconds

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        self.tally.append(y.shape[0])
        return self.problem.evaluate(y)

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        self.tally.append(2 * y.shape[0])
        return self.problem.hessian_product(y, v)

    def rows(self, index: Tensor) -> _Counted:
        return _Counted(self.problem.rows(index), self.tally, self.measures)

    def errors(self, at: Iterate) -> Tensor:
        """Return what is compared with tol, infinite where anything is not finite: (n,)."""
        norm = torch.linalg.vector_norm(at.residual, dim=-1)
        finite = torch.isfinite(norm + at.value)
        if self.measures:
            norm = cast(MeasuresErrors, self.problem).errors(at)
            finite &= torch.isfinite(norm)
        return torch.where(finite, norm, torch.inf)


def uncounted(problem: Problem) -> Problem:
    """Return the problem, or the one that the loop counts the evaluations of: what it says of itself is asked there."""
    return problem.problem if isinstance(problem, _Counted) else problem


def hessian(problem: Problem, y: Tensor) -> Tensor | None:
    """Return the Hessians of a problem that has a method `hessian`, or None: (n, d, d). They count as d products."""
    found = getattr(uncounted(problem), "hessian", None)
    if not callable(found):  # some problem may keep a tensor of that name
        return None
    if isinstance(problem, _Counted):
        problem.tally.append(2 * y.numel())
    return cast(Tensor, found(y))


@runtime_checkable
class ScalesSteps(Protocol):
    """A problem that knows about how far a step should go, along minus the residual of a first iterate."""

    def first_scale(self, at: Iterate) -> Tensor:
        """Return the factor of the residual that a first step should have: (n,)."""
        ...


def first_scale(problem: Problem, at: Iterate) -> Tensor | None:
    """Return the scale of first steps that a problem knows, itself or counted by the loop, or None: (n,)."""
    whole = uncounted(problem)
    return whole.first_scale(at) if isinstance(whole, ScalesSteps) else None


def as_kinked(problem: Problem) -> KinkedProblem | None:
    """Return the problem, or the one that the loop counts the evaluations of, if it has kinks.

    Raises:
        DataError: where its kink is negative or NaN.
    """
    whole = uncounted(problem)
    if not isinstance(whole, KinkedProblem):
        return None
    if not whole.kink >= 0:
        raise DataError(
            f"kink: must not be negative, got {whole.kink}; a concave kink has no minimum to find"
        )
    return whole


class _Active(NamedTuple):
    """The rows that have not finished, and the best that each of them has seen."""

    row: Tensor  # (n,), which rows of the whole problem these are
    tol: Tensor  # (n,)
    at: Iterate  # the last trial
    error: Tensor  # (n,), its error: the residual norm, or what the problem measures
    best: Tensor  # (n, d), the iterate of smallest error
    best_error: Tensor  # (n,)
    stalled: (
        Tensor  # (n,) bool, whether the method gave up though the iterate was finite
    )

    @classmethod
    def at_start(cls, at: Iterate, error: Tensor, tol: float | Tensor) -> _Active:
        """Return all rows, at their first iterates of these errors."""
        n = len(at.y)
        bound = tol if isinstance(tol, Tensor) else error.new_full((), tol)
        return cls(
            torch.arange(n, device=at.y.device),
            bound.to(at.y).expand(n),
            at,
            error,
            at.y,
            error,
            torch.zeros_like(error, dtype=torch.bool),
        )

    def moved_to(self, at: Iterate, error: Tensor) -> _Active:
        """Return the rows after one more evaluated trial, and its errors."""
        gave_up = torch.isnan(at.y[:, 0]) & torch.isfinite(self.error)
        better = error < self.best_error
        return _Active(
            self.row,
            self.tol,
            at,
            error,
            torch.where(better.unsqueeze(-1), at.y, self.best),
            torch.where(better, error, self.best_error),
            self.stalled | gave_up,
        )

    def status(self) -> Tensor:
        """Return the status of rows that are done, and -1 for rows that may go on: (n,)."""
        lost = ~torch.isfinite(self.at.y.sum(-1))
        status = torch.where(lost, int(Status.NON_FINITE), -1)
        status = torch.where(lost & self.stalled, int(Status.STALLED), status)
        return torch.where(self.best_error <= self.tol, int(Status.CONVERGED), status)


@torch.no_grad()
def minimise(
    problem: Problem,
    method: Method[State],
    start: Tensor | Iterate,
    *,
    tol: float | Tensor = 1e-3,
    max_steps: int = 200,
    check_every: int = 1,
    skip_fraction: float = 0.0,
) -> Solution:
    """Minimise every row's objective until its error is at most tol, or max_steps have been taken.

    The error is the residual norm, or what the problem measures (`MeasuresErrors`).

    Args:
        problem: the rows' objectives.
        method: how to step, for example `BFGS()`.
        start: (n, d), first iterates; or these with what is known there, which then is not asked for again.
        tol: bound on the error, one number or one per row (n,).
        max_steps: steps after which a row is given up as `Status.OUT_OF_STEPS`.
        check_every: steps between two stop tests. A test reads the device, so a GPU may prefer 4 or 8; rows then
            run at most check_every - 1 steps longer than needed, and their best iterate is kept.
        skip_fraction: share of the rows that may be left unfinished, as `Status.DEFERRED`: the last few cost the most.

    Returns:
        A `Solution`; it never raises for rows that did not converge: ask `check()` or read `status`.

    Raises:
        DataError: where the method is none, or a class and no instance of it.
    """
    if isinstance(method, type) or not hasattr(method, "step"):
        raise DataError(
            f"method: must be an inner solver such as BFGS(), got {method!r}; of a class give an instance"
        )
    tally: list[int] = []
    counted = _Counted(problem, tally, isinstance(problem, MeasuresErrors))
    first = start.y if isinstance(start, Iterate) else start
    solution = _unsolved(first)
    if len(first) == 0:
        return solution
    if not isinstance(start, Iterate):
        start = Iterate(first, *counted.evaluate(first))
    active = _Active.at_start(start, counted.errors(start), tol)
    may_defer = skip_fraction * len(first)
    state: State | None = None
    for steps in range(max_steps + 1):
        last = steps == max_steps
        if steps % check_every == 0 or last:
            status, going = _stop_test(active, may_defer, last=last)
            if going < len(status):
                _record_finished(solution, active, steps, status, going)
                if not going:
                    break
                index = positions(status < 0, going)
                active = take_rows(active, index)
                state = None if state is None else take_rows(state, index)
                counted = counted.rows(index)
        if state is None:
            state, trial = method.init(counted, active.at)
        else:
            state, trial = method.step(counted, state, active.at)
        at = Iterate(trial, *counted.evaluate(trial))
        active = active.moved_to(at, counted.errors(at))
    return dataclasses.replace(solution, evaluations=sum(tally))


def _stop_test(active: _Active, may_defer: float, *, last: bool) -> tuple[Tensor, int]:
    """Return the status of rows that leave, and -1 for rows that go on: (n,); and how many go on.

    That number is all that the loop waits for where rows are on a GPU.

    Args:
        active: the rows.
        may_defer: how many rows may be left unfinished.
        last: whether no step is left.
    """
    status = active.status()
    going = int((status < 0).sum())
    if going > may_defer and not last:
        return status, going
    ending = Status.OUT_OF_STEPS if last else Status.DEFERRED
    return torch.where(status < 0, int(ending), status), 0


def _unsolved(start: Tensor) -> Solution:
    """Return a solution to be filled in, row by row, as rows finish."""
    n, device = len(start), start.device
    return Solution(
        point=start.clone(),
        residual=torch.full((n,), torch.inf, dtype=start.dtype, device=device),
        steps=torch.zeros(n, dtype=torch.int64, device=device),
        status=torch.full(
            (n,), int(Status.OUT_OF_STEPS), dtype=torch.int64, device=device
        ),
        evaluations=0,
    )


def _record_finished(
    solution: Solution, active: _Active, steps: int, status: Tensor, going: int
) -> None:
    """Write the rows that leave, those of status >= 0 and all but `going`, into the solution."""
    done = positions(status >= 0, len(status) - going)
    row = active.row[done]
    solution.point[row] = active.best[done]
    solution.residual[row] = active.best_error[done]
    solution.steps[row] = steps
    solution.status[row] = status[done]
