"""The training of a controller, as a task: its initial states, its loss, and what it is judged by.

    J = E [ int_0^T L dt + w G(z(T)) ] + a E int_0^T |phi_t + H| dt + b E |phi(T, z(T)) - G(z(T))|

over rollouts that are differentiated from end to end. The factor w on the terminal cost grows from `terminal_start` to
one over the first part of training: where the terminal cost is a stiff penalty, most of a good path is learnt before it
counts in full. Rollouts may be coarse at first, too: with `coarse` = 4 in a quarter of the time steps, then in half of
them, then in all. What a controller is judged by, J at held-out initial states, always counts the terminal cost in full
and takes all time steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from brenier.control.checks import require_count, require_number
from brenier.control.controller import Controller, ImplicitController
from brenier.control.problem import ControlProblem
from brenier.control.rollout import Grid, Trajectory, roll_out, rolled
from brenier.errors import DataError
from brenier.solve import Solution
from brenier.training import Evaluation, Loss, Task


@dataclasses.dataclass(frozen=True)
class ControlSettings:
    """What a controller is trained by.

    Attributes:
        terminal_start: factor on the terminal cost at the first step; it grows geometrically to one.
        terminal_until: share of training after which it is one.
        coarse: the time steps of the grid are divided by so many at first; Euler's method, which is then too far off,
            is replaced by the midpoint rule.
        coarse_until: share of training after which all of them are taken; every division by two has an equal part.
        hjb_weight: of |phi_t + H| along trajectories.
        hjb_terminal_weight: of |phi - G| at their ends.
        held_out_states: initial states that training never sees, by which weights are selected.
        fixed_states: initial states that all batches are, or None to draw new ones at every step.
        segment: steps of a rollout whose graph is kept at once, see `brenier.control.rollout`; 0 for all.
        evaluate_every: training steps between two evaluations at the held-out states.
        patience: evaluations without a lower cost after which training stops. So many that it hardly does: new initial
            states are drawn at every step, so that nothing is overfitted, and while the rate is high a cost that is
            worse for a while says little about its end.
        max_rollbacks: times training may lose its way and go back before it gives up.
    """

    terminal_start: float = 1.0
    terminal_until: float = 0.5
    coarse: int = 1
    coarse_until: float = 0.7
    hjb_weight: float = 0.0
    hjb_terminal_weight: float = 0.0
    held_out_states: int = 128
    fixed_states: int | None = None
    segment: int = 0
    evaluate_every: int = 25
    patience: int = 1000
    max_rollbacks: int = 12

    def __post_init__(self) -> None:
        what = "the factor on the terminal cost at first"
        require_number("terminal_start", self.terminal_start, what)
        shares = ("terminal_until", "coarse_until")
        for name in (*shares, "hjb_weight", "hjb_terminal_weight"):
            what = f"the {name.replace('_', ' ')}"
            require_number(name, getattr(self, name), what, zero=True)
        counts = ("held_out_states", "evaluate_every", "patience", "max_rollbacks")
        for name in ("coarse", *counts):
            require_count(name, getattr(self, name), name.replace("_", " "))
        if self.fixed_states is not None:
            require_count("fixed_states", self.fixed_states, "initial states")
        require_count("segment", self.segment, "steps", zero=True)
        for name in shares:
            if getattr(self, name) > 1:
                raise DataError(
                    f"{name}: must be at most 1, all of training, got {getattr(self, name)!r}",
                    argument=name,
                )


class ControlTask(Task[Controller]):
    """Rollouts from initial states, and what they cost.

    Args:
        model: a controller.
        problem: what it is to control.
        grid: how time is divided.
        settings: the loss.
        generator: the only source of randomness.
        like: a tensor of the precision and on the device to compute in.
    """

    averages = ("train_cost", "unconverged", "mean_residual", "search_evaluations")

    def __init__(
        self,
        model: Controller,
        problem: ControlProblem,
        grid: Grid,
        settings: ControlSettings,
        generator: torch.Generator,
        like: Tensor,
    ) -> None:
        self.model, self.problem, self.grid = model, problem, grid
        self.settings, self.generator, self._like = settings, generator, like
        self.held_out = self._states(settings.held_out_states)
        fixed = settings.fixed_states
        self.fixed = None if fixed is None else self._states(fixed)
        self.progress = 0.0
        asks = settings.hjb_weight > 0 or settings.hjb_terminal_weight > 0
        if asks and not isinstance(model, ImplicitController):
            raise DataError(
                "hjb_weight: the controller has no value function to hold to the equation; leave the weights at zero"
            )

    def begin_step(self, progress: float) -> None:
        """Take in how far training has come, from 0 to 1."""
        self.progress = progress

    def terminal_factor(self) -> float:
        """Return the factor on the terminal cost."""
        first, until = self.settings.terminal_start, self.settings.terminal_until
        done = min(1.0, self.progress / until) if until else 1.0
        return float(first ** (1 - done))

    def grid_now(self) -> Grid:
        """Return how time is divided at this stage of training."""
        coarse, until = self.settings.coarse, self.settings.coarse_until
        if coarse < 2 or self.progress >= until:
            return self.grid
        stages = max(1, round(math.log2(coarse)))
        done = int(stages * self.progress / until)
        steps = max(1, round(self.grid.steps * 2**done / coarse))
        scheme = "midpoint" if self.grid.scheme == "euler" else self.grid.scheme
        return Grid(min(steps, self.grid.steps), scheme)

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        """Yield the loss of one batch of trajectories."""
        settings = self.settings
        z = self._states(rows) if self.fixed is None else self.fixed
        weights = settings.hjb_weight, settings.hjb_terminal_weight
        grid = self.grid_now()
        found = rolled(
            self.problem, self.model, z, grid, settings.segment, weights[0] > 0
        )
        terminal = self.problem.terminal_cost(found.final)
        costs = found.running + self.terminal_factor() * terminal
        value = costs.mean() + weights[0] * found.hjb.mean()
        if weights[1] and isinstance(self.model, ImplicitController):
            t = z.new_full((len(z),), self.problem.horizon)
            reached = self.model.value(found.final, t)
            value = value + weights[1] * (reached - terminal).abs().mean()
        record = {
            "train_cost": float((found.running + terminal).detach().mean()),
            **_of_searches(found.found),
        }
        finite = math.isfinite(float(value.detach()))
        fault = "" if finite else "the cost of a trajectory is not finite"
        yield Loss(value, [record], fault)

    @torch.no_grad()
    def evaluate(self, model: Controller) -> Evaluation:
        """Return the cost of trajectories from the held-out initial states."""
        found = self.trajectory(model)
        cost = found.cost
        record = {
            "running_cost": float(found.running.mean()),
            "terminal_cost": float(found.terminal.mean()),
            "held_out_unconverged": found.unconverged,
            "largest_residual": found.largest_residual,
        }
        return Evaluation(float(cost.mean()), (cost,), record)

    def trajectory(self, model: Controller) -> Trajectory:
        """Return the trajectories from the held-out initial states."""
        return roll_out(self.problem, model, self.held_out, self.grid)

    def state_dict(self) -> dict[str, Any]:
        """Return how far training has come."""
        return {"progress": self.progress}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take up how far training has come."""
        self.progress = float(state["progress"])

    def summary(self, row: Mapping[str, float]) -> str:
        """Return a row of the history as a progress bar shows it."""
        return (
            f"cost={row['value']:.5g}±{row['standard_error']:.1g} "
            f"unconverged={row['held_out_unconverged']:.1%}"
        )

    def _states(self, n: int) -> Tensor:
        """Draw initial states: (n, d)."""
        return self.problem.initial_states(n, self.generator).to(self._like)


def _of_searches(found: Sequence[Solution]) -> dict[str, float]:
    """Return what the searches of a rollout cost, and how they ended."""
    total = sum(each.status.numel() for each in found) or 1
    residual = sum(float(each.residual.sum()) for each in found)
    return {
        "unconverged": sum(each.unconverged for each in found) / total,
        "mean_residual": residual / total,
        "search_evaluations": sum(each.evaluations for each in found) / total,
    }
