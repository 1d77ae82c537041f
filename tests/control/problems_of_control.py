"""Every problem of control of the library, and states, costates and controls at which laws about them are tested."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import torch
from problems import normal
from torch import Tensor, nn

from brenier.control import (
    ControlGradient,
    ControlProblem,
    ControlSearch,
    ImplicitController,
    KnownValue,
    ValueFunction,
    ValueJet,
    ValueNetwork,
)
from brenier.control.problems import PROBLEMS, LinearRegulator

# Fields other than the usual ones, at which a problem is tested too.
OTHER_FIELDS: dict[str, Sequence[dict[str, object]]] = {
    "quadratic-integrator": [{"dim": 3, "terminal_weight": 2.0}],
    "exponential-integrator": [{"dim": 5, "terminal_weight": 100, "horizon": 2.0}],
    "double-integrator": [{"dim": 2, "state_weight": 0.0, "horizon": 2.0}],
    "quartic-double-integrator": [{"dim": 3}],
    "regulator": [
        {
            "A": [[0.0, 1.0], [-1.0, 0.1]],
            "B": [[0.0, 1.0, 0.5], [1.0, 0.0, 0.2]],
            "Q": [[1.0, 0.5], [0.5, 1.0]],
            "R": [[1.0, 0.3, 0.0], [0.3, 2.0, 0.1], [0.0, 0.1, 0.5]],
        }
    ],
    "quadrotor": [{"agents": 2}, {"agents": 4, "layout": "grid", "interaction": 1.0}],
    "bicycle": [{"agents": 3}, {"start": "reversed"}, {"agents": 4, "layout": "grid"}],
    "consumption": [{"agents": 3, "eta": 0.9, "theta": 0.9}, {"guess": "even"}],
}


def all_problems() -> dict[str, ControlProblem]:
    """Every problem of the library with its usual fields, and with others."""
    found = {}
    for name, kind in PROBLEMS.items():
        found[name] = kind()
        for i, fields in enumerate(OTHER_FIELDS.get(name, ())):
            found[f"{name} {i + 1}"] = kind(**fields)  # type: ignore[arg-type]
    return found


EVERY = all_problems()
KNOWN = {name: one for name, one in EVERY.items() if isinstance(one, KnownValue)}


class Situation(NamedTuple):
    """Times (n,), states (n, d), costates (n, d) and controls (n, m) within the bounds."""

    t: Tensor
    z: Tensor
    p: Tensor
    u: Tensor


def situation(problem: ControlProblem, n: int = 7, seed: int = 0) -> Situation:
    """Times all along, initial states moved a little, costates and controls about one long, float64.

    Controls are differences to those that a search starts from.
    """
    generator = torch.Generator().manual_seed(seed)
    z = problem.initial_states(n, generator)
    t = torch.linspace(0, 0.9 * problem.horizon, n, dtype=torch.float64)
    p = normal(n, problem.state_dim, seed=seed + 1)
    u = problem.first_control(t, z)
    u = u + normal(*u.shape, seed=seed + 2).abs() / u.shape[-1] ** 0.5
    bounds = problem.bounds(t, z)
    return Situation(t, z, p, u if bounds is None else bounds.clip(u))


@dataclasses.dataclass(frozen=True)
class Pendulum(ControlProblem):
    """A pendulum that should come to rest upright: a user's own problem, in twenty lines."""

    friction: float = 0.1
    state_dim = 2
    control_dim = 1

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        angle, rate = z.unbind(-1)
        return torch.stack([rate, angle.sin() - self.friction * rate + u[:, 0]], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        return (u.square().sum(-1) / 2).exp()

    def terminal_cost(self, z: Tensor) -> Tensor:
        return 5 * (1 - z[:, 0].cos()) + z[:, 1].square()

    def initial_states(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, 2, generator=generator, dtype=torch.float64)


def small_regulator(**fields: object) -> LinearRegulator:
    """A regulator of two states and one control, with these fields in place of its own."""
    matrices = {
        "A": [[0.0, 1.0], [0.0, 0.0]],
        "B": [[0.0], [1.0]],
        "Q": [[1.0, 0.0], [0.0, 1.0]],
        "R": [[1.0]],
    }
    return LinearRegulator(**matrices | fields)  # type: ignore[arg-type]


class KnownNetwork(nn.Module):
    """The value function of a problem that knows it, in the place of a network."""

    def __init__(self, problem: KnownValue, sign: float = 1.0) -> None:
        super().__init__()
        self.problem, self.sign = problem, sign
        self.register_buffer("like", torch.zeros((), dtype=torch.float64))

    def jet(self, z: Tensor, t: Tensor) -> ValueJet:
        """The value, its gradient, and its derivative in t with a sign."""
        with torch.enable_grad():
            at = t.detach().requires_grad_()
            value = self.problem.value(at, z)
            speed = torch.autograd.grad(value.sum(), at)[0]
        return ValueJet(
            value.detach(), self.problem.costate(t, z), self.sign * speed.detach()
        )


def known_controller(problem: ControlProblem, sign: float = 1.0) -> ImplicitController:
    """The controller of a problem by its known value function, float64."""
    assert isinstance(problem, KnownValue)
    return ImplicitController(ValueFunction(problem, KnownNetwork(problem, sign)))


def small_controller(
    problem: ControlProblem,
    gradient: ControlGradient | None = None,
    search: ControlSearch | None = None,
    width: int = 6,
    seed: int = 0,
) -> ImplicitController:
    """A controller by a small network of random weights, float64, its controls to the last digits."""
    generator = torch.Generator().manual_seed(seed)
    network = ValueNetwork(problem.state_dim, width, generator=generator).double()
    with torch.no_grad():
        for part in network.biases:
            part += 0.1 * normal(*part.shape, seed=seed)
    search = search or ControlSearch(tol=1e-12)
    return ImplicitController(ValueFunction(problem, network), search, gradient)


def weights_of(module: nn.Module) -> Tensor:
    """All weights of a module as one vector."""
    return torch.cat([part.detach().flatten() for part in module.parameters()])


def slopes_of(value: Tensor, module: nn.Module) -> Tensor:
    """The derivatives of a number by all weights of a module, as one vector."""
    weights = list(module.parameters())
    found = torch.autograd.grad(value, weights, allow_unused=True)
    pairs = zip(found, weights, strict=True)
    return torch.cat([(g if g is not None else 0 * w).flatten() for g, w in pairs])


def told(value: object) -> str:
    """What a problem is called in the list of tests: its kind, and the fields that are not the usual ones."""
    if not isinstance(value, ControlProblem):
        return str(value)
    usual, kind = type(value)().config(), type(value).__name__
    other = [f"{k}={v}" for k, v in value.config().items() if v != usual.get(k)]
    return " ".join([kind, *other])
