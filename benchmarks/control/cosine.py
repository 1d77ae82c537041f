"""Cosines between the gradient of Jacobian-free backpropagation and the exact one, along training by the former.

And whether the condition of the theorem on descent holds: cond(M M') < 1 / gamma, where T(u) = u - a grad_u H contracts
by gamma = max |I - a H_uu| and M is its derivative in the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.control.cases import Budget, Case, chosen, held_out
from benchmarks.control.policies import is_of
from benchmarks.control.rules import cost
from benchmarks.control.training import control_of, start_run
from benchmarks.harness import Choice, Column, Flags, Row, Table
from brenier.control import (
    ControlGradient,
    Controller,
    Grid,
    ImplicitController,
    roll_out,
)

PROBLEMS = ("exponential-10", "regulator", "quadrotor")
STEPS_ASKED = 400
CHECKPOINTS = 5


def problems(flags: Flags) -> Iterator[Choice]:
    for case in chosen(flags, PROBLEMS):
        yield Choice(f"{case.name}, cosine", case)


def methods(flags: Flags, case: Case) -> Iterator[Choice]:
    budget = Budget(STEPS_ASKED if flags.steps is None else flags.steps)
    yield Choice(f"one step, {budget}", budget)


def measure(case: Case, budget: Budget, seed: int, flags: Flags) -> dict[str, Any]:
    """Train, and stop on the way to compare gradients at the same initial states."""
    control = control_of(case.problem, seed, budget)
    run = start_run(control)
    z = held_out(case.problem, flags.batch, seed).float()
    stops = {budget.steps * k // (CHECKPOINTS - 1) for k in range(CHECKPOINTS)}
    found = []
    while not run.finished:
        if run.step in stops:
            stops.remove(run.step)
            found.append(compare(run.task.model, z, control.grid, flags.points))
        run.advance()
    lists = {name: [row[name] for row in found] for name in found[0]}
    return {
        **{f"{name}s": values for name, values in lists.items()},
        "least_cosine": min(lists["cosine"]),
        "first_cosine": lists["cosine"][0],
        "last_cosine": lists["cosine"][-1],
        "largest_gamma": max(lists["gamma"]),
        "largest_condition": max(lists["condition"]),
        "holds_at": sum(row["condition"] * row["gamma"] < 1 for row in found),
        "checkpoints": len(found),
        "steps": run.step,
    }


def compare(
    controller: Controller, z: Tensor, grid: Grid, points: int
) -> dict[str, float]:
    """Return the cosine of both gradients at states (n, d), gamma, and the largest cond(M M') at some points."""
    assert isinstance(controller, ImplicitController)
    own, exact = (
        gradient_by(controller, ControlGradient(rule), z, grid)
        for rule in ("one_step", "implicit")
    )
    gamma, condition = contraction(controller, z, grid, points)
    return {
        "cosine": float(torch.nn.functional.cosine_similarity(own, exact, dim=0)),
        "length": float(own.norm() / exact.norm()),
        "gamma": gamma,
        "condition": condition,
    }


def gradient_by(
    controller: ImplicitController, rule: ControlGradient, z: Tensor, grid: Grid
) -> Tensor:
    """Return the gradient of the mean cost in all parameters, by a rule: (p,), float64."""
    other = ImplicitController(controller.value, controller.search, rule)
    parameters = list(controller.value.parameters())
    parts = torch.autograd.grad(
        cost(controller.problem, other, z, grid), parameters, materialize_grads=True
    )
    return torch.cat([part.flatten().double() for part in parts])


def contraction(
    controller: ImplicitController, z: Tensor, grid: Grid, points: int
) -> tuple[float, float]:
    """Return max |I - a H_uu| along trajectories, and the largest cond(M M') of some points of them."""
    problem = controller.problem
    found = roll_out(problem, controller, z, grid)
    gamma = 0.0
    for t, states, u in zip(found.times, found.states, found.controls, strict=False):
        times = t.expand(len(z))
        with torch.no_grad():
            p = controller.value.jet(states, times).costate
            h = problem.hamiltonian(times, states, p)
            spectrum = torch.linalg.eigvalsh(h.hessian(u).double())
            shrunk = spectrum / h.curvature(u).double().unsqueeze(-1)
        gamma = max(gamma, float((1 - shrunk).abs().max()))
    steps = torch.linspace(0, grid.steps - 1, points).long()
    conditions = [
        condition(controller, found.times[k], found.states[k, i % len(z)])
        for i, k in enumerate(steps)
    ]
    return gamma, max(conditions)


def condition(controller: ImplicitController, t: Tensor, z: Tensor) -> float:
    """Return cond(M M') at a time and a state (d,), M = dT/dparameters."""
    own = ImplicitController(controller.value, controller.search, ControlGradient())
    with torch.enable_grad():
        u = own.act(t.expand(1), z.unsqueeze(0)).control[0]
    parameters = list(controller.value.parameters())
    rows = [
        torch.cat(
            [
                part.flatten().double()
                for part in torch.autograd.grad(
                    one, parameters, retain_graph=True, materialize_grads=True
                )
            ]
        )
        for one in u
    ]
    return float(torch.linalg.cond(torch.stack(rows)) ** 2)


def holds(row: Row) -> str | None:
    """Say at how many checkpoints the condition holds."""
    if row.get("holds_at") is None:
        return None
    return f"{row.get('holds_at')} of {row.get('checkpoints')}"


TABLE = Table(
    "control-cosine",
    "control",
    (
        Column("cosine at first", "first_cosine", ".4f", min),
        Column("least", "least_cosine", ".4f", min),
        Column("at last", "last_cosine", ".4f", min),
        Column("gamma", "largest_gamma", ".3f", max),
        Column("cond(M M')", "largest_condition", ".2g", max),
        Column("cond < 1 / gamma at", holds),
        Column("steps", "steps", ".0f"),
    ),
    where=lambda row: is_of("cosine", row),
)
