"""How policies are made: the default of the library, the published settings, and those that need no training."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.control.cases import Budget, Case
from benchmarks.control.truth import KnownNetwork
from brenier.control import (
    Action,
    Bicycle,
    Consumption,
    ControlGradient,
    Controller,
    ControlProblem,
    ControlSearch,
    ControlSettings,
    ControlTask,
    FeedbackPolicy,
    Grid,
    Hamiltonian,
    ImplicitController,
    KnownValue,
    OptimalControl,
    Quadrotor,
    ValueFunction,
)
from brenier.solve import Solution
from brenier.training import Loss, Run
from brenier.training.resume import start_anew

TRAINED = ("default", "implicit", "published")
METHODS = (*TRAINED, "exact", "linear", "nothing")


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


def available(method: str, problem: ControlProblem) -> bool:
    """Say whether a problem has a method."""
    if method == "published":
        return type(problem) in PUBLISHED
    if method == "exact":
        return isinstance(problem, KnownValue)
    if method == "linear":
        return isinstance(problem, Consumption)
    return True


@functools.lru_cache(maxsize=8)
def made(case: Case, method: str, seed: int, budget: Budget) -> Made:
    """Return the policy of a method; of one key it is made once, for all tables."""
    problem = case.problem
    if method == "published":
        return train_as_published(problem, seed, budget)
    if method in TRAINED:
        return train(control_of(problem, seed, budget, **_gradient(method)))
    return Made(FeedbackPolicy(_untrained(method, problem)), {})


def _gradient(method: str) -> dict[str, Any]:
    """Return what differs from the default."""
    return {} if method == "default" else {"gradient": method}


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


# ---- as published


class Published(NamedTuple):
    """The settings of the public code, read from it by the specification.

    Attributes:
        width: of the network.
        batch: initial states, the same in all steps.
        rate: of Adam.
        size, most, tol: of the gradient steps of a search.
        tracked: applications of T after the first one that carry a graph.
        hjb: the weights of the equation along trajectories, and at their ends.
    """

    width: int
    batch: int
    rate: float
    size: float
    most: int
    tol: float
    tracked: int
    hjb: tuple[float, float] = (0.0, 0.0)


PUBLISHED = {
    Quadrotor: Published(96, 50, 1e-2, 1e-4, 499, 0.1, 1),
    Bicycle: Published(100, 100, 5e-4, 5e-5, 999, 0.1, 1, (1e-4, 1e-2)),
    Consumption: Published(50, 128, 1e-3, 1e-4, 200, 1e-4, 0),
}


@dataclasses.dataclass(frozen=True)
class PlainSearch(ControlSearch):
    """The published search, without what `brenier.solve` does beside it: steps of one size until all rows are done.

    Attributes:
        size: of a step.
    """

    size: float = 1e-4

    @torch.no_grad()
    def find(self, hamiltonian: Hamiltonian, start: Tensor) -> Solution:
        """Return where the steps from a start (n, m) end."""
        u, steps = start, 0
        while steps < self.max_steps:
            gradient = hamiltonian.gradient(u)
            if float(torch.linalg.vector_norm(gradient, dim=-1).max()) < self.tol:
                break
            u, steps = u - self.size * gradient, steps + 1
        found = self.measure(hamiltonian, u)
        taken = torch.full_like(found.steps, steps)
        return dataclasses.replace(found, steps=taken, evaluations=(1 + steps) * len(u))


class PlateauTask(ControlTask):
    """Remembers the last loss, by which the published rate falls."""

    last = math.inf

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        """Yield the loss of one batch of trajectories."""
        for loss in super().losses(rows, rate):
            self.last = float(loss.value.detach())
            yield loss


class Plateau:
    """Halves the rate of a run after so many steps without a loss that is lower by a ten-thousandth."""

    def __init__(self, patience: int = 10) -> None:
        self.patience, self.best, self.waited = patience, math.inf, 0

    def after_step(self, run: Run[Controller], loss: float) -> None:
        """Take in the loss of a step."""
        if loss < self.best - 1e-4 * abs(self.best) or self.best == math.inf:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            run.rate_factor /= 2
            self.waited = 0


def train_as_published(problem: ControlProblem, seed: int, budget: Budget) -> Made:
    """Train by the published settings; but bounds clip, the equation has the right sign, and held-out costs select."""
    known = PUBLISHED[type(problem)]
    search = PlainSearch(
        tol=known.tol,
        relative=False,
        max_steps=known.most,
        exact=False,
        warm=False,
        size=known.size,
    )
    hjb, end = known.hjb
    settings = ControlSettings(
        hjb_weight=hjb,
        hjb_terminal_weight=end,
        fixed_states=known.batch,
        patience=10**6,
    )
    control = control_of(
        problem,
        seed,
        budget,
        gradient=ControlGradient(step=known.size, tracked_steps=known.tracked),
        search=search,
        width=known.width,
        batch_size=known.batch,
        optimizer=functools.partial(torch.optim.Adam, lr=known.rate),
        settings=settings,
    )
    control.grid = Grid(problem.steps, cost_after=True)
    usual, start = start_run(control), start_anew(seed)
    like = next(usual.task.model.parameters()).detach()
    task = PlateauTask(
        usual.task.model, problem, control.grid, settings, start.generator, like
    )
    constant = dataclasses.replace(
        usual.settings, schedule=lambda progress: 1.0, ema_decay=0.0, clip=math.inf
    )
    run: Run[Controller] = Run(task, constant, start.generator)
    plateau, began = Plateau(), time.process_time()
    while not run.finished:
        run.advance()
        plateau.after_step(run, task.last)
    return finished(run, Grid(problem.steps), time.process_time() - began)


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


def _untrained(method: str, problem: ControlProblem) -> Controller:
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
