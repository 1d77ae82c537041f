"""Consumption with habits against its closed form, finite differences, and the costs of policies that go wrong."""

import math

import pytest
import torch
from control.problems_of_control import told

from brenier.control import AutodiffHamiltonian
from brenier.control.problems import PROBLEMS, Consumption
from brenier.control.problems.habits import crra, marginal, positive_power
from brenier.errors import DataError

PROBLEMS_HERE = [
    Consumption(agents=1),
    Consumption(agents=3, eta=0.9, theta=0.8),
    Consumption.published(agents=3),
    Consumption(agents=2, guess="even"),
]


def symmetric(agents, dtype=torch.float64):
    """The initial state whose optimal costs are known: (1, 1 + m)."""
    return torch.tensor([[25.05, *[0.06] * agents]], dtype=dtype)


def drawn(problem, dtype=torch.float64):
    """Times, states and controls well within the bounds."""
    rng = torch.Generator().manual_seed(0)
    t = problem.horizon * torch.rand(4, generator=rng, dtype=torch.float64)
    z = problem.initial_states(4, rng)
    bounds = problem.bounds(t, z)
    share = 0.1 + 0.3 * torch.rand(
        4, problem.agents, generator=rng, dtype=torch.float64
    )
    u = bounds.lower + share * (bounds.upper - bounds.lower)
    return t.to(dtype), z.to(dtype), u.to(dtype)


def costates(problem, t, z):
    """The gradient of the guess of the value function."""
    z = z.detach().requires_grad_()
    return torch.autograd.grad(problem.value_guess(t, z).sum(), z)[0]


def exactly(hamiltonian):
    """The minimiser in closed form."""
    found = hamiltonian.exact()
    assert found is not None
    return found


def search(hamiltonian):
    """The minimiser of a Hamiltonian that is convex within its bounds, by bisection."""
    low, high = hamiltonian.bounds
    for _ in range(60):
        middle = (low + high) / 2
        falls = hamiltonian.gradient(middle) < 0
        low, high = torch.where(falls, middle, low), torch.where(falls, high, middle)
    return (low + high) / 2


def cost_of_guess(problem, z):
    """The cost of the policy that the guess steers, and whether it met a bound."""
    step, total, met = problem.horizon / problem.steps, torch.zeros(len(z)).to(z), False
    for k in range(problem.steps):
        t = torch.full((len(z),), k * step).to(z)
        h = problem.hamiltonian(t, z, costates(problem, t, z))
        found = h.exact()
        u = search(h) if found is None else found
        met |= bool(((u <= h.bounds.lower) | (u >= 0.99 * h.bounds.upper)).any())
        total += step * problem.running_cost(t, z, u)
        z = z + step * problem.dynamics(t, z, u)
    return (total + problem.terminal_cost(z)).item(), met


@pytest.mark.parametrize("problem", PROBLEMS_HERE, ids=told)
def test_derivatives_agree_with_finite_differences(problem) -> None:
    t, z, u = drawn(problem)
    z, u = z.requires_grad_(), u.requires_grad_()
    for function in (problem.dynamics, problem.running_cost):
        assert torch.autograd.gradcheck(lambda z, u: function(t, z, u), (z, u))  # noqa: B023
    assert torch.autograd.gradcheck(problem.terminal_cost, (z,))
    t = t.requires_grad_()
    assert torch.autograd.gradcheck(problem.value_guess, (t, z))


@pytest.mark.parametrize("problem", PROBLEMS_HERE, ids=told)
def test_the_known_hamiltonian_agrees_with_automatic_differentiation(problem) -> None:
    t, z, u = drawn(problem)
    p = torch.randn(z.shape, generator=torch.Generator().manual_seed(1)).to(z)
    known, general = problem.hamiltonian(t, z, p), AutodiffHamiltonian(problem, t, z, p)
    more = 1.5 * u
    rest = known.value(u) - general.value(u)
    torch.testing.assert_close(rest, known.value(more) - general.value(more))
    torch.testing.assert_close(known.gradient(u), general.gradient(u))
    torch.testing.assert_close(known.hessian(u), general.hessian(u))
    torch.testing.assert_close(
        known.hessian_product(u, u), general.hessian_product(u, u)
    )
    below = z[:, 1:] / 2  # consumption below habits has costs, slopes and bends too
    torch.testing.assert_close(known.gradient(below), general.gradient(below))


