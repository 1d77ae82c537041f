"""The problems in symbols of CasADi are those of `brenier.control`."""

import numpy as np
import pytest
import torch

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

casadi = pytest.importorskip("casadi")

from benchmarks.control.symbols import make  # noqa: E402
from benchmarks.control.truth import SYMBOLS, in_symbols  # noqa: E402

PROBLEMS = (
    QuadraticIntegrator(dim=3, terminal_weight=2.0),
    ExponentialIntegrator(dim=2, horizon=2.0),
    DoubleIntegrator(dim=2, state_weight=0.0),
    DoubleIntegrator(state_weight=2.0),
    QuarticDoubleIntegrator(dim=2),
    LinearRegulator(terminal_weight=3.0),
    Quadrotor(),
    Quadrotor(agents=3, interaction=2.0, mass=0.4, gravity=1.2),
    Bicycle(start="reversed"),
    Bicycle(agents=3, wheelbase=0.1, terminal_weight=50.0),
    Consumption(agents=3),
    Consumption(agents=3, eta=0.9, theta=0.8, interest=0.5, aversion=0.5),
)


def test_every_problem_is_compared() -> None:
    assert {type(problem) for problem in PROBLEMS} == SYMBOLS.keys()


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: type(p).__name__)
def test_dynamics_and_costs_are_the_same(problem: ControlProblem) -> None:
    n, generator = 6, torch.Generator().manual_seed(0)
    z = problem.initial_states(n, generator)
    noise = torch.randn(z.shape, generator=generator, dtype=z.dtype)
    # Agents apart, so that some interact and others do not; wealth and habits stay above zero.
    z = z * (0.1 * noise).exp() if isinstance(problem, Consumption) else z + 0.7 * noise
    t = problem.horizon * torch.linspace(0, 1, n, dtype=z.dtype)
    u = problem.first_control(t, z)
    u = u + 0.3 * torch.randn(u.shape, generator=generator, dtype=z.dtype).abs()

    name, numbers = in_symbols(problem)
    symbolic = make(name, **numbers)
    assert (symbolic.states, symbolic.controls) == (z.shape[1], u.shape[1])
    assert symbolic.horizon == problem.horizon
    at = [
        casadi.SX.sym(each, size)
        for each, size in zip("tzu", (1, *(a.shape[1] for a in (z, u))), strict=True)
    ]
    function = casadi.Function(
        "all",
        at,
        [symbolic.dynamics(*at), symbolic.running(*at), symbolic.terminal(at[1])],
    )
    told = [
        [
            np.array(part).ravel()
            for part in function(*(a[i].numpy() for a in (t, z, u)))
        ]
        for i in range(n)
    ]
    own = (
        problem.dynamics(t, z, u),
        problem.running_cost(t, z, u),
        problem.terminal_cost(z),
    )
    for k, part in enumerate(own):
        found = np.array([row[k] for row in told])
        np.testing.assert_allclose(found, part.reshape(n, -1), rtol=1e-9, atol=1e-12)
