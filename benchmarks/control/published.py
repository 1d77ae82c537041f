"""The published settings, as far as the specification could read them from the public code."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from benchmarks.control.cases import Budget
from benchmarks.control.training import Made, control_of, finished, start_run
from brenier.control import (
    Bicycle,
    Consumption,
    ControlGradient,
    Controller,
    ControlProblem,
    ControlSearch,
    ControlSettings,
    ControlTask,
    Grid,
    Hamiltonian,
    Quadrotor,
)
from brenier.control.problems.habits import HabitHamiltonian
from brenier.solve import Solution
from brenier.training import Loss, Run
from brenier.training.resume import start_anew


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
        return self._ended(hamiltonian, u, steps)

    def _ended(self, hamiltonian: Hamiltonian, u: Tensor, steps: int) -> Solution:
        """Return controls as a solution, of which some may be none."""
        found = self.measure(hamiltonian, u)
        taken = torch.full_like(found.steps, steps)
        return dataclasses.replace(found, steps=taken, evaluations=(1 + steps) * len(u))


@dataclasses.dataclass(frozen=True)
class SoftplusSearch(PlainSearch):
    """The published search of consumption: steps in r, u = habit + softplus(r), from r = 0 until they are short.

    Attributes:
        size: of a step.
        sharpness: of the softplus.
    """

    sharpness: float = 5.0

    @torch.no_grad()
    def find(self, hamiltonian: Hamiltonian, start: Tensor) -> Solution:
        """Return where the steps end; the start is not used."""
        assert isinstance(hamiltonian, HabitHamiltonian)
        r, steps = torch.zeros_like(start), 0
        u = hamiltonian.habits + softplus(r, self.sharpness)
        while steps < self.max_steps:
            slope = (self.sharpness * r).sigmoid()
            step = self.size * slope * hamiltonian.gradient(u)
            r, steps = r - step, steps + 1
            u = hamiltonian.habits + softplus(r, self.sharpness)
            if float(torch.linalg.vector_norm(step, dim=-1).max()) < self.tol:
                break
        return self._ended(hamiltonian, u, steps)


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
    kind = SoftplusSearch if isinstance(problem, Consumption) else PlainSearch
    search = kind(
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
