"""Hamiltonians whose minimisers are known: derivatives against autograd, minimisers against the equation."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from control.problems_of_control import EVERY, situation
from problems import normal
from scipy.special import lambertw
from torch import Tensor

from brenier.control import (
    AutodiffHamiltonian,
    ControlProblem,
    ExponentialHamiltonian,
    Hamiltonian,
    QuadraticHamiltonian,
    QuarticHamiltonian,
)
from brenier.control.known_hamiltonians import exponential_speed, lambert_w_of_log
from brenier.control.problems.habits import HabitHamiltonian
from brenier.solve import NewtonCG, minimise

ANALYTIC = {
    name: problem
    for name, problem in EVERY.items()
    if type(problem).hamiltonian is not ControlProblem.hamiltonian
}
analytic = pytest.mark.parametrize("problem", ANALYTIC.values(), ids=ANALYTIC.keys())

WEIGHTS = torch.tensor([[2.0, 0.5, 0], [0.5, 1.0, 0.2], [0, 0.2, 0.5]])
KINDS: dict[str, Callable[[Tensor], Hamiltonian]] = {
    "quadratic": lambda b: QuadraticHamiltonian(b, 0.7),
    "quadratic by a matrix": lambda b: QuadraticHamiltonian(b, WEIGHTS),
    "exponential": ExponentialHamiltonian,
    "exponential of spread 6": lambda b: ExponentialHamiltonian(b, 6.0),
    "exponential of spread 400": lambda b: ExponentialHamiltonian(b, 400.0),
    "quartic": QuarticHamiltonian,
}
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
precisions = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


same = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-11)


def of_every_length(dtype: torch.dtype) -> Tensor:
    """B = f_u' p from zero to 1e8 along one direction: (n, 3)."""
    lengths = torch.cat(
        [torch.zeros(1), torch.logspace(-30, 8, 400, dtype=torch.float64)]
    )
    direction = torch.tensor([0.6, -0.64, 0.48], dtype=torch.float64)
    return (lengths.unsqueeze(-1) * direction).to(dtype)


# ---- against autograd, every problem


@analytic
def test_derivatives_are_those_of_autograd(problem: ControlProblem) -> None:
    t, z, p, u = situation(problem)
    v = normal(*u.shape, seed=9)
    known, other = problem.hamiltonian(t, z, p), AutodiffHamiltonian(problem, t, z, p)
    start = problem.first_control(t, z)
    same(known.value(u) - known.value(start), other.value(u) - other.value(start))
    same(known.gradient(u), other.gradient(u))
    same(known.hessian(u), other.hessian(u))
    same(known.hessian_product(u, v), other.hessian_product(u, v))
    same(known.diagonal(u), other.diagonal(u))
    if not isinstance(known, HabitHamiltonian):  # whose units are those of its bounds
        same(known.scale, other.scale)
    assert bool((known.scale >= 1).all())
    value, gradient = known.evaluate(u)
    torch.testing.assert_close(value, known.value(u))
    torch.testing.assert_close(gradient, known.gradient(u))


@analytic
def test_gradients_have_the_graph_of_autograd(problem: ControlProblem) -> None:
    at = situation(problem)
    weights = normal(*at.u.shape, seed=9)
    found = []
    for make in (problem.hamiltonian, lambda *at: AutodiffHamiltonian(problem, *at)):
        z, p, u = (part.clone().requires_grad_() for part in at[1:])
        weighted = (weights * make(at.t, z, p).gradient(u)).sum()
        weighted = weighted + 0 * (z.sum() + p.sum() + u.sum())
        found.append(torch.autograd.grad(weighted, (z, p, u)))
    for known, other in zip(*found, strict=True):
        same(known, other)


@analytic
def test_curvature_is_at_least_the_largest_eigenvalue(problem: ControlProblem) -> None:
    t, z, p, u = situation(problem)
    hamiltonian = problem.hamiltonian(t, z, p)
    largest = torch.linalg.eigvalsh(hamiltonian.hessian(u)).abs().amax(-1)
    assert (hamiltonian.curvature(u) >= largest * (1 - 1e-12)).all()


@analytic
@torch.no_grad()
def test_exact_controls_minimise(problem: ControlProblem) -> None:
    t, z, p, _ = situation(problem)
    hamiltonian = AutodiffHamiltonian(problem, t, z, p)
    exact = problem.hamiltonian(t, z, p).exact()
    if exact is None:
        pytest.skip("no closed form")
    assert not exact.requires_grad
    residual = hamiltonian.residual(exact, hamiltonian.gradient(exact))
    assert float(residual.max()) < 1e-12
    least = hamiltonian.value(exact)
    for seed in range(5):
        other = exact + 0.1 * normal(*exact.shape, seed=seed)
        bounds = hamiltonian.bounds
        other = other if bounds is None else bounds.clip(other)
        assert (hamiltonian.value(other) >= least).all()


# ---- each kind


@every_kind
@precisions
def test_exact_controls_are_exact_at_every_length(
    kind: Callable[[Tensor], Hamiltonian], dtype: torch.dtype
) -> None:
    b = of_every_length(dtype)
    hamiltonian = kind(b)
    u = hamiltonian.exact()
    assert u is not None
    assert u.dtype == dtype
    assert (u[0] == 0).all()
    # No norm: the square of so small a number is zero in single precision.
    relative = hamiltonian.gradient(u)[1:].abs().amax(-1) / b[1:].abs().amax(-1)
    # An exponential magnifies the last digit of a control by |u|^2 / spread, up to 35 times here.
    assert float(relative.max()) < 200 * torch.finfo(dtype).eps


