"""The only loop: minimise many independent objectives, one per row, with any method.

A row i has its own objective F_i: R^d -> R. The *residual* is its gradient; a row has converged when
|residual| <= tol. A *problem* evaluates value and residual of its rows and can be restricted to some of them.
A *method* is a pair (init, step): from an evaluated iterate it proposes the next trial point, so that every step
costs one evaluation, and the residual tested is the one the next step uses.

Rows are strangers: nothing here or in a method may look across rows. A finished row leaves the batch and costs
nothing more. A method gives up on a row by proposing NaN.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from brenier.solve.solution import Solution, Status

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


class Method(Protocol):
    """A pair (init, step) over plain state: a NamedTuple of tensors whose first dimension is the row."""

    def init(self, problem: Problem, at: Iterate) -> tuple[Any, Tensor]:
        """Return the first state and the first trial point (n, d)."""
        ...

    def step(self, problem: Problem, state: Any, at: Iterate) -> tuple[Any, Tensor]:
        """Return the next state and trial, given the evaluated trial `at`."""
        ...


class _Counted:
    """A problem that counts the row evaluations asked of it and of its restrictions."""

    def __init__(self, problem: Problem, tally: list[int]) -> None:
        self.problem, self.tally = problem, tally

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        self.tally.append(y.shape[0])
        return self.problem.evaluate(y)

    def hessian_product(self, y: Tensor, v: Tensor) -> Tensor:
        self.tally.append(2 * y.shape[0])
        return self.problem.hessian_product(y, v)

    def rows(self, index: Tensor) -> _Counted:
        return _Counted(self.problem.rows(index), self.tally)


class _Record:
    """Best point, residual, steps and status of every row, filled in as rows leave the batch."""

    def __init__(self, start: Tensor) -> None:
        n = start.shape[0]
        self.point = start.clone()
        self.residual = torch.full(
            (n,), torch.inf, dtype=start.dtype, device=start.device
        )
        self.steps = torch.zeros(n, dtype=torch.int64, device=start.device)
        self.status = torch.full(
            (n,), int(Status.OUT_OF_STEPS), dtype=torch.int64, device=start.device
        )

    def write(
        self, rows: Tensor, best: Tensor, norm: Tensor, steps: int, status: Tensor
    ) -> None:
        self.point[rows], self.residual[rows] = best, norm
        self.steps[rows] = steps
        self.status[rows] = torch.where(status < 0, int(Status.OUT_OF_STEPS), status)

    def solution(self, evaluations: int) -> Solution:
        return Solution(self.point, self.residual, self.steps, self.status, evaluations)


@torch.no_grad()
def minimise(
    problem: Problem,
    method: Method,
    start: Tensor | Iterate,
    *,
    tol: float | Tensor = 1e-3,
    max_steps: int = 200,
    check_every: int = 1,
    skip_fraction: float = 0.0,
) -> Solution:
    """Minimise every row's objective until its residual norm is at most tol, or max_steps have been taken.

    Args:
        problem: the rows' objectives.
        method: how to step, for example `BFGS()`.
        start: (n, d), first iterates; or these with what is known there, which then is not asked for again.
        tol: bound on the residual norm, one number or one per row (n,).
        max_steps: steps after which a row is given up as `Status.OUT_OF_STEPS`.
        check_every: steps between two stop tests. A test reads the device, so a GPU may prefer 4 or 8; rows then
            run at most check_every - 1 steps longer than needed, and their best iterate is kept.
        skip_fraction: share of the rows that may be left unfinished, as `Status.DEFERRED`: the last few cost the most.

    Returns:
        A `Solution`; it never raises for rows that did not converge: ask `check()` or read `status`.
    """
    tally: list[int] = []
    first = start.y if isinstance(start, Iterate) else start
    counted, record, n = _Counted(problem, tally), _Record(first), len(first)
    if n == 0:
        return record.solution(0)
    rows = torch.arange(n, device=first.device)
    limit = torch.as_tensor(tol, dtype=first.dtype, device=first.device).expand(n)
    at = (
        start
        if isinstance(start, Iterate)
        else Iterate(first, *counted.evaluate(first))
    )
    norm = _norm(at)
    best, best_norm = first, norm
    stalled = torch.zeros_like(best_norm, dtype=torch.bool)
    state: Any = None
    for steps in range(max_steps + 1):
        if steps % check_every == 0 or steps == max_steps:
            status = _judge(best_norm, limit, at, stalled)
            going = (status < 0) & (steps < max_steps)
            if skip_fraction and int(going.sum()) <= skip_fraction * n:
                status = torch.where(going, int(Status.DEFERRED), status)
                going = torch.zeros_like(going)
            if not bool(going.all()):
                done, index = (
                    (~going).nonzero().squeeze(-1),
                    going.nonzero().squeeze(-1),
                )
                record.write(
                    rows[done], best[done], best_norm[done], steps, status[done]
                )
                if index.numel() == 0:
                    break
                rows, limit, stalled = rows[index], limit[index], stalled[index]
                best, best_norm, norm = (
                    best.index_select(0, index),
                    best_norm[index],
                    norm[index],
                )
                at, state = (
                    _take(at, index),
                    None if state is None else _take(state, index),
                )
                counted = counted.rows(index)
        state, trial = (
            method.init(counted, at)
            if state is None
            else method.step(counted, state, at)
        )
        stalled = stalled | (torch.isnan(trial[:, 0]) & torch.isfinite(norm))
        at = Iterate(trial, *counted.evaluate(trial))
        norm = _norm(at)
        better = norm < best_norm
        best, best_norm = (
            torch.where(better.unsqueeze(-1), trial, best),
            torch.where(better, norm, best_norm),
        )
    return record.solution(sum(tally))


def _norm(at: Iterate) -> Tensor:
    """Residual norms (n,), infinite where anything is not finite."""
    norm = torch.linalg.vector_norm(at.residual, dim=-1)
    return torch.where(torch.isfinite(norm + at.value), norm, torch.inf)


def _judge(norm: Tensor, tol: Tensor, at: Iterate, stalled: Tensor) -> Tensor:
    """Return the status of rows that are done, and -1 for rows that may go on: (n,)."""
    lost = ~torch.isfinite(at.y.sum(-1))
    status = torch.where(lost, int(Status.NON_FINITE), -1)
    status = torch.where(lost & stalled, int(Status.STALLED), status)
    return torch.where(norm <= tol, int(Status.CONVERGED), status)


def _take(state: State, index: Tensor) -> State:
    """Keep some rows of a NamedTuple of tensors."""
    return type(state)(
        *(part.index_select(0, index) for part in state)
    )  # on a CPU twice as fast as part[index]
