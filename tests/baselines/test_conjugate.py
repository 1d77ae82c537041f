"""Conjugates against those of quadratic functions and of a network, by their definition."""

import torch
from baselines.given import number, rows
from torch import Tensor

from brenier.baselines.conjugate import ConjugateProblem, solve_conjugate
from brenier.baselines.elu_potential import EluPotential


class Quadratic:
    """The function z' A z / 2 + b . z."""

    def __init__(self, dim: int) -> None:
        root = rows(dim, dim)
        self.matrix = root @ root.mT + 0.5 * torch.eye(dim, dtype=torch.float64)
        self.shift = rows(1, dim, seed=1).squeeze(0)

    def gradient(self, x: Tensor) -> Tensor:
        return x @ self.matrix + self.shift

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value = torch.linalg.vecdot(x, 0.5 * x @ self.matrix + self.shift)
        return value, self.gradient(x)


def test_the_conjugate_of_a_quadratic_is_exact() -> None:
    potential, y = Quadratic(4), rows(100, 4, seed=2)
    solution = solve_conjugate(
        potential, y, torch.zeros_like(y), tol=1e-9, max_steps=200
    )
    truth = torch.linalg.solve(potential.matrix, (y - potential.shift).mT).mT
    assert solution.unconverged == 0
    torch.testing.assert_close(solution.point, truth, rtol=0, atol=1e-7)


def test_a_row_ends_where_its_largest_number_is_small_enough() -> None:
    potential, y = Quadratic(4), rows(200, 4, seed=2)
    solution = solve_conjugate(potential, y, y, tol=0.1, max_steps=200)
    left = (potential.gradient(solution.point) - y).abs().amax(1)
    assert number(left.max()) <= 0.1
    torch.testing.assert_close(solution.residual, left)
    # The Euclidean norm would have asked for more.
    assert bool(((potential.gradient(solution.point) - y).norm(dim=1) > 0.1).any())


def test_a_start_at_the_answer_costs_one_evaluation() -> None:
    potential, y = Quadratic(3), rows(50, 3, seed=2)
    truth = torch.linalg.solve(potential.matrix, (y - potential.shift).mT).mT
    solution = solve_conjugate(potential, y, truth, tol=1e-6, max_steps=9)
    assert solution.evaluations == 50
    assert not bool(solution.steps.any())


def test_hessian_products_are_those_of_finite_differences(
    generator: torch.Generator,
) -> None:
    potential = EluPotential(3, [6, 5], quadratic="fixed", generator=generator).double()
    z, v = rows(20, 3), rows(20, 3, seed=1)
    problem = ConjugateProblem(potential, rows(20, 3, seed=2))
    ahead, behind = (problem.evaluate(z + s * 1e-5 * v)[1] for s in (1, -1))
    torch.testing.assert_close(
        problem.hessian_product(z, v), (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-8
    )
    value, gradient = problem.evaluate(z)
    at = z.clone().requires_grad_()
    objective = potential(at) - (at * problem.y).sum(1)
    torch.testing.assert_close(value, objective.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(objective.sum(), at)[0])
