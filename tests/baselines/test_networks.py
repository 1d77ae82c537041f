"""The networks of the baselines: their gradients, their numbers of parameters, and what is frozen."""

import pytest
import torch

from brenier.baselines.networks import (
    ACTIVATION_LAYERS,
    DenseSquares,
    Perceptron,
    frozen,
    slope_of,
)


@pytest.mark.parametrize("activation", ["celu", "softplus"])
@pytest.mark.parametrize("rank", [1, 2])
def test_the_gradient_is_that_of_autograd(
    activation: str, rank: int, generator: torch.Generator
) -> None:
    psi = DenseSquares(
        3, (5, 4, 6), rank=rank, activation=activation, generator=generator
    ).double()
    x = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(psi.gradient(x), slope_of(psi, x))
    # It can be trained: its derivative in the weights is that of autograd's gradient.
    found = torch.autograd.grad(
        psi.gradient(x).square().sum(), list(psi.parameters()), allow_unused=True
    )
    expected = torch.autograd.grad(
        slope_of(psi, x).square().sum(), list(psi.parameters()), allow_unused=True
    )
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other)


def test_clamped_weights_make_it_convex(generator: torch.Generator) -> None:
    psi = DenseSquares(2, generator=generator).double()
    x = torch.randn(200, 2, generator=generator, dtype=torch.float64)
    y = torch.randn(200, 2, generator=generator, dtype=torch.float64)

    @torch.no_grad()
    def gap() -> torch.Tensor:
        return (psi(x) + psi(y)) / 2 - psi((x + y) / 2)

    assert float(gap().min()) < 0
    psi.clamp_()
    assert float(gap().min()) >= 0


@pytest.mark.parametrize(
    ("dim", "count"), [(6, 8_256), (8, 8_896), (21, 13_056), (43, 29_842), (63, 63_882)]
)
def test_the_published_widths_have_the_published_numbers_of_parameters(
    dim: int, count: int
) -> None:
    assert sum(part.numel() for part in DenseSquares(dim).parameters()) == count


@pytest.mark.parametrize("activation", ACTIVATION_LAYERS)
def test_a_perceptron_has_the_initial_weights_of_torch(
    activation: str, generator: torch.Generator
) -> None:
    layers = Perceptron((50, 400, 3), activation, generator)
    weight = layers[0].weight.detach()  # type: ignore[operator, union-attr]
    assert float(weight.abs().max()) <= 50**-0.5  # type: ignore[operator, arg-type]
    assert abs(float(weight.std()) - (3 * 50) ** -0.5) < 0.003  # type: ignore[operator, arg-type]
    assert layers(torch.zeros(4, 50)).shape == (4, 3)


def test_frozen_networks_get_no_gradient(generator: torch.Generator) -> None:
    one = DenseSquares(2, generator=generator)
    other = DenseSquares(2, generator=generator)
    x = torch.randn(5, 2, generator=generator)
    with frozen(one):
        value = one(other.gradient(x)).sum()
    value.backward()
    assert all(part.grad is None for part in one.parameters())
    assert other.linear.grad is not None
    assert all(part.requires_grad for part in one.parameters())