@pytest.mark.parametrize("problem", PROBLEMS_HERE, ids=told)
def test_gradients_of_the_hamiltonian_reach_states_and_costates(problem) -> None:
    t, z, u = drawn(problem)
    p = costates(problem, t, z).requires_grad_()
    z = z.requires_grad_()
    found = [
        torch.autograd.grad(h.gradient(u).square().sum(), (z, p))
        for h in (problem.hamiltonian(t, z, p), AutodiffHamiltonian(problem, t, z, p))
    ]
    torch.testing.assert_close(found[0], found[1])


def test_exact_consumption_is_stationary_within_the_bounds() -> None:
    problem = Consumption(agents=3)
    t, z, _ = drawn(problem)
    h = problem.hamiltonian(t, z, costates(problem, t, z))
    u = exactly(h)
    assert h.gradient(u).abs().max() < 1e-10
    torch.testing.assert_close(u, problem.first_control(t, z))
    torch.testing.assert_close(u, search(h))
    assert Consumption(agents=3, eta=0.9).hamiltonian(t, z, z).exact() is None


def test_costates_of_the_wrong_sign_meet_the_upper_bound() -> None:
    problem = Consumption(agents=3)
    t, z, _ = drawn(problem)
    h = problem.hamiltonian(t, z, -costates(problem, t, z))
    u = exactly(h)
    torch.testing.assert_close(u, h.bounds.upper)
    assert h.residual(u, h.gradient(u)).max() == 0


@pytest.mark.parametrize(
    ("agents", "wanted"), [(2, 1.59824), (10, 25.65526), (100, 3412.116)]
)
def test_the_least_cost_is_the_published_optimum(agents, wanted) -> None:
    found = Consumption(agents=agents).optimal_cost(symmetric(agents))
    assert found.item() == pytest.approx(wanted, rel=3e-6)


@pytest.mark.parametrize(("agents", "wanted"), [(2, 1.60625), (10, 25.83194)])
def test_the_guess_is_the_value_in_continuous_time(agents, wanted) -> None:
    problem = Consumption(agents=agents)
    found = problem.value_guess(torch.zeros(1, dtype=torch.float64), symmetric(agents))
    assert found.item() == pytest.approx(wanted, rel=3e-6)


def test_the_guess_solves_the_equation_of_hamilton_jacobi_and_bellman() -> None:
    problem = Consumption(agents=3)
    t, z, _ = drawn(problem)
    t, z = t.requires_grad_(), z.requires_grad_()
    value = problem.value_guess(t, z).sum()
    in_time, p = torch.autograd.grad(value, (t, z))
    least = AutodiffHamiltonian(problem, t, z, p).value(
        exactly(problem.hamiltonian(t, z, p))
    )
    torch.testing.assert_close(in_time, -least)
    end = torch.full_like(t, problem.horizon)
    torch.testing.assert_close(problem.value_guess(end, z), problem.terminal_cost(z))


@pytest.mark.parametrize(
    ("problem", "wanted"),
    [
        (Consumption(), 25.65526),
        (Consumption(eta=0.9, theta=0.9), 24.81067),
        (Consumption(agents=100, eta=0.9, theta=0.9), 3584.288),
        (Consumption.published(), -841.49),
    ],
    ids=told,
)
def test_the_policy_of_the_guess_costs_little_more_than_the_optimum(
    problem, wanted
) -> None:
    cost, met = cost_of_guess(problem, symmetric(problem.agents))
    assert 0 <= (cost - wanted) / abs(wanted) < 4e-3
    assert not met


