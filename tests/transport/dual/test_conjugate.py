"""The conjugate of a potential and the inverse map: closed forms, inequalities, and an independent minimiser."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from problems import (
    CURVED_METHODS,
    METHODS,
    POTENTIALS,
    ROW_WISE_METHODS,
    gentle,
    normal,
    positive_definite,
)
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor

from brenier import BFGS, GradientStep, Potential, Quadratic, Status, conjugate
from brenier.solve import Method

New = Callable[..., Potential]
EVERY = pytest.mark.parametrize("new", POTENTIALS.values(), ids=POTENTIALS)
SOLVE = partial(conjugate, tol=1e-10, max_steps=500)


def inner(potential: Potential, y: Tensor, z: Tensor) -> Tensor:
    """F(y) = |y - z|^2/2 + g(y): (n,)."""
    return (y - z).square().sum(-1) / 2 + potential(y)


# ---- closed forms


def test_the_envelope_of_a_quadratic_is_known() -> None:
    """With M y = z - c at the minimum, env(z) = |z|^2/2 - (z - c)'M^{-1}(z - c)/2."""
    matrix, shift, z = (
        positive_definite(4, condition=20.0, largest=3.0),
        normal(4, seed=1),
        3 * normal(9, 4, seed=2),
    )
    found = SOLVE(Quadratic(4, matrix, shift), z)
    point = torch.linalg.solve(matrix, (z - shift).mT).mT
    torch.testing.assert_close(found.point, point, rtol=0, atol=1e-8)
    expected = (z.square().sum(-1) - ((z - shift) * point).sum(-1)) / 2
    torch.testing.assert_close(found.value, expected, rtol=1e-10, atol=1e-10)


def test_the_envelope_of_nothing_is_nothing() -> None:
    z = normal(5, 3)
    found = SOLVE(Quadratic(3, torch.eye(3, dtype=torch.float64)), z)
    torch.testing.assert_close(found.point, z, rtol=0, atol=1e-14)
    torch.testing.assert_close(
        found.value, torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-14
    )
    assert found.solution.evaluations == 5


def test_the_envelope_of_the_absolute_value_is_hubers() -> None:
    """A potential with a kink, rounded at 1e-4: soft thresholding, and |z| - 1/2 or z^2/2."""

    class Rounded(Potential):
        dim = 1

        def forward(self, x: Tensor) -> Tensor:
            return (x.square() + 1e-8).sqrt().sum(-1)

    z = torch.tensor([[-3.0], [-0.5], [0.2], [2.0]], dtype=torch.float64)
    found = conjugate(Rounded(), z, tol=1e-9, max_steps=500)
    found.solution.check()
    torch.testing.assert_close(
        found.point,
        torch.tensor([[-2.0], [0.0], [0.0], [1.0]]).double(),
        rtol=0,
        atol=1e-3,
    )
    expected = torch.tensor([2.5, 0.125, 0.02, 1.5]).double()
    torch.testing.assert_close(found.value.detach(), expected, rtol=0, atol=1e-3)


# ---- laws of every potential


@EVERY
def test_the_point_solves_the_fixed_point_equation(new: New) -> None:
    """It is the y whose image y + grad g(y) is z, to the tol."""
    potential, z = new(size=0.5), 2 * normal(20, 3)
    found = conjugate(potential, z, tol=1e-8, max_steps=500)
    found.solution.check()
    residual = (found.point + potential.gradient(found.point) - z).norm(dim=-1)
    assert (residual <= 1.01e-8).all()
    torch.testing.assert_close(
        residual.detach(), found.solution.residual, rtol=0, atol=1e-11
    )


@EVERY
def test_the_inverse_undoes_the_map_and_the_map_the_inverse(new: New) -> None:
    potential, x = gentle(new), 2 * normal(20, 3)
    with torch.no_grad():
        back = SOLVE(potential, x + potential.gradient(x)).point
        torch.testing.assert_close(back, x, rtol=0, atol=1e-8)
        point = SOLVE(potential, x).point
        torch.testing.assert_close(
            point + potential.gradient(point), x, rtol=0, atol=1e-9
        )