@every_kind
def test_a_search_finds_the_exact_control(
    kind: Callable[[Tensor], Hamiltonian],
) -> None:
    hamiltonian = kind(normal(20, 3) * torch.logspace(-2, 2, 20).unsqueeze(-1))
    u = hamiltonian.exact()
    assert u is not None
    found = minimise(hamiltonian, NewtonCG(), torch.zeros_like(u), tol=1e-12)
    torch.testing.assert_close(found.check().point, u, rtol=1e-7, atol=1e-9)


@every_kind
def test_rows_and_detached_are_the_same_problem(
    kind: Callable[[Tensor], Hamiltonian],
) -> None:
    b = normal(6, 3).requires_grad_()
    u, index = normal(6, 3, seed=1), torch.tensor([4, 1])
    whole = kind(b)
    part, free = whole.rows(index), whole.detached()
    assert type(part) is type(free) is type(whole)
    torch.testing.assert_close(part.gradient(u[index]), whole.gradient(u)[index])
    torch.testing.assert_close(part.value(u[index]), whole.value(u)[index])
    torch.testing.assert_close(part.scale, whole.scale[index])
    assert part.gradient(u[index]).requires_grad
    assert torch.equal(free.gradient(u), whole.gradient(u))
    assert not free.gradient(u).requires_grad


@every_kind
def test_only_value_and_gradient_have_a_graph(
    kind: Callable[[Tensor], Hamiltonian],
) -> None:
    hamiltonian = kind(normal(6, 3).requires_grad_())
    u = normal(6, 3, seed=1).requires_grad_()
    for plain in (
        hamiltonian.hessian(u),
        hamiltonian.hessian_product(u, u),
        hamiltonian.diagonal(u),
        hamiltonian.curvature(u),
        hamiltonian.exact(),
        hamiltonian.scale,
        *hamiltonian.evaluate(u),
    ):
        assert plain is not None
        assert not plain.requires_grad
    assert hamiltonian.gradient(u).requires_grad
    with torch.no_grad():
        assert not hamiltonian.gradient(u).requires_grad


@every_kind
def test_curvature_is_tight_along_the_control(
    kind: Callable[[Tensor], Hamiltonian],
) -> None:
    hamiltonian, u = kind(normal(6, 3)), normal(6, 3, seed=1)
    largest = torch.linalg.eigvalsh(hamiltonian.hessian(u))[:, -1]
    torch.testing.assert_close(hamiltonian.curvature(u), largest)


# ---- known values


@pytest.mark.parametrize(
    ("spread", "length", "speed"),
    [
        (1, 1, 0.753089),
        (1, 10, 1.840008),
        (1, 1000, 3.373923),
        (6, 3, 4.184302),
        (100, 2, 21.188871),
    ],
)
def test_exponential_controls_are_those_of_lamberts_function(
    spread: float, length: float, speed: float
) -> None:
    b = torch.zeros(1, 5, dtype=torch.float64)
    b[0, 3] = length
    u = ExponentialHamiltonian(b, spread).exact()
    assert float(u[0, 3]) == pytest.approx(-speed, abs=1e-6)
    assert float(u.norm()) == pytest.approx(speed, abs=1e-6)


def test_lamberts_function_is_that_of_scipy() -> None:
    y = torch.linspace(-300, 300, 2001, dtype=torch.float64)
    expected = torch.from_numpy(lambertw(y.exp().numpy()).real)
    torch.testing.assert_close(lambert_w_of_log(y), expected, rtol=1e-13, atol=0)


@precisions
def test_speeds_keep_their_digits_near_zero(dtype: torch.dtype) -> None:
    force = torch.logspace(-37, -9, 100, dtype=torch.float64).to(dtype)
    found = exponential_speed(force, 1.0)
    torch.testing.assert_close(found, force, rtol=4 * torch.finfo(dtype).eps, atol=0)


def test_quartic_controls_are_cardanos() -> None:
    # s + s^3 = 10 at s = 2, along (3, 4) / 5.
    u = QuarticHamiltonian(torch.tensor([[6.0, 8.0]], dtype=torch.float64)).exact()
    torch.testing.assert_close(u, torch.tensor([[-1.2, -1.6]], dtype=torch.float64))
    huge = torch.tensor([[1e30]], dtype=torch.float64)
    assert float(QuarticHamiltonian(huge).exact()) == pytest.approx(-1e10)


def test_quadratic_controls_solve_the_weights() -> None:
    b = normal(4, 3, dtype=torch.float32)
    u = QuadraticHamiltonian(b, WEIGHTS).exact()
    torch.testing.assert_close(u @ WEIGHTS, -b)
    torch.testing.assert_close(
        QuadraticHamiltonian(b, 4.0).exact(), -b / 4, rtol=0, atol=0
    )


@pytest.mark.parametrize("kind", [ExponentialHamiltonian, QuarticHamiltonian])
def test_products_do_not_form_matrices(
    kind: Callable[[Tensor], Hamiltonian], monkeypatch: pytest.MonkeyPatch
) -> None:
    hamiltonian = kind(normal(2, 400))
    monkeypatch.setattr(type(hamiltonian), "hessian", None)
    u = normal(2, 400, seed=1) / math.sqrt(400)
    assert hamiltonian.hessian_product(u, u).shape == (2, 400)
    assert hamiltonian.diagonal(u).shape == (2, 400)
    assert hamiltonian.curvature(u).shape == (2,)
