"""Value functions: their derivatives against autograd and differences, and what is built into them."""

import pytest
import torch
from control.problems_of_control import Pendulum, slopes_of
from problems import normal
from torch import Tensor, nn

from brenier import ResidualPotential
from brenier.control import (
    Consumption,
    ControlProblem,
    QuadraticIntegrator,
    Quadrotor,
    ValueFunction,
    ValueJet,
    ValueNetwork,
)
from brenier.errors import DataError

close = torch.testing.assert_close
CASES = {
    "1 layer": ValueNetwork(3, 5, 1),
    "2 layers": ValueNetwork(3, 5, 2),
    "3 layers": ValueNetwork(3, 7, 3),
    "rank below d": ValueNetwork(4, 5, 2, rank=2),
    "rank above d": ValueNetwork(2, 5, 2, rank=30),
}
every_network = pytest.mark.parametrize("network", CASES.values(), ids=CASES.keys())


def shaken(module: nn.Module) -> nn.Module:
    """The module in float64, all of its weights moved."""
    module = module.double()
    with torch.no_grad():
        for i, part in enumerate(module.parameters()):
            part.add_(0.3 * normal(*part.shape, seed=i))
    return module


def places(d: int, n: int = 6) -> tuple[Tensor, Tensor]:
    """States (n, d) and times (n,) that can be differentiated."""
    z = normal(n, d, seed=1).requires_grad_()
    return z, torch.linspace(0, 0.9, n, dtype=torch.float64).requires_grad_()


def by_autograd(value: ValueFunction | ValueNetwork, z: Tensor, t: Tensor) -> ValueJet:
    """The jet of a value function by differentiating its value."""
    found = (
        value(z, t) if isinstance(value, ValueFunction) else value(joined(z, t))
    ).squeeze(-1)
    return ValueJet(found, *torch.autograd.grad(found.sum(), (z, t)))


def joined(z: Tensor, t: Tensor) -> Tensor:
    return torch.cat([z, t.unsqueeze(-1)], -1)


# ---- the network


@every_network
def test_the_gradient_written_out_is_that_of_autograd(network: ValueNetwork) -> None:
    network = shaken(network)  # type: ignore[assignment]
    z, t = places(network.state_dim)
    for part, wanted in zip(network.jet(z, t), by_autograd(network, z, t), strict=True):
        close(part, wanted, rtol=1e-12, atol=1e-12)


def test_the_formula_is_that_of_the_paper() -> None:
    network = shaken(ValueNetwork(3, 5, 2))
    assert isinstance(network, ValueNetwork)
    z, t = places(3)
    x, (b0, b1, b2) = joined(z, t), network.biases
    y = (x @ network.opening.mT + b0).cosh().mul(2).log()
    y = y + (y @ network.weights[0].mT + b1).cosh().mul(2).log() / 2
    y = y + (y @ network.weights[1].mT + b2).cosh().mul(2).log() / 2
    bent = (x @ network.factor.mT).square().sum(-1) / 2
    close(network.jet(z, t).value, y @ network.readout + bent + x @ network.slope)


@every_network
def test_parameter_slopes_of_the_costate_are_its_differences(
    network: ValueNetwork,
) -> None:
    network = shaken(network)  # type: ignore[assignment]
    z, t = (part.detach() for part in places(network.state_dim, 3))
    weight = normal(3, network.state_dim, seed=5)

    def pulled() -> Tensor:
        jet = network.jet(z, t)
        return (weight * jet.costate).sum() + jet.speed.sum()

    slopes, weights = slopes_of(pulled(), network), list(network.parameters())
    flat, step = nn.utils.parameters_to_vector(weights).detach(), 1e-6
    for direction in normal(3, len(flat), seed=6):
        ends = []
        for way in (step, -step):
            nn.utils.vector_to_parameters(flat + way * direction, weights)
            ends.append(pulled().detach())
        nn.utils.vector_to_parameters(flat, weights)
        difference = (ends[0] - ends[1]) / (2 * step)
        close(slopes @ direction, difference, rtol=1e-7, atol=1e-7)


def test_values_far_away_are_finite() -> None:
    network = ValueNetwork(2, 5)
    jet = network.jet(torch.full((1, 2), 1e6), torch.zeros(1))
    assert all(bool(part.isfinite().all()) for part in jet)