@EVERY
def test_the_envelope_lies_below_every_other_point(new: New) -> None:
    potential, z = gentle(new), normal(20, 3)
    with torch.no_grad():
        value = SOLVE(potential, z).value
        for seed, spread in enumerate((1e-3, 0.1, 1.0, 10.0)):
            other = z + spread * normal(20, 3, seed=seed)
            assert (value <= inner(potential, other, z) + 1e-12).all()


@EVERY
def test_fenchel_and_young(new: New) -> None:
    """psi(x) + psi*(z) >= <x, z>, equal where z is the image of x; here psi*(z) = |z|^2/2 - env(z)."""
    potential, x, z = gentle(new), normal(20, 3), normal(20, 3, seed=1)
    with torch.no_grad():
        image = x + potential.gradient(x)
        for points, equal in ((z, False), (image, True)):
            psi = x.square().sum(-1) / 2 + potential(x)
            dual = points.square().sum(-1) / 2 - SOLVE(potential, points).value
            gap = psi + dual - (x * points).sum(-1)
            assert (gap >= -1e-12).all()
            assert (gap < 1e-12).all() if equal else (gap > 1e-6).any()


@EVERY
def test_the_gradient_of_the_envelope_is_the_displacement(new: New) -> None:
    potential, z = gentle(new), normal(20, 3).requires_grad_()
    found = SOLVE(potential, z)
    (gradient,) = torch.autograd.grad(found.value.sum(), z)
    torch.testing.assert_close(gradient, z - found.point, rtol=0, atol=1e-12)
    v, h = normal(20, 3, seed=4), 1e-4
    with torch.no_grad():
        along = (
            SOLVE(potential, z + h * v).value - SOLVE(potential, z - h * v).value
        ) / (2 * h)
        torch.testing.assert_close(along, (gradient * v).sum(-1), rtol=1e-5, atol=1e-7)


@EVERY
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_methods_agree(method: Method, new: New) -> None:
    potential, z = gentle(new), normal(6, 3)
    found = conjugate(potential, z, method=method, tol=1e-6, max_steps=5000)
    found.solution.check()
    with torch.no_grad():
        expected = SOLVE(potential, z)
        torch.testing.assert_close(found.point, expected.point, rtol=0, atol=1e-5)
        torch.testing.assert_close(found.value, expected.value, rtol=0, atol=1e-10)


@EVERY
def test_single_precision_is_enough_for_the_default_tol(new: New) -> None:
    """Near the data and far from them: there the value's rounding error exceeds what the last steps gain."""
    for seed, spread in ((0, 1.0), (1, 20.0)):
        potential, z = (
            new(size=0.2, seed=seed).float(),
            spread * normal(50, 3, seed=seed, dtype=torch.float32),
        )
        found = conjugate(potential, z)
        assert found.solution.report() == "all 50 rows converged"
        assert found.point.dtype == found.value.dtype == torch.float32


@pytest.mark.parametrize("method", CURVED_METHODS.values(), ids=CURVED_METHODS)
def test_rounding_errors_of_the_value_stall_no_row(method: Method) -> None:
    """The minimum is a small difference of |y - z|^2/2 and g(y), both of order 1e4 here."""
    for seed in range(6):
        potential = Quadratic(
            3, positive_definite(3, condition=300.0, largest=5.0, seed=seed)
        )
        found = conjugate(
            potential, 10 * normal(40, 3, seed=seed), method=method, tol=1e-8
        )
        assert found.solution.report() == "all 40 rows converged"


# ---- independent minimisers


@pytest.mark.parametrize("z", [-2.0, 0.3, 1.7])
@EVERY
def test_scipy_agrees_in_one_dimension(new: New, z: float) -> None:
    potential = gentle(new, 1)

    def objective(y: float) -> float:
        at = torch.tensor([[y]], dtype=torch.float64)
        return float(
            inner(potential, at, torch.tensor([[z]], dtype=torch.float64)).detach()
        )

    grid = np.linspace(-20, 20, 401)
    near = grid[np.argmin([objective(y) for y in grid])]
    expected = minimize_scalar(
        objective,
        bounds=(near - 0.1, near + 0.1),
        method="bounded",
        options={"xatol": 1e-9},
    )
    found = SOLVE(potential, torch.tensor([[z]], dtype=torch.float64))
    assert found.value.item() == pytest.approx(expected.fun, abs=1e-10)
    assert found.point.item() == pytest.approx(expected.x, abs=1e-5)


