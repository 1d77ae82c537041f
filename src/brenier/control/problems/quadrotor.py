"""Quadrotors: a swarm whose control cost is an exponential, so that the optimal control has no elementary formula."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from brenier.control.checks import require_number
from brenier.control.known_hamiltonians import ExponentialHamiltonian
from brenier.control.problem import UsualTraining
from brenier.control.problems.swarm import (
    Swarm,
    grid,
    numbered,
    quarter_turn,
)
from brenier.errors import DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quadrotor(Swarm):
    """N quadrotors fly to their targets and come to rest there: d = 12 N, m = 4 N, agent by agent.

    An agent's state is its position x, the angles psi, theta, phi, its velocity v, and the rates of the angles; its
    control is the thrust and the accelerations of the angles. Thrust may be negative; nothing is bounded.

        x' = v,  angles' = rates,  rates' = (u2, u3, u4),  v' = u1 / mass * direction(angles) - (0, 0, gravity)
        L = exp(|u|^2 / (2 N)) + interaction * W(x),  G = terminal_weight |z - z*|^2 / (4 N)

    W (see `swarm.interaction`) does not depend on u, and leaves the minimiser of the Hamiltonian as it is.

    Layout "point", as published: all fly from near the origin to one target, so that they end in one place. Layout
    "grid": half the agents end on a grid in a plane of constant x1, half on a second one behind it. They start on the
    same grids nearer to x1 = 0, turned by a right angle about the axis through their middle. Paths cross, and agents
    that fly straight and in step stay apart by at least their distance at the end over the root of 2. (The published
    starts are the targets mirrored in x2 and x3, so that all straight paths of a grid meet in one point at one time.)

    Attributes:
        agents: N, even where layout is "grid".
        terminal_weight: the weight of G.
        interaction: the weight of W.
        radius: how far agents are felt by each other.
        mass: of one agent.
        gravity: downwards, in x3.
        target: where all agents end in the layout "point".
        start_spread: standard deviation of positions and angles at the start.
        largest_deviation: where those of the layout "grid" are cut off, in standard deviations, so that none collide.
        layout: "point" or "grid".
    """

    agent_states, agent_controls, axes = 12, 4, 3

    horizon: float = 4.5
    steps: int = 160
    terminal_weight: float = 1000.0
    interaction: float = 0.1
    mass: float = 0.5
    gravity: float = 1.0
    target: tuple[float, ...] = (2.0, 2.0, 2.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("mass", self.mass, "the mass of an agent")
        require_number("gravity", self.gravity, "the gravity", zero=True)
        if self.layout == "grid" and self.agents % 2:
            raise DataError(
                f"agents: must be even where layout is 'grid', got {self.agents}; half of them end on each grid",
                argument="agents",
            )

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return f: (n, 12 N)."""
        state, control = self._each(z), u.unflatten(-1, (self.agents, 4))
        push = self._direction(state) * (control[..., :1] / self.mass)
        weight = push.new_tensor([0.0, 0.0, self.gravity])
        parts = [state[..., 6:9], state[..., 9:], push - weight, control[..., 1:]]
        return torch.cat(parts, -1).flatten(-2)

    def effort(self, u: Tensor) -> Tensor:
        """Return what controls cost: (n,)."""
        return torch.exp(u.square().sum(-1) / (2 * self.agents))

    def terminal_cost(self, z: Tensor) -> Tensor:
        """Return G: (n,)."""
        miss = (z - self._end().to(z)).square().sum(-1)
        return self.terminal_weight * miss / (4 * self.agents)

    def hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> ExponentialHamiltonian:
        """Return exp(|u|^2 / (2 N)) + b . u, with b = f_u' p."""
        state, costate = self._each(z), self._each(p)
        lift = (self._direction(state) * costate[..., 6:9]).sum(-1, keepdim=True)
        b = torch.cat([lift / self.mass, costate[..., 9:]], -1).flatten(-2)
        return ExponentialHamiltonian(b, float(self.agents))

    def initial_states(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw initial states at rest, positions and angles spread normally: (n, 12 N), float64, on the CPU."""
        states = torch.zeros(n, self.agents, 12, dtype=torch.float64)
        states[..., :6] = self._start_noise(n, 6, generator)
        if self.layout == "grid":
            states[..., :3] += self._places()[0]
        return states.flatten(1)

    def usual_training(self) -> UsualTraining:
        """Return what was found to work for one quadrotor: coarse rollouts first.

        Of many agents, whose paths were not yet learnt in minutes, few time steps are kept in memory.
        """
        return UsualTraining(
            max_steps=2000,
            batch_size=16,
            learning_rate=3e-2,
            coarse=4,
            segment=self._segment(16),
        )

    def target_positions(self) -> Tensor:
        """Return where agents should end: (N, 3), float64."""
        if self.layout == "grid":
            return self._places()[1]
        return torch.tensor(self.target, dtype=torch.float64).repeat(self.agents, 1)

    @property
    def state_names(self) -> Sequence[str]:
        """Names of the states, with the agent's number where there are several."""
        axes = ("x1", "x2", "x3", "psi", "theta", "phi", "v1", "v2", "v3")
        return numbered(self.agents, (*axes, "rate psi", "rate theta", "rate phi"))

    @property
    def control_names(self) -> Sequence[str]:
        """Names of the controls, with the agent's number where there are several."""
        turns = (f"acceleration of {angle}" for angle in ("psi", "theta", "phi"))
        return numbered(self.agents, ("thrust", *turns))

    @staticmethod
    def _direction(state: Tensor) -> Tensor:
        """Return the direction of thrust: (..., 12) -> (..., 3)."""
        sines, cosines = state[..., 3:6].sin(), state[..., 3:6].cos()
        (s1, s2, s3), (c1, c2, c3) = sines.unbind(-1), cosines.unbind(-1)
        tilt = s2 * c3
        return torch.stack([s1 * s3 + c1 * tilt, s1 * tilt - c1 * s3, c2 * c3], -1)

    def _end(self) -> Tensor:
        """Return z*, at rest at the targets: (12 N,), float64."""
        end = torch.zeros(self.agents, 12, dtype=torch.float64)
        end[:, :3] = self.target_positions()
        return end.flatten()

    def _places(self) -> tuple[Tensor, Tensor]:
        """Return starts and targets of the layout "grid": (N, 3) each, float64."""
        few = self.agents <= 6
        # As published for 6 and for 100 agents; with other numbers grids grow so that the spacing stays.
        size = 6.0 * math.sqrt(self.agents / 100)
        ahead, width, height = (2.0, 5.0, 3.0) if few else (3.0, size, size)
        shift = (0.5, -1.0, -1.5) if few else (1.0, -2.0, -1.5)
        middle = 3.5 if few else 3.0
        flat = grid(self.agents // 2, width, height)
        centre = torch.tensor([ahead, 0.0, middle], dtype=torch.float64)
        front = torch.cat([torch.zeros_like(flat[:, :1]), flat], -1)
        both = torch.cat([front, front + torch.tensor(shift, dtype=torch.float64)])
        turned = torch.cat([both[:, :1], quarter_turn(both[:, 1:])], -1)
        back = centre - torch.tensor([ahead, 0.0, 0.0], dtype=torch.float64)
        return turned + back, both + centre
