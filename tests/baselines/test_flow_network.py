"""The network: derivatives written by hand are those of autograd."""

import pytest
import torch

from brenier.baselines.flow_network import FlowNetwork, silu_and_slope


@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_the_jet_is_the_derivative(
    head: bool, layers: int, generator: torch.Generator
) -> None:
    u = FlowNetwork(3, 7, layers, quadratic_head=head, generator=generator).double()
    with torch.no_grad():
        for parameter in u.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise.double())
    x = torch.randn(20, 3, generator=generator, dtype=torch.float64).requires_grad_()
    t = torch.rand(20, generator=generator, dtype=torch.float64).requires_grad_()
    value = u(x, t)
    by_x, by_t = torch.autograd.grad(value.sum(), (x, t))
    jet = u.jet(x, t)
    torch.testing.assert_close(jet.value, value)
    torch.testing.assert_close(jet.gradient, by_x)
    torch.testing.assert_close(jet.speed, by_t)


def test_silu_has_two_derivatives(generator: torch.Generator) -> None:
    s = torch.randn(10, generator=generator, dtype=torch.float64).requires_grad_()
    value, slope = silu_and_slope(s)
    torch.testing.assert_close(value, torch.nn.functional.silu(s))
    (truth,) = torch.autograd.grad(torch.nn.functional.silu(s).sum(), s)
    torch.testing.assert_close(slope, truth)
    assert torch.autograd.gradcheck(silu_and_slope, (s,))


def test_a_new_network_hardly_moves_anything(generator: torch.Generator) -> None:
    u = FlowNetwork(4, generator=generator)
    jet = u.jet(torch.randn(100, 4, generator=generator), torch.zeros(100))
    assert float(jet.gradient.detach().abs().max()) < 0.1
