"""How policies are made: by the estimator of the library, or without training."""

from __future__ import annotations

import dataclasses
import time
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.control.cases import Budget
from benchmarks.control.truth import KnownNetwork
from brenier.control import (
    Action,
    Consumption,
    Controller,
    ControlProblem,
    FeedbackPolicy,
    Grid,
    ImplicitController,
    OptimalControl,
    Quadrotor,
    ValueFunction,
)
from brenier.solve import Solution
from brenier.training import Run
from brenier.training.resume import start_anew


class Made(NamedTuple):
    """A policy, and how it was made.

    Attributes:
        policy: what acts.
        facts: numbers of a row.
        run: of its training, None where there was none.
    """

    policy: FeedbackPolicy
    facts: dict[str, Any]
    run: Run[Controller] | None = None


# ---- training


def control_of(
    problem: ControlProblem, seed: int, budget: Budget, **arguments: Any
) -> OptimalControl:
    """Return the estimator, not fitted."""
    return OptimalControl(
        problem,
        max_steps=budget.steps,
        max_time=budget.seconds,
        random_state=seed,
        **arguments,
    )


def start_run(control: OptimalControl) -> Run[Controller]:
    """Return the run that `control.fit()` makes, at its first step."""
    run, _ = control._prepared(start_anew(control.random_state))
    return run


def train(control: OptimalControl) -> Made:
    """Train as `control.fit()` does."""
    run = start_run(control)
    began = time.process_time()
    while not run.finished:
        run.advance()
    return finished(run, control.grid, time.process_time() - began)


def finished(run: Run[Controller], grid: Grid, cpu_seconds: float) -> Made:
    """Return what a run made."""
    trained = [row for row in run.history if row["step"]]
    last = trained[-1] if trained else run.history[-1]
    facts = {
        "steps": run.step,
        "train_seconds": run.seconds,
        "cpu_seconds": cpu_seconds,
        "step_seconds": (run.seconds - run.evaluation_seconds) / max(1, run.step),
        "stopped": run.finished,
        "rollbacks": run.rollbacks,
        "parameters": sum(part.numel() for part in run.task.model.parameters()),
        "train_unconverged": last["unconverged"] if trained else 0.0,
        "train_evaluations": last["search_evaluations"] if trained else 0.0,
    }
    return Made(FeedbackPolicy(run.result(), grid), facts, run)


# ---- without training


class Still(Controller):
    """Does the same at all times.

    Args:
        problem: what it acts on.
        control: what it does, (m,).
    """

    def __init__(self, problem: ControlProblem, control: Tensor) -> None:
        super().__init__()
        self.problem = problem
        self.control = nn.Parameter(control, requires_grad=False)

    def act(
        self,
        t: Tensor,
        z: Tensor,
        before: Tensor | None = None,
        known: Solution | None = None,
    ) -> Action:
        """Return the control for every state."""
        return Action(self.control.to(z).expand(len(z), -1))


class NoNetwork(nn.Module):
    """Zero: beside it the guess of a problem stands alone."""

    def __init__(self) -> None:
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros: (n, d + 1) -> (n,)."""
        return x @ self.zero.expand(x.shape[-1])


def untrained(method: str, problem: ControlProblem) -> Controller:
    """Return a controller that is not trained."""
    if method == "exact":
        return ImplicitController(ValueFunction(problem, KnownNetwork(problem)))
    if isinstance(problem, Consumption):
        guess = "linear" if method == "linear" else "even"
        other = dataclasses.replace(problem, guess=guess)
        return ImplicitController(ValueFunction(other, NoNetwork()))
    still = torch.zeros(problem.control_dim, dtype=torch.float64)
    if isinstance(problem, Quadrotor):
        still[::4] = problem.mass * problem.gravity
    return Still(problem, still)