@pytest.mark.parametrize(
    ("state_dim", "width", "count"),
    [(12, 96, 20207), (72, 96, 26627), (1200, 96, 147323), (4, 100, 20930)],
)
@pytest.mark.parametrize("rank", [10])
def test_networks_have_as_many_parameters_as_published(
    state_dim: int, width: int, count: int, rank: int
) -> None:
    network = ValueNetwork(state_dim, width, 2, rank)
    assert sum(part.numel() for part in network.parameters()) == count


def test_layers_start_as_copies_and_the_seed_decides() -> None:
    first, again, other = (
        ValueNetwork(3, 5, 3, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first.weights[0], first.weights[2])
    assert torch.equal(first.opening, again.opening)
    assert not torch.equal(first.opening, other.opening)
    assert ValueNetwork(**first.config()).rank == first.rank


# ---- what is built in

PROBLEMS_HERE: list[ControlProblem] = [
    QuadraticIntegrator(dim=3, horizon=2.0),
    Quadrotor(),
    Pendulum(),
    Consumption(agents=2),
]


def networks(problem: ControlProblem) -> dict[str, nn.Module]:
    x = problem.state_dim + 1
    plain = nn.Sequential(nn.Linear(x, 4), nn.Tanh(), nn.Linear(4, 1), nn.Flatten(0))
    return {
        "network": ValueNetwork(problem.state_dim, 6),
        "potential": ResidualPotential(x, 8),
        "plain": plain,
    }


@pytest.mark.parametrize("problem", PROBLEMS_HERE, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("kind", ["network", "potential", "plain"])
@pytest.mark.parametrize("terminal_condition", [False, True])
def test_derivatives_are_those_of_the_value(
    problem: ControlProblem, kind: str, terminal_condition: bool
) -> None:
    network = networks(problem)[kind].double()
    value = ValueFunction(problem, network, terminal_condition)
    z, t = places(problem.state_dim)
    if isinstance(problem, Consumption):
        z = (5 + z.detach().abs()).requires_grad_()
    jet, wanted = value.jet(z, t), by_autograd(value, z, t)
    for part, right in zip(jet, wanted, strict=True):
        close(part, right, rtol=1e-12, atol=1e-11)
    with torch.no_grad():
        for part, right in zip(value.jet(z, t), jet, strict=True):
            assert not part.requires_grad
            assert torch.equal(part, right)
    assert slopes_of(jet.costate.square().sum(), value).abs().max() > 0


@pytest.mark.parametrize("problem", PROBLEMS_HERE, ids=lambda p: type(p).__name__)
def test_the_terminal_condition_holds_exactly(problem: ControlProblem) -> None:
    value = ValueFunction(problem, ValueNetwork(problem.state_dim, 6).double(), True)
    z = problem.initial_states(5, torch.Generator().manual_seed(0))
    at = torch.full((5,), problem.horizon, dtype=torch.float64)
    jet = value.jet(z, at)
    close(jet.value, problem.terminal_cost(z), rtol=1e-12, atol=1e-12)
    close(jet.costate, problem.terminal_gradient(z), rtol=1e-10, atol=1e-12)
    earlier = value.jet(z, at / 2)
    assert (earlier.value - problem.terminal_cost(z)).abs().min() > 1e-3


def test_a_guess_is_part_of_the_value() -> None:
    problem = Consumption(agents=2)
    network = ValueNetwork(3, 4).double()
    z = problem.initial_states(4, torch.Generator())
    t = torch.linspace(0, 1.9, 4, dtype=torch.float64)
    whole, rest = ValueFunction(problem, network).jet(z, t), network.jet(z, t)
    close(whole.value, rest.value + problem.value_guess(t, z))


def test_a_problem_without_terminal_cost_has_no_terminal_gradient() -> None:
    class Free(Pendulum):
        def terminal_cost(self, z: Tensor) -> Tensor:
            return z.new_zeros(len(z))

    value = ValueFunction(Free(), ValueNetwork(2, 4), terminal_condition=True)
    assert value.jet(torch.ones(2, 2), torch.ones(2)).costate.eq(0).all()


def test_a_column_is_refused() -> None:
    value = ValueFunction(Pendulum(), nn.Linear(3, 1))
    with pytest.raises(DataError, match=r"network: must return one number.*Flatten"):
        value.jet(torch.ones(2, 2), torch.ones(2))
