"""The search of the control that minimises the Hamiltonian, and how it is differentiated.

The search runs without a graph; one application or more of T(u) = clip(u - M grad_u H(t, z, p, u)) then attaches one.
The matrix M says which rule that is:

* `one_step`: M = a I, Jacobian-free backpropagation ("JFB", Fung et al., 2022; for control arXiv 2510.00359): du* is
  replaced by -a f_u' dp. With `tracked_steps` K' more, by the partial sum of Neumann's series.
* `one_step` with `step="diagonal"`: M = diag(H_uu)^-1.
* `implicit`: M = H_uu^-1, the exact derivative -H_uu^-1 f_u' dp, at the price of a linear system for each control.
* `unrolled`: all steps of the search carry a graph, which grows with them.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from brenier.control.checks import require_count, require_number
from brenier.control.hamiltonian import Hamiltonian
from brenier.errors import DataError
from brenier.solve import (
    GradientStep,
    Method,
    ProjectedNewton,
    Solution,
    Status,
    minimise,
)

RULES = ("one_step", "implicit", "unrolled", "detached")


@dataclasses.dataclass(frozen=True)
class ControlSearch:
    """How the minimiser of the Hamiltonian is found.

    Attributes:
        method: an inner solver, or None for `brenier.solve.ProjectedNewton`.
        tol: bound on the residual |grad_u H|, relative to 1 + |f_u' p|, or absolute where `relative` is False.
        relative: as told.
        max_steps: of the method, for each control.
        exact: whether a closed form is used where the Hamiltonian has one. Its residual is measured all the same.
        warm: whether a search starts from the control of the time step before, and not from the first one.
    """

    method: Method[Any] | None = None
    tol: float = 1e-4
    relative: bool = True
    max_steps: int = 50
    exact: bool = True
    warm: bool = True

    def __post_init__(self) -> None:
        require_number("tol", self.tol, "the bound on the residual")
        require_count("max_steps", self.max_steps, "steps of a search")
        if self.method is not None and (
            isinstance(self.method, type) or not hasattr(self.method, "step")
        ):
            raise DataError(
                f"method: must be an inner solver such as ProjectedNewton(), got {self.method!r}",
                argument="method",
            )

    @classmethod
    def published(cls, size: float = 1e-4, max_steps: int = 499) -> ControlSearch:
        """Return the published setting: gradient steps of one size from zero, to an absolute residual of .1."""
        return cls(GradientStep(size), 0.1, False, max_steps, exact=False, warm=False)

    @torch.no_grad()
    def find(self, hamiltonian: Hamiltonian, start: Tensor) -> Solution:
        """Return the minimisers found from a start (n, m), all within the bounds, and how each search ended."""
        point = hamiltonian.exact() if self.exact else None
        if point is not None:
            found = self.measure(hamiltonian, point)
            if not found.unconverged:
                return found
            # What a closed form loses to rounding, a step or two of the method gain back.
            start = point
        sound = _sound_rows(hamiltonian, start)
        if sound is None:
            return self._searched(hamiltonian, start)
        # A state that overflowed has no bounds; the others do not suffer from it.
        found = self.measure(hamiltonian, start)
        status = torch.full_like(found.status, int(Status.NON_FINITE))
        found = dataclasses.replace(found, status=status)
        return _put(found, sound, self._searched(hamiltonian.rows(sound), start[sound]))

    @torch.no_grad()
    def measure(self, hamiltonian: Hamiltonian, point: Tensor) -> Solution:
        """Return controls (n, m) as a solution: converged where their residual is small enough."""
        residual = hamiltonian.residual(point, hamiltonian.gradient(point))
        small = residual <= self._bound(hamiltonian)
        status = torch.where(small, int(Status.CONVERGED), int(Status.STALLED))
        steps = torch.zeros_like(status)
        return Solution(point, residual, steps, status, len(point))

    def _searched(self, hamiltonian: Hamiltonian, start: Tensor) -> Solution:
        """Return what the method finds. One that knows of no bounds may end outside: its controls are clipped."""
        method: Method[Any] = ProjectedNewton() if self.method is None else self.method
        tol = self._bound(hamiltonian)
        found = minimise(hamiltonian, method, start, tol=tol, max_steps=self.max_steps)
        bounds = hamiltonian.bounds
        if bounds is None:
            return found
        point = bounds.clip(found.point)
        outside = (point != found.point).any(-1).nonzero().squeeze(-1)
        if not outside.numel():
            return found
        clipped = self.measure(hamiltonian.rows(outside), point[outside])
        # Where it did not converge, how the method ended says more than that the point is none.
        ended = torch.where(
            clipped.converged | found.converged[outside],
            clipped.status,
            found.status[outside],
        )
        return _put(found, outside, dataclasses.replace(clipped, status=ended))

    def _bound(self, hamiltonian: Hamiltonian) -> float | Tensor:
        """Return the bound on relative residuals."""
        return self.tol if self.relative else self.tol / hamiltonian.scale


def _sound_rows(hamiltonian: Hamiltonian, start: Tensor) -> Tensor | None:
    """Return which rows have bounds that are numbers, or None where all have: (k,)."""
    bounds = hamiltonian.bounds
    if bounds is None:
        return None
    lost = (torch.isnan(bounds.lower) | torch.isnan(bounds.upper)).any(-1)
    if not bool(lost.any()):
        return None
    return (~lost.expand(len(start))).nonzero().squeeze(-1)


def _put(whole: Solution, index: Tensor, part: Solution) -> Solution:
    """Return a solution with some of its rows in place of others."""
    return Solution(
        whole.point.index_copy(0, index, part.point),
        whole.residual.index_copy(0, index, part.residual),
        whole.steps.index_add(0, index, part.steps),
        whole.status.index_copy(0, index, part.status),
        whole.evaluations + part.evaluations,
    )


@dataclasses.dataclass(frozen=True)
class ControlGradient:
    """How the minimiser is differentiated.

    Attributes:
        rule: "one_step" (Jacobian-free backpropagation), "implicit", "unrolled" or "detached".
        step: of one application: "curvature" for 1 / (largest eigenvalue of H_uu) in each row, "diagonal" for
            1 / diag(H_uu), or a number.
        tracked_steps: applications after the first one that carry a graph too.
        unrolled_steps: of "unrolled", which starts where the search would and needs none.
    """

    rule: str = "one_step"
    step: str | float = "curvature"
    tracked_steps: int = 0
    unrolled_steps: int = 50

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise DataError(
                f"rule: must be one of {', '.join(RULES)}, got {self.rule!r}",
                argument="rule",
            )
        require_count("tracked_steps", self.tracked_steps, "steps", zero=True)
        require_count("unrolled_steps", self.unrolled_steps, "steps")
        number = isinstance(self.step, int | float) and 0 < self.step < math.inf
        if self.step not in ("curvature", "diagonal") and not number:
            raise DataError(
                f"step: must be 'curvature', 'diagonal' or a positive number, got {self.step!r}",
                argument="step",
            )

    def attach(self, hamiltonian: Hamiltonian, point: Tensor) -> Tensor:
        """Return solved controls (n, m) with a gradient attached; of "unrolled", the controls found from a start."""
        u = point.detach()
        if self.rule == "detached":
            return u
        unrolled = self.rule == "unrolled"
        applications = self.unrolled_steps if unrolled else 1 + self.tracked_steps
        size = None if unrolled else self._size(hamiltonian, u)
        for _ in range(applications):
            each = self._size(hamiltonian, u.detach()) if size is None else size
            u = self._apply(hamiltonian, u, each)
        return u

    @torch.no_grad()
    def _size(self, hamiltonian: Hamiltonian, u: Tensor) -> Tensor | float:
        """Return M: a number, (n, 1), (n, m) or (n, m, m)."""
        if self.rule == "implicit":
            return _inverse_hessian(hamiltonian, u)
        if isinstance(self.step, int | float):
            return float(self.step)
        least = torch.finfo(u.dtype).tiny  # where H is straight and a bound decides
        if self.step == "diagonal":
            return 1 / hamiltonian.diagonal(u).abs().clamp(min=least)
        return 1 / hamiltonian.curvature(u).unsqueeze(-1).clamp(min=least)

    @staticmethod
    def _apply(hamiltonian: Hamiltonian, u: Tensor, size: Tensor | float) -> Tensor:
        """Return T(u)."""
        gradient = hamiltonian.gradient(u)
        if isinstance(size, Tensor) and size.ndim == 3:
            moved = u - torch.bmm(size, gradient.unsqueeze(-1)).squeeze(-1)
        else:
            moved = u - size * gradient
        bounds = hamiltonian.bounds
        return moved if bounds is None else bounds.clip(moved)


def _inverse_hessian(hamiltonian: Hamiltonian, u: Tensor) -> Tensor:
    """Return H_uu^-1 on the controls that are free, zero on those that a bound holds: (n, m, m).

    Rows whose Hessian is singular get zero: their minimiser has no derivative.
    """
    hessian = hamiltonian.hessian(u)
    bounds = hamiltonian.bounds
    if bounds is None:
        return _inverse(hessian)
    gradient = hamiltonian.gradient(u)
    held = ((u <= bounds.lower) & (gradient > 0)) | (
        (u >= bounds.upper) & (gradient < 0)
    )
    free = (~held).to(u)
    both = free.unsqueeze(-1) * free.unsqueeze(-2)
    return _inverse(hessian * both + torch.diag_embed(1 - free)) * both


def _inverse(matrix: Tensor) -> Tensor:
    """Return the inverses of matrices (n, m, m), zero for those that are singular."""
    found, info = torch.linalg.inv_ex(matrix)
    return torch.where((info == 0)[:, None, None], found, 0.0)
