"""What the problems of `brenier.control` cost at best, by this package's own methods, once for each initial state.

Riccati equations on the same grid and closed forms where there are, else open-loop optima by CasADi, which is an extra:
without it these are None. Nothing here is computed by the library that is measured.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.control import riccati
from benchmarks.control.riccati import Array
from brenier.control import (
    Bicycle,
    Consumption,
    ControlProblem,
    DoubleIntegrator,
    ExponentialIntegrator,
    LinearRegulator,
    QuadraticIntegrator,
    Quadrotor,
    QuarticDoubleIntegrator,
)

if TYPE_CHECKING:
    from benchmarks.control.optimum import OpenLoop

CASADI = importlib.util.find_spec("casadi") is not None


# ---- closed forms


def _quadratic(problem: Any, z0: Array) -> Array:
    known = riccati.integrator(problem.dim, problem.terminal_weight, problem.horizon)
    return riccati.discrete(known, problem.steps).costs(z0)


def _double(problem: Any, z0: Array) -> Array:
    known = riccati.double_integrator(
        problem.dim, problem.state_weight, problem.terminal_weight, problem.horizon
    )
    return riccati.discrete(known, problem.steps).costs(z0)


def _regulator(problem: Any, z0: Array) -> Array:
    known = riccati.coupled(0, problem.terminal_weight, problem.horizon)
    return riccati.discrete(known, problem.steps).costs(z0)


def _exponential(problem: Any, z0: Array) -> Array:
    return riccati.exponential_integrator(z0, problem.terminal_weight, problem.horizon)[
        0
    ]


def _consumption(problem: Any, z0: Array) -> Array:
    known = riccati.Consumption(
        problem.interest,
        problem.discount,
        problem.aversion,
        problem.bequest,
        problem.horizon,
    )
    return known.costs(z0, problem.steps)


CLOSED: Mapping[type, Callable[[Any, Array], Array]] = {
    QuadraticIntegrator: _quadratic,
    DoubleIntegrator: _double,
    LinearRegulator: _regulator,
    ExponentialIntegrator: _exponential,
    Consumption: _consumption,
}


def is_closed(problem: ControlProblem) -> bool:
    """Say whether the least cost has a closed form."""
    powers = getattr(problem, "eta", 1), getattr(problem, "theta", 1)
    return type(problem) in CLOSED and powers == (1, 1)


# ---- in symbols

# Problem -> its name in `symbols`, and (number there, field of the problem).
SYMBOLS: Mapping[type, tuple[str, Mapping[str, str]]] = {
    QuadraticIntegrator: (
        "integrator",
        {"agents": "dim", "alpha": "terminal_weight"},
    ),
    ExponentialIntegrator: (
        "exponential",
        {"agents": "dim", "alpha": "terminal_weight"},
    ),
    DoubleIntegrator: (
        "double_integrator",
        {"agents": "dim", "alpha": "terminal_weight", "q": "state_weight"},
    ),
    QuarticDoubleIntegrator: (
        "quartic",
        {"agents": "dim", "alpha": "terminal_weight"},
    ),
    LinearRegulator: ("coupled", {"alpha": "terminal_weight"}),
    Quadrotor: (
        "quadrotor",
        {
            "agents": "agents",
            "alpha_G": "terminal_weight",
            "alpha_int": "interaction",
            "mass": "mass",
            "gravity": "gravity",
        },
    ),
    Bicycle: (
        "bicycle",
        {
            "agents": "agents",
            "alpha_G": "terminal_weight",
            "alpha_int": "interaction",
            "wheelbase": "wheelbase",
            "steering": "largest_steering",
        },
    ),
    Consumption: (
        "consumption",
        {
            "agents": "agents",
            "eta": "eta",
            "theta": "theta",
            "rate": "interest",
            "discount": "discount",
            "gamma": "aversion",
            "bequest": "bequest",
        },
    ),
}


def in_symbols(problem: ControlProblem) -> tuple[str, dict[str, Any]]:
    """Return the name of a problem in `symbols`, and its numbers there."""
    name, fields = SYMBOLS[type(problem)]
    numbers = {number: getattr(problem, field) for number, field in fields.items()}
    return name, {"horizon": problem.horizon, **numbers}


# ---- optima


def least_costs(
    problem: ControlProblem, z0: Tensor, starts: int | None
) -> Array | None:
    """Return the least costs on the problem's grid of Euler steps: (n,); None where nothing here knows them.

    Args:
        problem: what is controlled.
        z0: initial states (n, d).
        starts: guesses for each, where IPOPT looks; None for as many as the problem needs.
    """
    if is_closed(problem):
        return CLOSED[type(problem)](problem, z0.double().numpy())
    found = open_loop(problem, z0, starts)
    return None if found is None else found.costs


def open_loop(
    problem: ControlProblem, z0: Tensor, starts: int | None
) -> OpenLoop | None:
    """Return the open-loop optima from initial states (n, d), or None without CasADi; arguments as above."""
    if not CASADI:
        return None
    name, numbers = in_symbols(problem)
    states = z0.double().numpy()
    told = tuple(sorted(numbers.items()))
    return _found(name, told, problem.steps, states.shape, states.tobytes(), starts)


@functools.lru_cache(maxsize=64)
def _found(
    name: str,
    numbers: tuple[tuple[str, Any], ...],
    steps: int,
    shape: tuple[int, ...],
    states: bytes,
    starts: int | None,
) -> OpenLoop:
    """Find the optima; states are bytes, since arrays are no keys."""
    from benchmarks.control.optimum import Search, optimum

    z0 = np.frombuffer(states).reshape(shape)
    return optimum(name, z0, steps, search=Search(starts=starts), **dict(numbers))


def exact_trajectory(problem: Any, z0: Tensor) -> tuple[Tensor, Tensor]:
    """Return times (N,) and states (N, n, d) of the Euler steps of the known value function's feedback."""
    from brenier.control import Grid, ImplicitController, ValueFunction, roll_out

    controller = ImplicitController(ValueFunction(problem, KnownNetwork(problem)))
    found = roll_out(problem, controller, z0.double(), Grid(problem.steps))
    return found.times[:-1], found.states[:-1]


class KnownNetwork(torch.nn.Module):
    """The value function of a problem that knows it, as a network of x = (z, t)."""

    def __init__(self, problem: Any) -> None:
        super().__init__()
        self.problem = problem
        # Tells precision and device, as a network's parameters do.
        self.like = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return phi: (n, d + 1) -> (n,)."""
        return self.problem.value(x[:, -1], x[:, :-1])
