"""Points that are pushed: by their velocity (integrators) or their acceleration (double integrators).

Their Hamiltonians have minimisers in closed form, and all but the quartic one a value function too, so that what is
learnt can be compared with the truth.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.linalg import vecdot, vector_norm

from brenier.control.checks import require_count, require_number
from brenier.control.known_hamiltonians import (
    ExponentialHamiltonian,
    QuadraticHamiltonian,
    QuarticHamiltonian,
    exponential_speed,
)
from brenier.control.problem import ControlProblem, UsualTraining
from brenier.control.problems.riccati import KnownByRiccati, LinearQuadratic


@dataclasses.dataclass(frozen=True)
class PushedPoint(ControlProblem):
    """A point that should end at the origin: G = terminal_weight |z|^2 / 2, initial states standard normal.

    Attributes:
        horizon: T.
        steps: of the usual discretisation of [0, T].
        dim: of the point.
        terminal_weight: of the squared length of the last state.
    """

    dim: int = 1
    terminal_weight: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("dim", self.dim, "dimensions of the point")
        what = "the weight of the terminal cost"
        require_number("terminal_weight", self.terminal_weight, what)

    def usual_training(self) -> UsualTraining:
        """Return what was found to work: where costs are smooth and mild, a high rate."""
        return UsualTraining(learning_rate=3e-2)

    @property
    def state_dim(self) -> int:
        """The number of states: dim."""
        return self.dim

    @property
    def control_dim(self) -> int:
        """The number of controls: dim."""
        return self.dim

    def terminal_cost(self, z: Tensor) -> Tensor:
        """Return G: (n,)."""
        return self.terminal_weight / 2 * vecdot(z, z)

    def terminal_gradient(self, z: Tensor) -> Tensor:
        """Return grad G: (n, d)."""
        return self.terminal_weight * z

    def initial_states(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw standard normal states: (n, d)."""
        return torch.randn(n, self.state_dim, generator=generator, dtype=torch.float64)

    def positions(self, z: Tensor) -> Tensor | None:
        """Return where the point is, in the plane or in space: (..., 1, 2 or 3), or None."""
        return z[..., None, : self.dim] if self.dim in (2, 3) else None

    def target_positions(self) -> Tensor | None:
        """Return the origin in the plane or in space: (1, 2 or 3), or None."""
        return torch.zeros(1, self.dim) if self.dim in (2, 3) else None

    @property
    def state_names(self) -> Sequence[str]:
        """Position 1, 2, ..."""
        return [f"pos_{i + 1}" for i in range(self.dim)]

    @property
    def control_names(self) -> Sequence[str]:
        """Push 1, 2, ..."""
        return [f"push_{i + 1}" for i in range(self.dim)]


@dataclasses.dataclass(frozen=True)
class QuadraticIntegrator(PushedPoint):
    """z' = u with L = |u|^2 / 2. Optimal controls are constant, so that Euler steps are exact."""

    steps: int = 20

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return u: (n, d)."""
        return u

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return |u|^2 / 2: (n,)."""
        return vecdot(u, u) / 2

    def hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> QuadraticHamiltonian:
        """Return |u|^2 / 2 + p . u."""
        return QuadraticHamiltonian(p)

    def value(self, t: Tensor, z: Tensor) -> Tensor:
        """Return the value function, differentiable: (n,)."""
        return vecdot(z, self.costate(t, z)) / 2

    def costate(self, t: Tensor, z: Tensor) -> Tensor:
        """Return the gradient of the value function in z, differentiable: (n, d)."""
        left = self.horizon - t
        weight = self.terminal_weight / (1 + self.terminal_weight * left)
        return weight.unsqueeze(-1) * z

    def optimal_cost(self, z: Tensor) -> Tensor:
        """Return the least cost from z (n, d) at time 0, on any grid: (n,)."""
        return self.value(z.new_zeros(len(z)), z)


