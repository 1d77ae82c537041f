"""Quadrotors and bicycles: derivatives against finite differences, costs against loops, layouts without collisions."""

import dataclasses
import itertools
import json
import math

import pytest
import torch
from control.problems_of_control import told
from scipy.optimize import minimize

from brenier.control import AutodiffHamiltonian
from brenier.control.problems import PROBLEMS, Bicycle, Quadrotor
from brenier.control.problems.swarm import interaction, smallest_distance
from brenier.errors import DataError

SWARMS = [
    Quadrotor(agents=1),
    Quadrotor(agents=3, interaction=0.7),
    Bicycle(agents=1),
    Bicycle(agents=3),
]


def drawn(problem, n=4, dtype=torch.float64):
    """Times, states and controls at random, not small, with velocities that are not zero."""
    rng = torch.Generator().manual_seed(0)
    states = problem.initial_states(n, rng)
    states = states + 0.3 * torch.randn(states.shape, generator=rng, dtype=dtype)
    controls = torch.randn(n, problem.control_dim, generator=rng, dtype=torch.float64)
    times = torch.rand(n, generator=rng, dtype=torch.float64)
    return times.to(dtype), states.to(dtype), (0.5 * controls).to(dtype)


def plain_interaction(places, radius):
    """W of one swarm by a loop over pairs."""
    near = (
        math.exp(-(d**2) / (2 * radius**2))
        for a, b in itertools.combinations(places, 2)
        if (d := float((a - b).norm())) < 2 * radius
    )
    return sum(near) / (2 * len(places))


@pytest.mark.parametrize("problem", SWARMS, ids=told)
def test_derivatives_agree_with_finite_differences(problem) -> None:
    t, z, u = drawn(problem)
    z, u = z.requires_grad_(), u.requires_grad_()
    for function in (problem.dynamics, problem.running_cost):
        assert torch.autograd.gradcheck(lambda z, u: function(t, z, u), (z, u))  # noqa: B023
    assert torch.autograd.gradcheck(problem.terminal_cost, (z,))


@pytest.mark.parametrize("problem", SWARMS, ids=told)
def test_known_hamiltonians_agree_with_automatic_differentiation(problem) -> None:
    t, z, u = drawn(problem)
    p = torch.randn(z.shape, generator=torch.Generator().manual_seed(1)).to(z)
    known, general = problem.hamiltonian(t, z, p), AutodiffHamiltonian(problem, t, z, p)
    rest = known.value(u) - general.value(u)
    torch.testing.assert_close(rest, known.value(-2 * u) - general.value(-2 * u))
    torch.testing.assert_close(known.gradient(u), general.gradient(u))
    torch.testing.assert_close(known.hessian(u), general.hessian(u))
    torch.testing.assert_close(known.scale, general.scale)


@pytest.mark.parametrize("problem", SWARMS, ids=told)
def test_gradients_of_known_hamiltonians_reach_states_and_costates(problem) -> None:
    t, z, u = drawn(problem)
    p = torch.randn(z.shape, generator=torch.Generator().manual_seed(1)).to(z)
    z, p = z.requires_grad_(), p.requires_grad_()
    found = [
        torch.autograd.grad(h.gradient(u).square().sum(), (z, p))
        for h in (problem.hamiltonian(t, z, p), AutodiffHamiltonian(problem, t, z, p))
    ]
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("axes", [2, 3])
def test_interaction_is_the_sum_over_pairs(axes) -> None:
    places = torch.randn(
        6, 5, axes, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    wanted = [plain_interaction(swarm, 0.8) for swarm in places]
    found = interaction(places + 100, 0.8)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64))
    assert (found < interaction(places, 8.0)).all()


def test_interaction_has_a_derivative_where_agents_meet() -> None:
    places = torch.zeros(1, 4, 3, requires_grad=True)
    w = interaction(places, 1.0)
    assert w.item() == pytest.approx(6 / 8)
    assert torch.autograd.grad(w.sum(), places)[0].abs().max() == 0


def test_smallest_distance_is_that_of_the_nearest_pair() -> None:
    places = torch.tensor([[[0.0, 0], [3, 4], [3, 5]], [[0, 0], [0, 0], [9, 9]]])
    assert smallest_distance(places).tolist() == [1.0, 0.0]
    assert smallest_distance(places[:, :1]).tolist() == [math.inf, math.inf]
    assert smallest_distance(places.expand(7, 2, 3, 2)).shape == (7, 2)


def test_hovering_costs_what_it_should() -> None:
    problem = Quadrotor(agents=2, interaction=0.0)
    t, z = torch.zeros(1, dtype=torch.float64), torch.zeros(1, 24, dtype=torch.float64)
    hover = torch.tensor([[0.5, 0, 0, 0] * 2], dtype=torch.float64)
    assert problem.dynamics(t, z, hover).abs().max() == 0
    assert problem.running_cost(t, z, hover).item() == pytest.approx(math.exp(0.125))
    assert problem.terminal_cost(z).item() == pytest.approx(1000 * 12 / 4)


@pytest.mark.parametrize(
    "problem",
    [
        *(Quadrotor(agents=n, layout="grid") for n in (2, 6, 8, 100)),
        *(Bicycle(agents=n, layout="grid") for n in (2, 7, 100)),
    ],
    ids=told,
)
def test_grids_can_be_flown_without_collision(problem) -> None:
    rng = torch.Generator().manual_seed(0)
    start = problem.positions(problem.initial_states(64, rng))
    end = problem.target_positions()
    assert smallest_distance(start).min() > 0.2
    calm = dataclasses.replace(problem, start_spread=0.0)
    start = calm.positions(calm.initial_states(1, rng))
    part = torch.linspace(0, 1, 51, dtype=torch.float64)[:, None, None]
    nearest = smallest_distance(start + part * (end - start)).min()
    assert nearest > smallest_distance(end) / math.sqrt(2) - 1e-9
    assert (end - start).norm(dim=-1).max() > 0.9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("problem", SWARMS, ids=told)
