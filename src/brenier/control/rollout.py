"""Rollouts: states over time under a controller, and what they cost.

[0, T] is divided into equal steps, over which the control is held. A scheme integrates the state and the running cost
together over a step:

* "euler": z + h f(t, z, u) and h L(t, z, u), as in the discrete Riccati equation;
* "midpoint", "rk4": the explicit midpoint rule, and the classical method of Runge and Kutta of order four.

A rollout that is differentiated keeps the graph of every step; or, with `segment` steps at once, only the states
between segments and the controls found. Each segment is then computed again when its turn comes, without a search.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.control.checks import require_count
from brenier.control.controller import Action, Controller, ImplicitController
from brenier.control.problem import ControlProblem
from brenier.control.segments import Recomputed, Stretch
from brenier.errors import DataError
from brenier.solve import Solution

SCHEMES = ("euler", "midpoint", "rk4")
# (state after the kick) = disturb(step, t, state before it)
Disturb = Callable[[int, float, Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class Grid:
    """How time is divided.

    Attributes:
        steps: equal ones.
        scheme: one of `SCHEMES`.
        cost_after: whether the running cost of an Euler step is taken at the state after it, as published.
    """

    steps: int
    scheme: str = "euler"
    cost_after: bool = False

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise DataError(
                f"scheme: must be one of {', '.join(SCHEMES)}, got {self.scheme!r}",
                argument="scheme",
            )
        require_count("steps", self.steps, "time steps")
        if self.cost_after and self.scheme != "euler":
            raise DataError(
                f"cost_after: is for Euler steps, and the scheme is {self.scheme!r}; leave it False",
                argument="cost_after",
            )

    def advance(
        self, problem: ControlProblem, k: int, z: Tensor, u: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the states after step k, and what it costs: (n, d), (n,)."""
        h = problem.horizon / self.steps

        def rates(share: float, z: Tensor) -> tuple[Tensor, Tensor]:
            t = z.new_full((len(z),), (k + share) * h)
            return problem.dynamics(t, z, u), problem.running_cost(t, z, u)

        if self.scheme == "euler":
            speed, cost = rates(0.0, z)
            after = z + h * speed
            if self.cost_after:
                t = z.new_full((len(z),), k * h)
                cost = problem.running_cost(t, after, u)
            return after, h * cost
        first, cost = rates(0.0, z)
        if self.scheme == "midpoint":
            speed, cost = rates(0.5, z + h / 2 * first)
            return z + h * speed, h * cost
        second, cost_2 = rates(0.5, z + h / 2 * first)
        third, cost_3 = rates(0.5, z + h / 2 * second)
        fourth, cost_4 = rates(1.0, z + h * third)
        speed = (first + 2 * second + 2 * third + fourth) / 6
        return z + h * speed, h * (cost + 2 * cost_2 + 2 * cost_3 + cost_4) / 6


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """States over time from n initial states, what was done, what it costs, and how every search of a control ended.

    Attributes:
        times: (steps + 1,).
        states: (steps + 1, n, d).
        controls: (steps, n, m), each held over a step.
        running, terminal: (n,), the integral of L, and G.
        status: (steps, n), a `brenier.solve.Status` for every control; of a controller without a search all converged.
        residual: (steps, n), |grad_u H| relative to 1 + |f_u' p|, zero without a search.
        evaluations: of grad_u H, for all controls together.
    """

    times: Tensor
    states: Tensor
    controls: Tensor
    running: Tensor
    terminal: Tensor
    status: Tensor
    residual: Tensor
    evaluations: int

    @property
    def cost(self) -> Tensor:
        """Running and terminal cost together: (n,)."""
        return self.running + self.terminal

    @property
    def unconverged(self) -> float:
        """The share of controls whose search did not converge."""
        return float((self.status != 0).double().mean())

    @property
    def largest_residual(self) -> float:
        """The largest |grad_u H|, relative to 1 + |f_u' p|."""
        return float(self.residual.max())


@torch.no_grad()
def roll_out(
    problem: ControlProblem,
    controller: Controller,
    z: Tensor,
    grid: Grid,
    disturb: Disturb | None = None,
) -> Trajectory:
    """Return the trajectories from initial states (n, d).

    Args:
        problem: the dynamics and the costs.
        controller: acts at the beginning of every step.
        z: initial states.
        grid: how time is divided.
        disturb: (step, t, z) -> z, what happens to the states before the controller acts, or None.
    """
    h = problem.horizon / grid.steps
    states, controls, found = [z], list[Tensor](), list[Solution]()
    running = z.new_zeros(len(z))
    before: Tensor | None = None
    for k in range(grid.steps):
        if disturb is not None:
            z = _kicked(disturb, k, k * h, z)
            states[-1] = z
        action = controller.act(z.new_full((len(z),), k * h), z, before, None)
        u = before = action.control
        z, cost = grid.advance(problem, k, z, u)
        running = running + cost
        states.append(z)
        controls.append(u)
        if action.found is not None:
            found.append(action.found)
    nothing = torch.zeros(grid.steps, len(z), device=z.device)
    return Trajectory(
        times=h * torch.arange(grid.steps + 1, dtype=z.dtype, device=z.device),
        states=torch.stack(states),
        controls=torch.stack(controls),
        running=running,
        terminal=problem.terminal_cost(z),
        status=torch.stack([each.status for each in found])
        if found
        else nothing.long(),
        residual=torch.stack([each.residual for each in found])
        if found
        else nothing.to(z),
        evaluations=sum(each.evaluations for each in found),
    )


