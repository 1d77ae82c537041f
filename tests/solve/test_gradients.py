"""How a solve is differentiated: each rule against closed forms and finite differences of re-solved points."""

import itertools
from collections.abc import Callable
from functools import partial

import pytest
import torch
from problems import CONVEX_POTENTIALS, POTENTIALS, gentle, normal, positive_definite
from torch import Tensor

from brenier import NewtonCG, Potential, Quadratic, conjugate
from brenier.solve import detached, implicit, one_step, unrolled
from brenier.solve.gradients import Rule, conjugate_gradients

EXACT: dict[str, Rule] = {
    "implicit": partial(implicit, tol=1e-12),
    "unrolled": partial(unrolled, steps=150, size=0.6),
}


def linear_system(condition: float = 4.0) -> tuple[Tensor, Tensor, Tensor]:
    """A symmetric positive definite A with a graph, right sides b (n, d) with a graph, and the solutions of A y = b."""
    matrix = positive_definite(3, condition=condition).requires_grad_()
    right = normal(4, 3, seed=1).requires_grad_()
    return matrix, right, torch.linalg.solve(matrix, right.mT).mT.detach()


def solved(potential: Potential, z: Tensor, rule: Rule = detached) -> Tensor:
    return conjugate(potential, z, method=NewtonCG(), tol=1e-12, gradients=rule).point


def along(
    potential: Potential, function: Callable[[], Tensor], h: float = 1e-5, seed: int = 5
) -> tuple[float, float]:
    """The derivative of a scalar along a random direction in the parameters: by autograd, by finite differences."""
    parameters = list(potential.parameters())
    directions = [
        normal(*parameter.shape, seed=seed + i)
        for i, parameter in enumerate(parameters)
    ]
    gradients = torch.autograd.grad(function(), parameters, allow_unused=True)
    traced = sum(
        float((g * v).sum())
        for g, v in zip(gradients, directions, strict=True)
        if g is not None
    )
    values = []
    for step in (h, -2 * h, h):  # ahead, behind, and back again
        for parameter, v in zip(parameters, directions, strict=True):
            parameter.data.add_(v, alpha=step)
        values.append(float(function().detach()))
    return traced, (values[0] - values[1]) / (2 * h)


# ---- a quadratic, in closed form


