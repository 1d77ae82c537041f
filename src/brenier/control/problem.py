"""What a problem of optimal control is.

    min_u  int_0^T L(t, z, u) dt + G(z(T)),   z' = f(t, z, u),   z(0) = x,   lower(t, z) <= u <= upper(t, z)

with states z in R^d, controls u in R^m and initial states x drawn from a distribution. With costates p the Hamiltonian
is H(t, z, p, u) = L(t, z, u) + p . f(t, z, u); the optimal control minimises it, and the value function phi, whose
gradient in z is p along optimal trajectories, solves phi_t + min_u H = 0, phi(T, .) = G.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from brenier.control.checks import require_count, require_number
from brenier.control.hamiltonian import AutodiffHamiltonian, Hamiltonian
from brenier.errors import DataError


class Bounds(NamedTuple):
    """The least and the largest controls: (n, m) or what broadcasts to it; infinite where there is none."""

    lower: Tensor
    upper: Tensor

    def clip(self, u: Tensor) -> Tensor:
        """Return the nearest controls within: (n, m)."""
        return torch.maximum(torch.minimum(u, self.upper), self.lower)

    def in_order(self) -> Bounds:
        """Return the bounds themselves. NaN, of states that overflowed, is not judged here.

        Raises:
            DataError: where one crosses the other.
        """
        crossed = torch.atleast_1d(self.lower > self.upper)
        if not bool(crossed.any()):
            return self
        place = crossed.nonzero()[0].tolist()
        lower, upper = (
            float(part.broadcast_to(crossed.shape)[tuple(place)]) for part in self
        )
        raise DataError(
            f"bounds: lower exceeds upper for control {place[-1]} ({lower:g} > {upper:g}); exchange them",
            argument="bounds",
        )


@dataclasses.dataclass(frozen=True)
class ControlProblem(abc.ABC):
    """A problem of control on batches of states. A subclass is a frozen dataclass of its numbers, JSON values.

    All functions take t (n,), z (n, d), u (n, m), and are made of operations of torch that have derivatives, in any
    precision and on any device. Where the numbers of states and controls are fixed, `state_dim = 4` will do.

    Attributes:
        horizon: T.
        steps: of the usual discretisation of [0, T].
    """

    horizon: float = 1.0
    steps: int = 50

    def __post_init__(self) -> None:
        require_number("horizon", self.horizon, "the time at which control ends")
        require_count("steps", self.steps, "time steps")

    def config(self) -> dict[str, object]:
        """Return the fields as JSON can hold them: `type(problem)(**problem.config())` is the same problem."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.init
        }

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
        """Return a guess of phi (n,), equal to G at t = T, to which a network is added; None where there is none.

        It is differentiable in times (n,) and states (n, d). It matters where no control minimises H for a costate of
        the wrong sign.
        """
        return None

    def terminal_gradient(self, z: Tensor) -> Tensor:
        """Return grad G(z), differentiable where z has a graph: (n, d)."""
        with torch.enable_grad():
            at = z if z.requires_grad else z.detach().requires_grad_()
            value = self.terminal_cost(at).sum()
            if not value.requires_grad:  # a constant
                return torch.zeros_like(z)
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


@runtime_checkable
class KnownValue(Protocol):
    """A problem whose answer is known: its value function, and the least cost on its grid of Euler steps."""

    def value(self, t: Tensor, z: Tensor) -> Tensor:
        """Return the value function, differentiable in times (n,) and states (n, d): (n,)."""
        ...

    def costate(self, t: Tensor, z: Tensor) -> Tensor:
        """Return the gradient of the value function in z, differentiable: (n, d)."""
        ...

    def optimal_cost(self, z: Tensor) -> Tensor:
        """Return the least cost from z (n, d) at time 0 by `steps` Euler steps, L at the start of each: (n,)."""
        ...