@EVERY
def test_scipy_agrees_in_three_dimensions(new: New) -> None:
    potential, z = gentle(new), normal(4, 3)
    found = SOLVE(potential, z)
    for i in range(4):

        def objective(
            y: np.ndarray, row: Tensor = z[i : i + 1]
        ) -> tuple[float, np.ndarray]:
            at = torch.from_numpy(y).unsqueeze(0)
            slope = at - row + potential.gradient(at)
            return float(inner(potential, at, row).detach()), slope[0].detach().numpy()

        expected = minimize(
            objective, np.zeros(3), jac=True, method="BFGS", options={"gtol": 1e-9}
        )
        np.testing.assert_allclose(
            found.point[i].detach().numpy(), expected.x, atol=1e-6
        )
        assert found.value[i].item() == pytest.approx(expected.fun, abs=1e-11)


# ---- how it is called


def test_a_good_start_saves_evaluations_and_a_bad_one_only_costs_some() -> None:
    potential, z = gentle(POTENTIALS["free celu"]), normal(20, 3)
    plain = conjugate(potential, z, tol=1e-6)
    good = conjugate(potential, z, tol=1e-6, start=plain.point + 1e-4)
    bad = conjugate(potential, z, tol=1e-6, start=z + 100)
    assert (
        good.solution.evaluations
        < plain.solution.evaluations
        < bad.solution.evaluations
    )
    for other in (good, bad):
        torch.testing.assert_close(other.point, plain.point, rtol=0, atol=1e-4)


def test_the_start_carries_no_gradient() -> None:
    start = normal(5, 3).requires_grad_()
    found = conjugate(Quadratic(3).double(), normal(5, 3), start=start, tol=1e-8)
    assert torch.autograd.grad(found.value.sum(), start, allow_unused=True) == (None,)


def test_a_tol_per_row_is_kept() -> None:
    tol = torch.logspace(-2, -8, 20, dtype=torch.float64)
    found = conjugate(POTENTIALS["convex celu"](size=0.3), normal(20, 3), tol=tol)
    assert (found.solution.residual <= tol).all()


def test_rows_that_were_given_up_have_a_value_and_say_so() -> None:
    potential, z = POTENTIALS["convex celu"](size=0.5), normal(10, 3)
    found = conjugate(potential, z, tol=1e-12, max_steps=2)
    assert (found.solution.status == Status.OUT_OF_STEPS).all()
    torch.testing.assert_close(found.value, inner(potential, found.point, z))


def test_a_row_of_nan_spoils_nothing_but_itself() -> None:
    potential, z = gentle(POTENTIALS["free celu"]), normal(5, 3)
    z[2] = torch.nan
    for method in ROW_WISE_METHODS.values():
        potential.zero_grad()
        found = conjugate(potential, z, method=method, tol=1e-6, max_steps=2000)
        assert found.solution.status.tolist() == [0, 0, int(Status.NON_FINITE), 0, 0]
        assert torch.isnan(found.value[2])
        found.value[[0, 1, 3, 4]].sum().backward()
        assert all(
            torch.isfinite(p.grad).all()
            for p in potential.parameters()
            if p.grad is not None
        )


def test_no_rows() -> None:
    found = conjugate(Quadratic(3), torch.zeros(0, 3))
    assert found.value.shape == (0,)
    assert found.point.shape == (0, 3)


def test_bfgs_is_the_default() -> None:
    potential, z = POTENTIALS["convex celu"](size=0.3), normal(5, 3)
    default, same, other = (
        conjugate(potential, z, method=method)
        for method in (None, BFGS(), GradientStep())
    )
    assert torch.equal(default.point, same.point)
    assert (
        default.solution.evaluations
        == same.solution.evaluations
        != other.solution.evaluations
    )
