"""The potential of ELU layers: its gradient against autograd, and what its shapes mean."""

import itertools

import pytest
import torch
from baselines.given import number, rows

from brenier.baselines.elu_potential import QUADRATICS, EluPotential


@pytest.mark.parametrize(
    ("outer", "quadratic"), list(itertools.product((True, False), QUADRATICS))
)
def test_the_gradient_is_that_of_autograd(
    outer: bool, quadratic: str, generator: torch.Generator
) -> None:
    potential = EluPotential(
        3, [5, 7, 4], outer_elu=outer, quadratic=quadratic, generator=generator
    ).double()
    with torch.no_grad():
        for part in potential.parameters():
            part.add_(0.3)
    x = rows(50, 3).requires_grad_()
    (slope,) = torch.autograd.grad(potential(x).sum(), x)
    torch.testing.assert_close(potential.gradient(x), slope)
    value, gradient = potential.value_and_gradient(x)
    torch.testing.assert_close(value, potential(x))
    torch.testing.assert_close(gradient, slope)
    # And the gradient can be differentiated, in the parameters and in x.
    few = x[:4].detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(potential.gradient, (few,))
    potential.gradient(x).square().sum().backward()
    assert potential.weights[0].grad is not None
    assert bool(potential.weights[0].grad.abs().sum() > 0)


def test_layers_are_computed_as_written() -> None:
    potential = EluPotential(1, [1], outer_elu=True, quadratic="learnt").double()
    with torch.no_grad():
        for part, value in zip(
            potential.parameters(), (0.5, 2.0, -3.0, 0.1, -0.2), strict=True
        ):
            part.fill_(value)
    named = potential.state_dict()
    w, v = number(named["weights.0"]), number(named["weights.1"])
    b, c = number(named["biases.0"]), number(named["biases.1"])
    a = number(named["log_curvature"])
    x = torch.tensor([[-1.5], [0.7]], dtype=torch.float64)
    elu = torch.nn.functional.elu
    wanted = (
        elu(v * elu(w * x + b) + c).squeeze(1)
        + 0.5 * torch.tensor(a).double().exp() * x.squeeze(1) ** 2
    )
    torch.testing.assert_close(potential(x), wanted)


def test_an_outer_elu_bounds_it_from_below(generator: torch.Generator) -> None:
    potential = EluPotential(
        2, [16], outer_elu=True, quadratic="learnt", generator=generator
    )
    far = 100 * torch.randn(500, 2, generator=generator)
    assert bool((potential(far) >= 0.5 * far.square().sum(1) - 1.001).all())


def test_weights_start_with_unit_variance_between_layers(
    generator: torch.Generator,
) -> None:
    potential = EluPotential(64, [400, 300], generator=generator)
    for weight, before in zip(potential.weights, (64, 400), strict=False):
        assert number(weight.detach().var()) * before == pytest.approx(1.0, rel=0.05)
    assert all(not bool(bias.any()) for bias in potential.biases)