def _kicked(disturb: Disturb, k: int, t: float, z: Tensor) -> Tensor:
    """Return the states after what happens to them.

    Raises:
        DataError: where these are no states.
    """
    found = disturb(k, t, z)
    if not isinstance(found, Tensor) or found.shape != z.shape:
        kind = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise DataError(
            f"disturb: must return states, a tensor of shape {tuple(z.shape)}, got {kind} in step {k}",
            argument="disturb",
        )
    return found.to(z)


class Rolled(NamedTuple):
    """What a rollout that is differentiated gives.

    Attributes:
        running: (n,), the integral of L.
        final: (n, d), the states at T.
        hjb: (n,), the integral of |phi_t + H|, zero unless asked for.
        found: how every search ended.
    """

    running: Tensor
    final: Tensor
    hjb: Tensor
    found: list[Solution]


def rolled(
    problem: ControlProblem,
    controller: Controller,
    z: Tensor,
    grid: Grid,
    segment: int = 0,
    hjb: bool = False,
) -> Rolled:
    """Return what trajectories from initial states (n, d) cost, with a graph to the controller's parameters.

    Args:
        problem: the dynamics and the costs.
        controller: acts at the beginning of every step.
        z: initial states.
        grid: how time is divided.
        segment: steps whose graph is kept at once; 0 for all.
        hjb: whether |phi_t + H| is asked for.
    """
    found: list[Solution | None] = [None] * grid.steps
    h = problem.horizon / grid.steps

    def steps(first: int, last: int, z: Tensor, before: Tensor | None) -> Stretch:
        running, gap = z.new_zeros(len(z)), z.new_zeros(len(z))
        for k in range(first, last):
            t = z.new_full((len(z),), k * h)
            action = controller.act(t, z, before, found[k])
            found[k] = action.found
            if hjb and action.jet is not None:
                gap = gap + h * hjb_gap(problem, t, z, action)
            before = action.control.detach()
            z, cost = grid.advance(problem, k, z, action.control)
            running = running + cost
        return Stretch(z, running, gap, action.control.detach())

    before: Tensor | None = None
    running, gap = z.new_zeros(len(z)), z.new_zeros(len(z))
    length = segment or grid.steps
    weights = [part for part in controller.parameters() if part.requires_grad]
    again = segment > 0 and torch.is_grad_enabled() and len(weights) > 0
    for first in range(0, grid.steps, length):
        part = functools.partial(steps, first, min(first + length, grid.steps))
        z, cost, more, before = (
            Recomputed.apply(part, before, z, *weights) if again else part(z, before)
        )
        running, gap = running + cost, gap + more
    return Rolled(running, z, gap, [each for each in found if each is not None])


def hjb_gap(problem: ControlProblem, t: Tensor, z: Tensor, action: Action) -> Tensor:
    """Return |phi_t + H(t, z, grad phi, u)|, zero for the value function and the control that minimises H: (n,)."""
    if action.jet is None:
        raise DataError(
            "action: has no value function, so that nothing can be compared"
        )
    energy = _energy(problem, t, z, action.control, action.jet.costate)
    return (action.jet.speed + energy).abs()


@torch.no_grad()
def equation_along(
    controller: ImplicitController, found: Trajectory
) -> tuple[float, float]:
    """Return the mean |phi_t + H| along trajectories, and the mean |H| that it is compared with."""
    problem = controller.problem
    gap = size = 0.0
    for t, z, u in zip(found.times, found.states, found.controls, strict=False):
        times = t.expand(len(z))
        jet = controller.value.jet(z, times)
        energy = _energy(problem, times, z, u, jet.costate)
        gap += float((jet.speed + energy).abs().mean())
        size += float(energy.abs().mean())
    steps = len(found.controls)
    return gap / steps, size / steps


def _energy(
    problem: ControlProblem, t: Tensor, z: Tensor, u: Tensor, p: Tensor
) -> Tensor:
    """Return H(t, z, p, u), nothing left out: (n,)."""
    pulled = torch.linalg.vecdot(p, problem.dynamics(t, z, u))
    return problem.running_cost(t, z, u) + pulled