@pytest.mark.parametrize("rule", EXACT.values(), ids=EXACT)
def test_exact_rules_on_a_linear_system(rule: Rule) -> None:
    matrix, right, y = linear_system()
    weight = normal(4, 3, seed=2)
    point = rule(lambda at: at @ matrix - right, y)
    torch.testing.assert_close(point, y, rtol=0, atol=1e-12)
    found = torch.autograd.grad((weight * point).sum(), (matrix, right))
    adjoint = torch.linalg.solve(
        matrix, weight.mT
    ).mT.detach()  # dy/db = A^{-1}, dy/dA = -A^{-1} dA y
    torch.testing.assert_close(found[1], adjoint, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(found[0], -y.mT @ adjoint, rtol=1e-9, atol=1e-10)


def test_detached_has_no_gradient() -> None:
    matrix, right, y = linear_system()
    point = detached(lambda at: at @ matrix - right, y.requires_grad_())
    assert torch.equal(point, y)
    assert not point.requires_grad


def test_one_step_is_exact_where_its_size_inverts_the_jacobian() -> None:
    right = normal(4, 3, seed=1).requires_grad_()
    point = one_step(lambda at: 4.0 * at - right, right.detach() / 4, size=0.25)
    (found,) = torch.autograd.grad(point.sum(), right)
    torch.testing.assert_close(found, torch.full_like(found, 0.25), rtol=0, atol=1e-15)


def curved(theta: Tensor, y: Tensor) -> Tensor:
    """R = A(theta) y + sinh y - b(theta), row by row (n, 3), of a strongly convex objective."""
    matrix = positive_definite(3, condition=4.0)
    pull = theta * torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    return theta.square() * (y @ matrix) + y.sinh() - pull - normal(4, 3, seed=1)


def test_one_step_by_the_inverse_hessian_is_the_implicit_rule() -> None:
    theta = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    y, weight = torch.zeros(4, 3, dtype=torch.float64), normal(4, 3, seed=2)
    matrix = theta.detach().square() * positive_definite(3, condition=4.0)
    for _ in range(30):  # Newton's method
        hessian = matrix + torch.diag_embed(y.cosh())
        y = y - torch.linalg.solve(hessian, curved(theta, y).detach())
    found = [
        torch.autograd.grad((weight * rule(partial(curved, theta), y)).sum(), theta)[0]
        for rule in (
            partial(one_step, size=torch.linalg.inv(hessian)),
            partial(implicit, tol=1e-14),
        )
    ]
    torch.testing.assert_close(found[0], found[1], rtol=1e-10, atol=1e-10)
    plain = torch.autograd.grad(
        (weight * one_step(partial(curved, theta), y)).sum(), theta
    )[0]
    assert not torch.allclose(plain, found[1], rtol=1e-3)


@pytest.mark.parametrize("shape", [(4, 1), (4, 3)])
def test_one_step_multiplies_by_the_sizes_of_rows_and_coordinates(
    shape: tuple[int, int],
) -> None:
    size, right = 0.1 + normal(*shape, seed=3).abs(), normal(4, 3, seed=1)
    right.requires_grad_()
    for given in (size, torch.diag_embed(size.expand(4, 3))):
        point = one_step(lambda at: 2 * at - right, right.detach() / 2, given)
        (found,) = torch.autograd.grad(point.sum(), right)
        torch.testing.assert_close(found, size.expand(4, 3), rtol=0, atol=1e-15)


def test_one_step_replaces_the_inverse_by_its_size() -> None:
    matrix, right, y = linear_system()
    weight = normal(4, 3, seed=2)
    (found,) = torch.autograd.grad(
        (weight * one_step(lambda at: at @ matrix - right, y, size=0.7)).sum(), right
    )
    torch.testing.assert_close(found, 0.7 * weight, rtol=0, atol=1e-14)


def test_unrolled_tends_to_implicit_at_the_rate_of_the_contraction() -> None:
    matrix, right, y = linear_system(condition=4.0)
    weight = normal(4, 3, seed=2)

    def gradient(rule: Rule) -> Tensor:
        return torch.autograd.grad(
            (weight * rule(lambda at: at @ matrix - right, y)).sum(), right
        )[0]

    exact = gradient(partial(implicit, tol=1e-13))
    errors = [
        float((gradient(partial(unrolled, steps=steps, size=1.0)) - exact).norm())
        for steps in (1, 2, 4, 8, 64)
    ]
    rate = 0.75  # of I - A, whose largest eigenvalue is 1 - 1/4
    assert all(later < earlier for earlier, later in itertools.pairwise(errors))
    for steps, error in zip((1, 2, 4, 8, 64), errors, strict=True):
        assert error <= 1.01 * rate**steps * float((weight / 0.25).norm()) + 1e-10


def test_conjugate_gradients_solves_each_row_to_its_own_tolerance() -> None:
    matrix = positive_definite(6, condition=100.0)
    right = normal(5, 6, seed=1) * torch.logspace(
        -8, 8, 5, dtype=torch.float64
    ).unsqueeze(-1)
    right[2] = 0.0
    found = conjugate_gradients(lambda v: v @ matrix, right, 1e-10, 100)
    error = (found @ matrix - right).norm(dim=-1)
    assert (error <= 1e-9 * right.norm(dim=-1)).all()
    assert torch.equal(found[2], torch.zeros(6, dtype=torch.float64))


def test_a_row_without_an_incoming_gradient_sends_none_on() -> None:
    matrix, right, y = linear_system()
    point = implicit(lambda at: at @ matrix - right, y)
    (found,) = torch.autograd.grad(point[1:3].sum(), right)
    assert torch.isfinite(found).all()
    assert not found[[0, 3]].any()
    assert found[1:3].abs().sum() > 0


# ---- potentials, against finite differences of re-solved problems


@pytest.mark.parametrize("new", POTENTIALS.values(), ids=POTENTIALS)
def test_the_envelope_rule_is_exact_for_the_value(
    new: Callable[..., Potential],
) -> None:
    potential, z = gentle(new), normal(6, 3)

    def value() -> Tensor:
        return conjugate(potential, z, method=NewtonCG(), tol=1e-11).value.sum()

    traced, differences = along(potential, value)
    assert traced == pytest.approx(differences, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("rule", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("new", POTENTIALS.values(), ids=POTENTIALS)
def test_exact_rules_differentiate_the_inverse_map(
    new: Callable[..., Potential], rule: Rule
) -> None:
    potential, z, weight = gentle(new), normal(6, 3), normal(6, 3, seed=1)
    traced, differences = along(
        potential, lambda: (weight * solved(potential, z, rule)).sum()
    )
    assert traced == pytest.approx(differences, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("new", POTENTIALS.values(), ids=POTENTIALS)
def test_every_rule_returns_the_point_that_was_found(
    new: Callable[..., Potential],
) -> None:
    potential, z = gentle(new), normal(6, 3)
    found = solved(potential, z)
    for rule in (one_step, implicit, unrolled):
        torch.testing.assert_close(solved(potential, z, rule), found, rtol=0, atol=1e-9)


@pytest.mark.parametrize("new", POTENTIALS.values(), ids=POTENTIALS)
def test_the_inverse_map_is_differentiated_in_its_argument(
    new: Callable[..., Potential],
) -> None:
    """dy*/dz is the inverse of I + Hess g, and so symmetric positive definite."""
    potential, z = gentle(new), normal(6, 3).requires_grad_()
    point = solved(potential, z, partial(implicit, tol=1e-12))
    rows = [
        torch.autograd.grad(point[:, i].sum(), z, retain_graph=True)[0]
        for i in range(3)
    ]
    jacobian = torch.stack(rows, 1)
    columns = [
        (v := jacobian[:, :, i].contiguous())
        + potential.hessian_product(point.detach(), v)
        for i in range(3)
    ]
    eye = torch.eye(3, dtype=torch.float64).expand(6, 3, 3)
    torch.testing.assert_close(torch.stack(columns, -1), eye, rtol=0, atol=1e-8)
    torch.testing.assert_close(jacobian, jacobian.mT, rtol=0, atol=1e-8)


@pytest.mark.parametrize("new", CONVEX_POTENTIALS.values(), ids=CONVEX_POTENTIALS)
def test_one_step_gives_a_direction_of_descent_where_the_step_contracts(
    new: Callable[..., Potential],
) -> None:
    """For a loss of the inverse map, the gradient in its argument by one step and the exact one form an acute angle."""
    potential, z, goal = (
        gentle(new),
        normal(6, 3).requires_grad_(),
        normal(6, 3, seed=1),
    )
    by_rule = {
        rule: torch.autograd.grad(
            (solved(potential, z, rule) - goal).square().sum(), z
        )[0]
        for rule in (one_step, implicit)
    }
    cosine = torch.nn.functional.cosine_similarity(
        by_rule[one_step], by_rule[implicit], dim=-1
    )
    assert (cosine > 0.5).all()
    assert not torch.allclose(by_rule[one_step], by_rule[implicit], rtol=1e-3)


def test_detached_gives_the_point_no_gradient_and_the_value_its_own() -> None:
    potential, z = Quadratic(3).double(), normal(6, 3).requires_grad_()
    found = conjugate(potential, z, tol=1e-10, gradients=detached)
    assert not found.point.requires_grad
    assert found.value.requires_grad


def test_the_inverse_of_an_affine_map_is_differentiated_in_closed_form() -> None:
    """y* = M^{-1}(z - c): the gradient in c is -M^{-1} of what comes in, summed over rows."""
    matrix, weight = positive_definite(3, condition=4.0), normal(6, 3, seed=1)
    potential = Quadratic(3, matrix)
    point = solved(potential, normal(6, 3), partial(implicit, tol=1e-12))
    (weight * point).sum().backward()
    expected = -torch.linalg.solve(matrix, weight.sum(0))
    torch.testing.assert_close(potential.shift.grad, expected, rtol=1e-9, atol=1e-10)


def test_the_value_of_an_affine_map_is_differentiated_in_closed_form() -> None:
    """For g(y) = c.y + y'(M - I)y/2 the envelope's gradient in c is y* = M^{-1}(z - c) itself."""
    matrix, z = positive_definite(3, condition=4.0), normal(6, 3)
    potential = Quadratic(3, matrix, normal(3, seed=2))
    conjugate(potential, z, tol=1e-11).value.sum().backward()
    expected = torch.linalg.solve(matrix, (z - normal(3, seed=2)).mT).sum(-1)
    torch.testing.assert_close(potential.shift.grad, expected, rtol=1e-9, atol=1e-10)
