"""The velocity network of FFJORD: its Jacobian by hand against autograd, and estimates against what they estimate."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from brenier.baselines.concat_squash import ConcatSquash, ConcatSquashField

TIME = 0.37


def field(hidden: list[int], activation: str, dim: int = 3) -> ConcatSquashField:
    generator = torch.Generator().manual_seed(4)
    return ConcatSquashField(dim, hidden, activation, generator).double()


def rows(n: int, dim: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(n, dim, generator=generator, dtype=torch.float64)


def jacobians(network: ConcatSquashField, x: Tensor) -> Tensor:
    each = [
        torch.autograd.functional.jacobian(
            lambda row: network(TIME, row[None])[0], row, create_graph=True
        )
        for row in x
    ]
    return torch.stack(each)


def test_a_layer_gates_and_shifts_by_the_time() -> None:
    layer = ConcatSquash(3, 4, torch.Generator().manual_seed(0))
    x = rows(5).float()
    matrix, offset = layer.at(TIME)
    linear = x @ layer.weight.mT + layer.bias
    gate = torch.sigmoid(layer.gate * TIME + layer.gate_bias)
    expected = linear * gate + layer.shift * TIME
    torch.testing.assert_close(x @ matrix.mT + offset, expected)
    assert sum(part.numel() for part in layer.parameters()) == 3 * 4 + 4 * 4


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
@pytest.mark.parametrize("hidden", [[], [5], [6, 4], [4, 5, 6]])
def test_exact_divergences_are_those_of_autograd(
    hidden: list[int], activation: str
) -> None:
    network, x = field(hidden, activation), rows(4)
    found, whole = network.exactly(TIME, x), jacobians(network, x)
    torch.testing.assert_close(found.velocity, network(TIME, x))
    trace = whole.diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(found.divergence, trace)
    torch.testing.assert_close(found.square, whole.square().sum((1, 2)))


@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_estimates_are_products_with_the_jacobian(activation: str) -> None:
    network, x, probe = field([6, 4], activation), rows(4), rows(8)[4:]
    found = network.estimated(TIME, x, probe)
    pulled = torch.einsum("ni,nij->nj", probe, jacobians(network, x))
    torch.testing.assert_close(found.velocity, network(TIME, x))
    torch.testing.assert_close(found.divergence, (pulled * probe).sum(1))
    torch.testing.assert_close(found.square, pulled.square().sum(1))


def test_estimates_have_no_bias() -> None:
    network, n = field([6, 4], "tanh"), 40_000
    x, probe = rows(1).expand(n, -1), rows(n)
    with torch.no_grad():
        exact = network.exactly(TIME, x[:1])
        found = network.estimated(TIME, x, probe)
    for name in ("divergence", "square"):
        draws = getattr(found, name)
        deviation = float(draws.mean() - getattr(exact, name)[0])
        assert abs(deviation) < 4 * float(draws.std()) / n**0.5
        assert float(draws.std()) > 0


def test_gradients_of_divergences_are_those_of_autograd() -> None:
    network, x = field([5], "tanh"), rows(2)
    parts = list(network.parameters())
    trace = jacobians(network, x).diagonal(dim1=1, dim2=2).sum()
    expected = torch.autograd.grad(trace, parts, allow_unused=True)
    exact = network.exactly(TIME, x).divergence.sum()
    found = torch.autograd.grad(exact, parts, allow_unused=True)
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other)


def test_a_silent_field_is_zero() -> None:
    network, x = field([5], "tanh"), rows(3)
    network.silence_()
    assert not network(TIME, x).any()
    sizes = [3, 5, 3]
    count = sum(a * b + 4 * b for a, b in pairwise(sizes))
    assert sum(part.numel() for part in network.parameters()) == count
