"""How good a policy is: its cost over the optimum, whether its controls minimise, whether its costates are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vector_norm

from benchmarks.control import truth
from benchmarks.control.cases import Case, held_out
from benchmarks.harness import Flags
from brenier.control import (
    Controller,
    FeedbackPolicy,
    Grid,
    ImplicitController,
    KnownValue,
    Trajectory,
    equation_along,
    roll_out,
)

BELOW = 1e-3  # of the optimum: a cost that is lower by more is a mistake


def states_of(case: Case, seed: int, flags: Flags) -> Tensor:
    """Return held-out initial states: more where the least cost has a closed form (n, d)."""
    closed = truth.is_closed(case.problem)
    return held_out(case.problem, flags.states if closed else flags.hard_states, seed)


def judge(
    policy: FeedbackPolicy, case: Case, seed: int, flags: Flags
) -> dict[str, Any]:
    """Return what a policy costs at held-out initial states, and how far it is from optimal."""
    z0 = states_of(case, seed, flags)
    found = follow(policy, z0)
    least = truth.least_costs(case.problem, z0, flags.starts)
    return {
        **costs_over(found.cost, least),
        **searches(found),
        "hjb_gap": hjb_gap(policy.controller, found),
        "costate_error": costate_error(policy.controller, z0),
    }


def follow(policy: FeedbackPolicy, z0: Tensor) -> Trajectory:
    """Return a policy's trajectories in the problem's own steps; what does not converge is a number, no warning."""
    grid = Grid(policy.problem.steps)
    return roll_out(policy.problem, policy.controller, z0.to(policy.like), grid)


def searches(found: Trajectory) -> dict[str, Any]:
    """Return how the searches of controls ended. `unconverged` is a count."""
    return {
        "unconverged": int((found.status != 0).sum()),
        "unconverged_percent": 100 * found.unconverged,
        "largest_residual": found.largest_residual,
    }


def costs_over(cost: Tensor, least: np.ndarray | None) -> dict[str, Any]:
    """Return mean costs and their ratios to the least (n,), which may be unknown."""
    own = cost.double().numpy()
    facts: dict[str, Any] = {"cost": float(own.mean()), "held_out": len(own)}
    if least is None:
        return facts
    return facts | {
        "optimum": float(least.mean()),
        "ratio": float(own.mean() / least.mean()),
        "worst_ratio": float((own / least).max()),
        "below": int((own < (1 - BELOW) * least).sum()),
    }


def hjb_gap(controller: Controller, found: Trajectory) -> float | None:
    """Return the mean of |phi_t + H| along trajectories over that of |H|, or None without a value function."""
    if not isinstance(controller, ImplicitController):
        return None
    gap, size = equation_along(controller, found)
    return gap / size


@torch.no_grad()
def costate_error(controller: Controller, z0: Tensor) -> float | None:
    """Return the mean of |grad phi - grad phi*| along optimal trajectories over that of |grad phi*|, or None."""
    problem: Any = controller.problem
    if not isinstance(controller, ImplicitController):
        return None
    if not isinstance(problem, KnownValue):
        return None
    like = next(controller.parameters())
    errors, sizes = [], []
    for t, z in zip(*truth.exact_trajectory(problem, z0), strict=True):
        times = t.expand(len(z))
        known = problem.costate(times, z)
        own = controller.value.jet(z.to(like), times.to(like)).costate.double()
        errors.append(vector_norm(own - known, dim=-1))
        sizes.append(vector_norm(known, dim=-1))
    return float(torch.stack(errors).mean() / torch.stack(sizes).mean())