@dataclasses.dataclass(frozen=True)
class ExponentialIntegrator(PushedPoint):
    """z' = u with L = exp(|u|^2 / 2), whose Hamiltonian is implicit but for Lambert's function.

    Optimal controls are constant, so that Euler steps are exact.
    """

    steps: int = 20

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return u: (n, d)."""
        return u

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return exp(|u|^2 / 2): (n,)."""
        return (vecdot(u, u) / 2).exp()

    def hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> ExponentialHamiltonian:
        """Return exp(|u|^2 / 2) + p . u."""
        return ExponentialHamiltonian(p)

    def value(self, t: Tensor, z: Tensor) -> Tensor:
        """Return the value function, differentiable: (n,)."""
        left, length = self.horizon - t, vector_norm(z, dim=-1)
        c = self.speed(left, length)
        miss = length - c * left
        return left * (c.square() / 2).exp() + self.terminal_weight / 2 * miss.square()

    def costate(self, t: Tensor, z: Tensor) -> Tensor:
        """Return the gradient of the value function in z, differentiable: (n, d)."""
        length = vector_norm(z, dim=-1).clamp(min=torch.finfo(z.dtype).tiny)
        c = self.speed(self.horizon - t, length)
        return (c * (c.square() / 2).exp() / length).unsqueeze(-1) * z

    def optimal_cost(self, z: Tensor) -> Tensor:
        """Return the least cost from z (n, d) at time 0, on any grid: (n,)."""
        return self.value(z.new_zeros(len(z)), z)

    def speed(self, left: Tensor, length: Tensor) -> Tensor:
        """Return the c of the best control -c z/|z|, with c exp(c^2 / 2) = a (|z| - c left), differentiable once.

        Args:
            left: the time that is left, (n,).
            length: |z|, (n,).
        """
        a = self.terminal_weight

        def step(left: Tensor, length: Tensor, c: Tensor) -> Tensor:
            grown = (c.square() / 2).exp()
            slope = (1 + c.square()) * grown + a * left.detach()
            return c - (c * grown - a * (length - c * left)) / slope

        with torch.no_grad():
            # Two bounds from above, from which Newton's steps go down to the root of a convex function.
            most = exponential_speed(a * length, 1.0)
            c = torch.minimum(most, a * length / (1 + a * left))
            for _ in range(20):
                c = step(left, length, c)
        # One more step, from a constant, has the derivatives of the root.
        return step(left, length, c)


@dataclasses.dataclass(frozen=True)
class PushedMass(PushedPoint):
    """A mass that is accelerated: z = (positions, velocities), both of which should end at zero."""

    @property
    def state_dim(self) -> int:
        """The number of states: 2 dim."""
        return 2 * self.dim

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return velocities and accelerations: (n, d)."""
        return torch.cat([z[:, self.dim :], u], -1)

    @property
    def state_names(self) -> Sequence[str]:
        """Position 1, 2, ..., velocity 1, 2, ..."""
        return [f"{part}_{i + 1}" for part in ("pos", "vel") for i in range(self.dim)]


@dataclasses.dataclass(frozen=True)
class DoubleIntegrator(PushedMass, KnownByRiccati):
    """A mass on `dim` axes with L = state_weight |z|^2 / 2 + |u|^2 / 2.

    Attributes:
        horizon: T.
        steps: of the usual discretisation of [0, T].
        dim: the number of axes.
        terminal_weight: of the squared length of the last state.
        state_weight: of the squared length of the state all along.
    """

    state_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        what = "the weight of the state in the running cost"
        require_number("state_weight", self.state_weight, what, zero=True)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return L: (n,)."""
        return (self.state_weight * vecdot(z, z) + vecdot(u, u)) / 2

    def hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> QuadraticHamiltonian:
        """Return |u|^2 / 2 + p . (0, u)."""
        return QuadraticHamiltonian(p[:, self.dim :])

    @functools.cached_property
    def matrices(self) -> LinearQuadratic:
        """The matrices of the dynamics and costs."""
        one, axes = np.eye(2 * self.dim), np.eye(self.dim)
        return LinearQuadratic(
            A=np.kron([[0, 1], [0, 0]], axes),
            B=np.kron([[0], [1]], axes),
            Q=self.state_weight * one,
            R=axes,
            F=self.terminal_weight * one,
            horizon=self.horizon,
        )


@dataclasses.dataclass(frozen=True)
class QuarticDoubleIntegrator(PushedMass):
    """A mass on `dim` axes with L = |u|^2 / 2 + |u|^4 / 4, whose Hamiltonian is implicit but for Cardano's formula."""

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return L: (n,)."""
        square = vecdot(u, u)
        return square / 2 + square.square() / 4

    def hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> QuarticHamiltonian:
        """Return |u|^2 / 2 + |u|^4 / 4 + p . (0, u)."""
        return QuarticHamiltonian(p[:, self.dim :])