def test_an_even_guess_overlooks_habits_at_a_finite_cost() -> None:
    cost, met = cost_of_guess(Consumption(guess="even"), symmetric(10))
    assert 100 < cost < 2000
    assert met  # wealth runs out, and consumption with it


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    "problem",
    [Consumption(), Consumption(eta=0.9, theta=0.9), Consumption.published()],
    ids=told,
)
def test_bad_policies_have_finite_costs_and_gradients(problem, share, dtype) -> None:
    first = problem.initial_states(2, torch.Generator().manual_seed(0)).to(dtype)
    z = first.requires_grad_()
    step, total = problem.horizon / problem.steps, 0
    for k in range(problem.steps):
        t = torch.full((2,), k * step, dtype=dtype)
        low, high = problem.bounds(t, z)
        u = low + share * (high - low)
        assert (u > z[:, 1:]).all()
        total = total + step * problem.running_cost(t, z, u)
        z = z + step * problem.dynamics(t, z, u)
    total = total + problem.terminal_cost(z)
    found = torch.autograd.grad(total.sum(), first)[0]
    assert total.isfinite().all()
    assert found.isfinite().all()
    assert total.dtype == dtype
    assert costates(problem, t, z).isfinite().all()


def test_poverty_is_steep_and_its_costates_keep_their_signs() -> None:
    problem = Consumption()
    z = symmetric(10).repeat(3, 1)
    z[:, 0] = torch.tensor([-20.0, 0.0, 20.0])
    costs = problem.terminal_cost(z)
    assert costs[0] > 100 * costs[1] > 100 * costs[2]
    p = costates(problem, torch.ones(3, dtype=torch.float64), z)
    assert (p[:, 0] < 0).all()
    assert (p[:, 1:] > 0).all()


def test_utility_is_continued_smoothly() -> None:
    c = torch.tensor([-3.0, 0.05, 0.1, 2.0], dtype=torch.float64, requires_grad=True)
    for aversion in (0.5, 2.0):
        slopes = torch.autograd.grad(crra(c, aversion, 0.1).sum(), c)[0]
        torch.testing.assert_close(slopes, marginal(c.detach(), aversion, 0.1))
        sides = torch.tensor([0.1 - 1e-9, 0.1 + 1e-9], dtype=torch.float64)
        for function in (crra, marginal):
            low, high = function(sides, aversion, 0.1)
            assert low.item() == pytest.approx(high.item(), abs=1e-4)
    assert positive_power(torch.tensor([-1.0]), 0.9).item() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_names_and_precision(dtype) -> None:
    problem = Consumption(agents=3, eta=0.9)
    t, z, u = drawn(problem, dtype)
    assert z.shape == (4, 4)
    assert len(problem.state_names) == 4
    assert u.shape == (4, 3)
    assert len(problem.control_names) == 3
    for found in (
        *(problem.dynamics(t, z, u), problem.running_cost(t, z, u)),
        *(problem.terminal_cost(z), problem.value_guess(t, z), *problem.bounds(t, z)),
        *(problem.first_control(t, z), problem.hamiltonian(t, z, z).scale),
    ):
        assert found.dtype == dtype
        assert len(found) == 4
    rows = problem.hamiltonian(t, z, z).rows(torch.tensor([1, 3]))
    assert rows.gradient(u[[1, 3]]).shape == (2, 3)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"agents": 0}, "agents"),
        ({"aversion": 1.0}, "aversion"),
        ({"interest": 0.0}, "interest"),
        ({"bequest": math.inf}, "bequest"),
        ({"discount": -1.0}, "discount"),
        ({"least_ratio": 2.0}, "largest_ratio"),
        ({"steps": 0}, "steps"),
        ({"guess": "clever"}, "guess"),
    ],
)
def test_wrong_numbers_are_refused_by_name(wrong, name) -> None:
    with pytest.raises(DataError, match=f"^{name}: ") as caught:
        Consumption(**wrong)
    assert caught.value.argument == name


def test_the_least_cost_is_only_known_for_linear_habits() -> None:
    with pytest.raises(DataError, match=r"^eta: "):
        Consumption.published(2).optimal_cost(symmetric(2))
    assert PROBLEMS["consumption"] is Consumption
