"""The inner problem: points where the slope is what was asked for."""

import pytest
import torch
from baselines.duals import convex, quadratic

from brenier.baselines.inner_supremum import Supremum, solve_batch, solve_rows
from brenier.baselines.networks import DenseSquares


@pytest.mark.parametrize("activation", ["celu", "softplus"])
@pytest.mark.parametrize("rank", [1, 3])
def test_value_and_gradient_are_those_of_the_potential(
    activation: str, rank: int, generator: torch.Generator
) -> None:
    potential = DenseSquares(
        3, rank=rank, activation=activation, deviation=0.5, generator=generator
    ).double()
    x = torch.randn(20, 3, generator=generator, dtype=torch.float64).requires_grad_()
    value, gradient = potential.value_and_gradient(x)
    torch.testing.assert_close(value, potential(x))
    torch.testing.assert_close(gradient, torch.autograd.grad(value.sum(), x)[0])
    torch.testing.assert_close(gradient, potential.gradient(x))


def test_every_row_is_solved(generator: torch.Generator) -> None:
    potential = convex(3, generator)
    y = 5 * torch.randn(100, 3, generator=generator, dtype=torch.float64)
    found = solve_rows(potential, y, y, 1e-8, 500)
    assert found.unconverged == 0
    missed = (potential.gradient(found.point) - y).detach().norm(dim=-1)
    assert float(missed.max()) < 1e-8


def test_the_supremum_of_a_square_is_known() -> None:
    y = torch.tensor([[2.0, -4.0], [0.0, 1.0]], dtype=torch.float64)
    found = solve_rows(quadratic(2, 4.0, 1.0), y, y, 1e-10, 50)
    torch.testing.assert_close(found.point, (y - 1) / 4)
    start = torch.zeros_like(y)
    adam = solve_batch(quadratic(2, 4.0, 1.0), y, start, 0.1, 1e-6, 1000)
    torch.testing.assert_close(adam.point, (y - 1) / 4, atol=1e-4, rtol=0)


def test_products_with_the_hessian_are_differences_of_slopes(
    generator: torch.Generator,
) -> None:
    problem = Supremum(
        convex(3, generator), torch.zeros(8, 3, dtype=torch.float64)
    ).rows(torch.arange(5))
    at, v = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    ahead, behind = (problem.evaluate(at + step * v)[1] for step in (1e-5, -1e-5))
    expected = (ahead - behind) / 2e-5
    torch.testing.assert_close(
        problem.hessian_product(at, v), expected, atol=1e-6, rtol=1e-6
    )


def test_adam_ends_at_the_mean_and_leaves_single_rows(
    generator: torch.Generator,
) -> None:
    potential = convex(2, generator)
    y = torch.randn(200, 2, generator=generator, dtype=torch.float64)
    start = torch.rand(200, 2, generator=generator, dtype=torch.float64)
    found = solve_batch(potential, y, start, 0.1, 1e-3, 1000)
    missed = potential.gradient(found.point).detach() - y
    residual = missed.square().mean(-1).sqrt()
    torch.testing.assert_close(found.residual, residual)
    assert 0 < found.steps < 1000
    assert float(residual.mean()) < 1e-3 < float(residual.max())
    shorter = solve_batch(potential, y, start, 0.1, 1e-3, found.steps - 1)
    assert shorter.steps == found.steps - 1
    assert float(shorter.residual.mean()) >= 1e-3
