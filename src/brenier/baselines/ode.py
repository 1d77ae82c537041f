"""Ordinary differential equations over rows: Runge-Kutta's fourth order in equal steps, or adaptive by torchdiffeq.

    dy/dt = f(t, y),   t from `start` to `end`, which may lie before it

Equal steps need no package, treat every row alike whatever others are solved with it, and are differentiated step by
step. Adaptive steps are those of Dormand and Prince, of order 5(4), chosen by the error of all rows together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from brenier.errors import DataError

Rates: TypeAlias = Callable[[float | Tensor, Tensor], Tensor]  # (t, y) -> dy/dt


class Solved(NamedTuple):
    """A state at the end, and how often the rates were evaluated on the way to it."""

    state: Tensor
    evaluations: int


@dataclasses.dataclass(frozen=True)
class Solver:
    """How an equation is solved.

    Attributes:
        steps: equal steps of Runge-Kutta's fourth order, where no tolerance is given.
        rtol, atol: relative and absolute error of an adaptive step; None for `rtol` means equal steps.
        adjoint: whether gradients of adaptive solutions are found by solving the adjoint equation, whose memory does
            not grow with the steps, in place of differentiating these.
        most_steps: adaptive steps after which a solution is given up.
    """

    steps: int = 8
    rtol: float | None = None
    atol: float = 1e-8
    adjoint: bool = False
    most_steps: int = 10_000


def solved(
    rates: Rates,
    state: Tensor,
    solver: Solver,
    *,
    backwards: bool = False,
    parameters: Sequence[Tensor] = (),
) -> Solved:
    """Return the state at t = 1 of what starts from `state` at t = 0, or the other way round.

    Args:
        rates: (t, y) -> dy/dt, of the shape of y.
        state: y at the start, (n, k).
        solver: how.
        backwards: whether to go from t = 1 to t = 0.
        parameters: what the rates depend on, for adjoint gradients.

    Raises:
        DataError: where torchdiffeq is needed and missing.
    """
    start, end = (1.0, 0.0) if backwards else (0.0, 1.0)
    if solver.rtol is None:
        return runge_kutta(rates, state, solver.steps, start, end)
    return dormand_prince(rates, state, solver, start, end, parameters)


def runge_kutta(
    rates: Rates, state: Tensor, steps: int, start: float, end: float
) -> Solved:
    """Return the state after equal steps of the classical method of fourth order."""
    step = (end - start) / steps
    for index in range(steps):
        t = start + index * step
        first = rates(t, state)
        second = rates(t + step / 2, torch.add(state, first, alpha=step / 2))
        third = rates(t + step / 2, torch.add(state, second, alpha=step / 2))
        last = rates(t + step, torch.add(state, third, alpha=step))
        slope = first + last + 2 * (second + third)
        state = torch.add(state, slope, alpha=step / 6)
    return Solved(state, 4 * steps)


def dormand_prince(
    rates: Rates,
    state: Tensor,
    solver: Solver,
    start: float,
    end: float,
    parameters: Sequence[Tensor] = (),
) -> Solved:
    """Return the state after adaptive steps, NaN where these got nowhere: rates that explode, or too many steps.

    Raises:
        DataError: where torchdiffeq is missing.
    """
    package = torchdiffeq_module()
    count = 0

    def counted(t: Tensor, y: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return rates(t, y)

    times = torch.tensor([start, end], dtype=state.dtype, device=state.device)
    told = {
        "rtol": solver.rtol,
        "atol": solver.atol,
        "method": "dopri5",
        "options": {"max_num_steps": solver.most_steps},
    }
    try:
        if solver.adjoint and torch.is_grad_enabled():
            path = package.odeint_adjoint(
                counted, state, times, adjoint_params=tuple(parameters), **told
            )
        else:
            path = package.odeint(counted, state, times, **told)
    except AssertionError:  # its way of saying that steps underflow, or grow too many
        return Solved(torch.full_like(state, torch.nan), count)
    return Solved(path[-1], count)


def torchdiffeq_module() -> ModuleType:
    """Return torchdiffeq, imported here because it is optional.

    Raises:
        DataError: where it is missing.
    """
    try:
        import torchdiffeq
    except ImportError as error:
        raise DataError(
            "settings: adaptive steps need torchdiffeq, which is missing: "
            'pip install "brenier[flows]", or take settings with equal steps (rtol and map_rtol None)',
            argument="settings",
        ) from error
    found: ModuleType = torchdiffeq
    return found
