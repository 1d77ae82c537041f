"""Bicycles: a swarm whose Hamiltonian is not convex in the steering angle."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from brenier.control.checks import require_number
from brenier.control.problem import Bounds, UsualTraining
from brenier.control.problems.steering import BicycleHamiltonian, steering_bounds
from brenier.control.problems.swarm import (
    Swarm,
    grid,
    numbered,
    quarter_turn,
    require_choice,
)
from brenier.errors import DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bicycle(Swarm):
    """N bicycles ride to their targets: d = 4 N, m = 2 N, agent by agent.

    An agent's state is its position (x, y), its heading theta and its speed v; its control is the steering angle delta,
    bounded, and the acceleration a.

        x' = v cos(theta),  y' = v sin(theta),  theta' = v / wheelbase tan(delta),  v' = a
        L = |u|^2 / 2 + interaction * W(x, y),  G = terminal_weight / 2 sum_i |(x, y)_i - target_i|^2

    Layout "point", as published: all start near the origin with heading and speed 0.1 and ride to one target. With
    start "reversed" they head the other way, with heading pi. Layout "grid": targets lie on a square grid around
    `target`, starts on the same grid around the origin turned by a right angle, so that paths cross, yet agents that
    ride straight and in step stay apart by at least spacing over the root of 2. They start heading for their targets,
    or away from them.

    Attributes:
        agents: N.
        terminal_weight: the weight of G.
        interaction: the weight of W.
        radius: how far agents are felt by each other.
        wheelbase: of one bicycle.
        start: "gentle" or "reversed".
        largest_steering: bound on |delta|, less than pi/2. At most 0.6532, it makes the policy continuous in p.
        target: where all agents end in the layout "point", and the middle of the targets in the layout "grid".
        start_spread: standard deviation of positions at the start.
        start_speed: v at the start.
        largest_deviation: where those of the layout "grid" are cut off, in standard deviations, so that none collide.
        layout: "point" or "grid".
        spacing: of the grid.
    """

    agent_states, agent_controls, axes = 4, 2, 2

    horizon: float = 4.0
    steps: int = 60
    terminal_weight: float = 500.0
    interaction: float = 5.0
    wheelbase: float = 0.05
    start: str = "gentle"
    largest_steering: float = math.pi / 2 - 0.25
    target: tuple[float, ...] = (1.0, 1.0)
    start_speed: float = 0.1
    spacing: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("wheelbase", self.wheelbase, "the length of a bicycle")
        require_number("spacing", self.spacing, "the spacing of the grid")
        bound = "the bound on the steering angle"
        require_number("largest_steering", self.largest_steering, bound)
        require_number("start_speed", self.start_speed, "the start speed", zero=True)
        require_choice("start", self.start, ("gentle", "reversed"))
        if self.largest_steering >= math.pi / 2:
            raise DataError(
                f"largest_steering: must be below pi/2, got {self.largest_steering!r}; there its tangent has no bound",
                argument="largest_steering",
            )

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return f: (n, 4 N)."""
        _, _, heading, speed = self._each(z).unbind(-1)
        delta, a = u.unflatten(-1, (self.agents, 2)).unbind(-1)
        turn = speed / self.wheelbase * delta.tan()
        parts = [speed * heading.cos(), speed * heading.sin(), turn, a]
        return torch.stack(parts, -1).flatten(-2)

    def effort(self, u: Tensor) -> Tensor:
        """Return what controls cost: (n,)."""
        return u.square().sum(-1) / 2

    def terminal_cost(self, z: Tensor) -> Tensor:
        """Return G: (n,)."""
        miss = self.positions(z) - self.target_positions().to(z)
        return self.terminal_weight / 2 * miss.square().sum((-2, -1))

    def bounds(self, t: Tensor, z: Tensor) -> Bounds:
        """Return the bound on delta, the same at all times and states: (2 N,)."""
        return steering_bounds(z[..., : self.control_dim], self.largest_steering)

    def hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> BicycleHamiltonian:
        """Return H(t, z, p, .) with known derivatives and minimisers."""
        costate = self._each(p)
        q = costate[..., 2] * self._each(z)[..., 3] / self.wheelbase
        pulled = torch.stack([q, costate[..., 3]], -1).flatten(-2)
        return BicycleHamiltonian(pulled, self.largest_steering)

    def initial_states(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw initial states, positions spread normally: (n, 4 N), float64, on the CPU."""
        turned = self.start == "reversed"
        states = torch.empty(n, self.agents, 4, dtype=torch.float64)
        states[..., :2] = self._start_noise(n, 2, generator)
        states[..., 2] = math.pi if turned else 0.1
        states[..., 3] = self.start_speed
        if self.layout == "grid":
            states[..., :2] += quarter_turn(self._grid())
            way = self.target_positions() - quarter_turn(self._grid())
            states[..., 2] = torch.atan2(way[:, 1], way[:, 0]) + math.pi * turned
        return states.flatten(1)

    def usual_training(self) -> UsualTraining:
        """Return what was found to work for one bicycle, which turns so fast that only small steps hold on.

        Of many agents, whose paths were not yet learnt in minutes, few time steps are kept in memory.
        """
        return UsualTraining(
            max_steps=1500,
            learning_rate=3e-3,
            terminal_start=1e-3,
            coarse=2,
            segment=self._segment(12),
        )

    def target_positions(self) -> Tensor:
        """Return where agents should end: (N, 2), float64."""
        middle = torch.tensor(self.target, dtype=torch.float64).repeat(self.agents, 1)
        return middle + self._grid() if self.layout == "grid" else middle

    @property
    def state_names(self) -> Sequence[str]:
        """Names of the states, with the agent's number where there are several."""
        return numbered(self.agents, ("x", "y", "heading", "speed"))

    @property
    def control_names(self) -> Sequence[str]:
        """Names of the controls, with the agent's number where there are several."""
        return numbered(self.agents, ("steering", "acceleration"))

    def _grid(self) -> Tensor:
        """Return the square grid around the origin: (N, 2), float64."""
        columns = math.ceil(math.sqrt(self.agents))
        rows = math.ceil(self.agents / columns)
        return grid(
            self.agents, self.spacing * (columns - 1), self.spacing * (rows - 1)
        )
