"""The potential of OT-Flow against autograd, its costs, its clamp and its published sizes."""

import pytest
import torch
from torch import Tensor

from brenier.baselines import OTFlow
from brenier.baselines.ot_flow import (
    OTFlowModel,
    OTFlowPotential,
    PotentialStage,
    at_time,
    log_cosh,
)


def potential(dim: int = 3) -> OTFlowPotential:
    made = OTFlowPotential(dim, 5, 2, torch.Generator().manual_seed(1)).double()
    with torch.no_grad():  # what starts at zero or one is to count
        for part in (made.linear, made.constant, made.readout):
            part.add_(torch.linspace(-0.4, 0.6, len(part)))
    return made


def rows(n: int, columns: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, columns, generator=generator, dtype=torch.float64)


def test_the_activation_is_the_antiderivative_of_tanh() -> None:
    a = torch.linspace(-30, 30, 241, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(log_cosh(a).sum(), a)
    torch.testing.assert_close(slope, a.detach().tanh())
    stable = a.detach().abs() + torch.log1p(torch.exp(-2 * a.detach().abs()))
    torch.testing.assert_close(log_cosh(a).detach(), stable)


def test_the_potential_is_that_of_the_paper() -> None:
    phi, s = potential(), rows(4, 4)
    u = log_cosh(s @ phi.opening.T + phi.opening_bias)
    u = u + log_cosh(u @ phi.inner.T + phi.inner_bias)
    matrix = phi.squares.T @ phi.squares
    quadratic = 0.5 * torch.einsum("ni,ij,nj->n", s, matrix, s)
    expected = u @ phi.readout + quadratic + s @ phi.linear + phi.constant
    torch.testing.assert_close(phi(s), expected)


def test_gradient_and_trace_are_those_of_autograd() -> None:
    phi, s = potential(), rows(4, 4).requires_grad_()
    (slope,) = torch.autograd.grad(phi(s).sum(), s)
    gradient, trace = phi.gradient_and_trace(s)
    torch.testing.assert_close(gradient, slope)
    torch.testing.assert_close(phi.gradient(s), slope)
    for row, found in zip(s.detach(), trace, strict=True):
        hessian = torch.autograd.functional.hessian(lambda r: phi(r[None])[0], row)
        # The trace is of x alone: the last column is the time.
        torch.testing.assert_close(found, hessian.diagonal()[:-1].sum())


def test_ways_cost_transport_and_the_residual_of_the_equation() -> None:
    phi, x, t = potential(), rows(4, 3), 0.3
    carried = torch.cat([x, torch.zeros(4, 3)], 1)
    found = PotentialStage(phi).rates(t, carried, None, costs=True)
    s = at_time(x, t).requires_grad_()
    (slope,) = torch.autograd.grad(phi(s).sum(), s)
    along, in_time = slope[:, :3], slope[:, 3]
    torch.testing.assert_close(found[:, :3], -along)
    torch.testing.assert_close(found[:, 4], 0.5 * along.square().sum(1))
    residual = (-in_time + 0.5 * along.square().sum(1)).abs()
    torch.testing.assert_close(found[:, 5], residual)
    torch.testing.assert_close(PotentialStage(phi).velocity(t, x), -along)


@pytest.mark.parametrize(
    ("name", "parameters", "steps", "weights"),
    [
        ("power", 17_721, (10, 24), (500, 5)),
        ("gas", 126_791, (10, 30), (1200, 40)),
        ("hepmass", 72_179, (12, 24), (500, 40)),
        ("miniboone", 78_053, (6, 18), (100, 15)),
        ("bsds300", 297_153, (14, 40), (2000, 800)),
    ],
)
def test_sizes_are_those_published(
    name: str,
    parameters: int,
    steps: tuple[int, int],
    weights: tuple[int, int],
) -> None:
    dim = OTFlow.published_sets[name].dim
    with torch.device("meta"):
        flow = OTFlow("published").model(dim, torch.Generator())
    assert sum(part.numel() for part in flow.state_dict().values()) == parameters
    settings = OTFlow.published_for(name)
    assert OTFlow("published").settings_for(dim) == settings
    assert (settings.steps, flow.solver.steps) == steps
    assert (settings.likelihood_weight, settings.residual_weight) == weights


def test_every_parameter_is_clamped() -> None:
    flow = OTFlowModel(2, width=4, rank=3, largest_weight=1.5)
    with torch.no_grad():
        for part in flow.parameters():
            part.copy_(torch.linspace(-3, 3, part.numel()).reshape(part.shape))
    flow.constrain()
    assert max(float(part.detach().abs().max()) for part in flow.parameters()) == 1.5


def test_a_fit_clamps() -> None:
    y = rows(300, 2).numpy() * [1.0, 30.0]
    fitted = OTFlow(max_steps=12, random_state=0).fit(rows(900, 2)[300:], y)
    for maps in fitted.maps_.values():
        assert all(part.abs().max() <= 1.5 for part in maps.model.parameters())


def test_the_objective_weighs_likelihood_and_residual_against_transport() -> None:
    settings = OTFlow.published_for("gas")
    flow = OTFlowModel(2, width=4, rank=3, largest_weight=1.5).double()
    passage = flow.passage(rows(5, 2), costs=True)
    transport, residual = passage.costs.mean(0)
    expected = transport + 1200 * passage.nll().mean() + 40 * residual
    torch.testing.assert_close(settings.objective(passage), expected)