def test_shapes_names_and_precision(problem, dtype) -> None:
    t, z, u = drawn(problem, n=5, dtype=dtype)
    assert z.shape == (5, problem.state_dim)
    assert len(problem.state_names) == problem.state_dim
    assert len(problem.control_names) == problem.control_dim
    costs = problem.running_cost(t, z, u), problem.terminal_cost(z)
    assert all(cost.shape == (5,) and cost.dtype == dtype for cost in costs)
    moved = problem.dynamics(t, z, u)
    assert moved.dtype == dtype
    assert moved.shape == z.shape
    exact = problem.hamiltonian(t, z, z).exact()
    assert exact.shape == u.shape
    assert exact.dtype == dtype
    places = problem.positions(z.expand(3, 5, problem.state_dim))
    assert places.shape == (3, 5, *problem.target_positions().shape)


def test_starts_are_those_published() -> None:
    rng = torch.Generator().manual_seed(0)
    flying = Quadrotor(agents=2).initial_states(4000, rng).unflatten(-1, (2, 12))
    assert flying[..., :6].std().item() == pytest.approx(0.1, rel=0.02)
    assert flying[..., 6:].abs().max() == 0
    riding = Bicycle(agents=2, start="reversed").initial_states(3, rng)
    assert riding.unflatten(-1, (2, 4))[..., 2].eq(math.pi).all()


def test_reversed_bicycles_on_a_grid_head_away_from_their_targets() -> None:
    problem = Bicycle(agents=4, layout="grid", start="reversed", start_spread=0.0)
    state = problem.initial_states(1, torch.Generator()).unflatten(-1, (4, 4))[0]
    way = problem.target_positions() - state[:, :2]
    heading = torch.stack([state[:, 2].cos(), state[:, 2].sin()], -1)
    torch.testing.assert_close((way * heading).sum(-1), -way.norm(dim=-1))


@pytest.mark.parametrize(
    ("make", "wrong", "name"),
    [
        (Quadrotor, {"agents": 0}, "agents"),
        (Quadrotor, {"agents": 3, "layout": "grid"}, "agents"),
        (Quadrotor, {"layout": "ring"}, "layout"),
        (Quadrotor, {"mass": 0.0}, "mass"),
        (Quadrotor, {"radius": -1.0}, "radius"),
        (Quadrotor, {"interaction": math.nan}, "interaction"),
        (Quadrotor, {"target": (1.0, 2.0)}, "target"),
        (Quadrotor, {"target": "far"}, "target"),
        (Quadrotor, {"horizon": 0.0}, "horizon"),
        (Bicycle, {"agents": 1.5}, "agents"),
        (Bicycle, {"wheelbase": 0.0}, "wheelbase"),
        (Bicycle, {"start": "sideways"}, "start"),
        (Bicycle, {"layout": "ring"}, "layout"),
        (Bicycle, {"largest_steering": math.pi / 2}, "largest_steering"),
        (Bicycle, {"largest_steering": -0.1}, "largest_steering"),
        (Bicycle, {"target": None}, "target"),
    ],
)
def test_wrong_numbers_are_refused_by_name(make, wrong, name) -> None:
    with pytest.raises(DataError, match=f"^{name}: ") as caught:
        make(**wrong)
    assert caught.value.argument == name


def test_swarms_have_names() -> None:
    assert PROBLEMS["quadrotor"] is Quadrotor
    assert PROBLEMS["bicycle"] is Bicycle
    assert Quadrotor(**json.loads('{"target": [1, 2, 3]}')).target == (1.0, 2.0, 3.0)


def open_loop(problem, start, first):
    """The least cost from a start over piecewise constant controls, near the first ones."""
    step = problem.horizon / problem.steps
    shape = problem.steps, 1, problem.control_dim

    def cost(flat):
        u = torch.as_tensor(flat).reshape(shape).requires_grad_()
        z, total = start, 0
        for k in range(problem.steps):
            t = torch.full((1,), k * step, dtype=torch.float64)
            total = total + step * problem.running_cost(t, z, u[k])
            z = z + step * problem.dynamics(t, z, u[k])
        total = total + problem.terminal_cost(z)
        return total.item(), torch.autograd.grad(total.sum(), u)[0].numpy().ravel()

    options = {"maxiter": 250, "maxcor": 50, "ftol": 1e-14, "gtol": 1e-9}
    flat = torch.tensor(first, dtype=torch.float64).repeat(problem.steps).numpy()
    return minimize(cost, flat, jac=True, method="L-BFGS-B", options=options).fun


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "start", "first", "wanted"),
    [
        (Bicycle(), [0, 0, 0.1, 0.1], [0.0, 0.0], 0.03229),
        (Bicycle(), [0, 0, math.pi, 0.1], [0.05, 0.1], 0.09015),
        (Quadrotor(), [0.0] * 12, [0.5, 0.0, 0.01, 0.01], 13.09252),
    ],
)
def test_the_least_open_loop_cost_is_the_known_one(
    problem, start, first, wanted
) -> None:
    at = torch.tensor([start], dtype=torch.float64)
    assert open_loop(problem, at, first) == pytest.approx(wanted, rel=1e-3)
