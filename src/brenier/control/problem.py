"""What a problem of optimal control is.

    min_u  int_0^T L(t, z, u) dt + G(z(T)),   z' = f(t, z, u),   z(0) = x,   lower(t, z) <= u <= upper(t, z)

with states z in R^d, controls u in R^m and initial states x drawn from a distribution. With costates p the Hamiltonian
is H(t, z, p, u) = L(t, z, u) + p . f(t, z, u); the optimal control minimises it, and the value function phi, whose
gradient in z is p along optimal trajectories, solves phi_t + min_u H = 0, phi(T, .) = G.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.control.hamiltonian import AutodiffHamiltonian, Hamiltonian
from brenier.errors import DataError


class Bounds(NamedTuple):
    """The least and the largest controls: (n, m) or what broadcasts to it; infinite where there is none."""

    lower: Tensor
    upper: Tensor

    def clip(self, u: Tensor) -> Tensor:
        """Return the nearest controls within: (n, m)."""
        return torch.maximum(torch.minimum(u, self.upper), self.lower)


@dataclasses.dataclass(frozen=True)
class ControlProblem(abc.ABC):
    """A problem of control on batches of states. A subclass is a frozen dataclass of its numbers.

    All functions take t (n,), z (n, d), u (n, m), and are made of operations of torch that have derivatives, in any
    precision and on any device.

    Attributes:
        horizon: T.
        steps: of the usual discretisation of [0, T].
    """

    horizon: float = 1.0
    steps: int = 50

    def __post_init__(self) -> None:
        if not (math.isfinite(self.horizon) and self.horizon > 0):
            raise DataError(
                f"horizon: must be a positive number, got {self.horizon!r}; it is the time at which control ends",
                argument="horizon",
            )
        if type(self.steps) is not int or self.steps < 1:
            raise DataError(
                f"steps: must be a whole number above zero, got {self.steps!r}; give the number of time steps",
                argument="steps",
            )

    @property
    @abc.abstractmethod
    def state_dim(self) -> int:
        """The number of states: d."""

    @property
    @abc.abstractmethod
    def control_dim(self) -> int:
        """The number of controls: m."""

    @abc.abstractmethod
    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return f: (n, d)."""

    @abc.abstractmethod
    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return L: (n,)."""

    @abc.abstractmethod
    def terminal_cost(self, z: Tensor) -> Tensor:
        """Return G: (n,)."""

    @abc.abstractmethod
    def initial_states(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw initial states: (n, d), float64, on the CPU."""

    def bounds(self, t: Tensor, z: Tensor) -> Bounds | None:
        """Return the least and the largest controls at times (n,) and states (n, d); by default there are none."""
        return None

    def first_control(self, t: Tensor, z: Tensor) -> Tensor:
        """Return controls within the bounds that a search may start from: (n, m), by default nearest to zero."""
        u = z.new_zeros(len(z), self.control_dim)
        bounds = self.bounds(t, z)
        return u if bounds is None else bounds.clip(u)

    def hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> Hamiltonian:
        """Return H(t, z, p, .), by default differentiated automatically; overridden where derivatives are known.

        Args:
            t: times (n,).
            z: states (n, d).
            p: costates (n, d).
        """
        return AutodiffHamiltonian(self, t, z, p)

    def value_guess(self, t: Tensor, z: Tensor) -> Tensor | None:
        """Return a guess of the value function that a value network may correct: (n,), or None, the default.

        It is differentiable in times (n,) and states (n, d). It matters where no control minimises H for a costate of
        the wrong sign.
        """
        return None

    def terminal_gradient(self, z: Tensor) -> Tensor:
        """Return grad G(z), differentiable where z has a graph: (n, d)."""
        with torch.enable_grad():
            at = z if z.requires_grad else z.detach().requires_grad_()
            value = self.terminal_cost(at).sum()
            return torch.autograd.grad(value, at, create_graph=z.requires_grad)[0]

    def positions(self, z: Tensor) -> Tensor | None:
        """Return where agents are in the plane or in space: (..., d) -> (..., agents, 2 or 3), or None."""
        return None

    def target_positions(self) -> Tensor | None:
        """Return where agents should end: (agents, 2 or 3), or None."""
        return None

    @property
    def state_names(self) -> Sequence[str]:
        """Names of the states, for people: d."""
        return [f"z{i}" for i in range(self.state_dim)]

    @property
    def control_names(self) -> Sequence[str]:
        """Names of the controls, for people: m."""
        return [f"u{i}" for i in range(self.control_dim)]
