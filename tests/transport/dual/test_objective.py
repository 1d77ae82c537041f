"""The dual objective: closed forms between Gaussians, weak duality on samples, gradients, errors, lost rows."""

from collections.abc import Callable

import ot
import pytest
import torch
from problems import (
    CONVEX_POTENTIALS,
    POTENTIALS,
    gentle,
    normal,
    positive_definite,
    with_moments,
)
from torch import Tensor

from brenier import DualObjective, GradientStep, NewtonCG, Potential, Quadratic, Status
from brenier.statistics.estimates import standard_error
from brenier.statistics.gaussian import Gaussian, gaussian_map

New = Callable[..., Potential]
EVERY = pytest.mark.parametrize("new", POTENTIALS.values(), ids=POTENTIALS)
EXACT = DualObjective(method=NewtonCG(), tol=1e-11)

SOURCE = Gaussian(normal(3), positive_definite(3, condition=5.0, largest=2.0))
TARGET = Gaussian(normal(3, seed=1), positive_definite(3, condition=8.0, seed=2))


def samples() -> tuple[Tensor, Tensor]:
    """Samples whose first two moments are exactly those of SOURCE and TARGET."""
    return with_moments(40, *SOURCE), with_moments(50, *TARGET, seed=1)


def bures() -> float:
    """W2^2/2 between SOURCE and TARGET, by an independent library."""
    return (
        float(
            ot.gaussian.bures_wasserstein_distance(
                SOURCE[0], TARGET[0], SOURCE[1], TARGET[1]
            )
        )
        ** 2
        / 2
    )


def discrete(x: Tensor, z: Tensor) -> float:
    """W2^2/2 between two sets of samples, exactly."""
    return float(ot.emd2([], [], (torch.cdist(x, z).square() / 2).numpy()))


# ---- between Gaussians


@pytest.mark.parametrize("seed", range(3))
def test_the_objective_of_an_affine_map_between_gaussians(seed: int) -> None:
    """E g = tr((M - I) S0)/2 + m0'(M - I)m0/2 + c.m0, and E env = E|z|^2/2 - E (z - c)'M^{-1}(z - c)/2."""
    matrix, shift = (
        positive_definite(3, condition=6.0, largest=2.0, seed=seed),
        normal(3, seed=seed),
    )
    flat, away = matrix - torch.eye(3), TARGET.mean - shift
    source = (
        (flat * SOURCE.covariance).sum() / 2
        + SOURCE.mean @ flat @ SOURCE.mean / 2
        + shift @ SOURCE.mean
    )
    square = TARGET.covariance.trace() + TARGET.mean @ TARGET.mean
    inverse = torch.linalg.inv(matrix)
    target = (square - (inverse * TARGET.covariance).sum() - away @ inverse @ away) / 2
    value = EXACT(Quadratic(3, matrix, shift), *samples())
    torch.testing.assert_close(
        value.loss.detach(), source - target, rtol=1e-10, atol=1e-10
    )
    assert -value.loss.item() <= bures()


def test_the_optimal_map_between_gaussians_attains_their_distance() -> None:
    matrix = gaussian_map(SOURCE, TARGET)
    value = EXACT(Quadratic(3, matrix, TARGET.mean - matrix @ SOURCE.mean), *samples())
    assert -value.loss.item() == pytest.approx(bures(), rel=1e-10)


def test_no_affine_map_near_the_optimal_one_does_better() -> None:
    matrix = gaussian_map(SOURCE, TARGET)
    potential = Quadratic(3, matrix, TARGET.mean - matrix @ SOURCE.mean)
    for parameter in potential.parameters():
        parameter.data += 0.05 * normal(*parameter.shape, seed=7)
    assert -EXACT(potential, *samples()).loss.item() < bures() - 1e-5


def test_the_gradient_vanishes_at_the_optimal_map() -> None:
    matrix = gaussian_map(SOURCE, TARGET)
    potential = Quadratic(3, matrix, TARGET.mean - matrix @ SOURCE.mean)
    EXACT(potential, *samples()).loss.backward()
    for parameter in potential.parameters():
        torch.testing.assert_close(
            parameter.grad, torch.zeros_like(parameter), rtol=0, atol=1e-9
        )


def test_translations_are_measured_exactly() -> None:
    shift, x = normal(3), normal(30, 3)
    value = EXACT(Quadratic(3, shift=shift), x, x + shift)
    assert -value.loss.item() == pytest.approx(
        float(shift.square().sum()) / 2, rel=1e-12
    )


# ---- weak duality, on the very samples averaged over


@pytest.mark.parametrize("new", CONVEX_POTENTIALS.values(), ids=CONVEX_POTENTIALS)
@pytest.mark.parametrize("size", [0.1, 0.5, 1.0])
def test_weak_duality_holds_exactly_on_samples(new: New, size: float) -> None:
    for seed in range(4):
        x, z = normal(20, 3, seed=seed), 2 * normal(20, 3, seed=seed + 40) + 1
        value = DualObjective(tol=1e-9, max_steps=1000)(new(size=size, seed=seed), x, z)
        value.solution.check()
        assert -value.loss.item() <= discrete(x, z) + 1e-9


@EVERY
def test_weak_duality_holds_for_free_networks_whose_psi_is_convex(new: New) -> None:
    for seed in range(4):
        x, z = normal(20, 3, seed=seed), 2 * normal(25, 3, seed=seed + 40) + 1
        value = EXACT(gentle(new, seed=seed), x, z)
        assert -value.loss.item() <= discrete(x, z) + 1e-9


def test_the_bound_is_tight_where_samples_are_moved_by_the_map_itself() -> None:
    """For z = T(x) the pairing is optimal, since psi is convex, and the bound is attained."""
    potential, x = CONVEX_POTENTIALS["convex celu"](size=0.3), normal(20, 3)
    z = (x + potential.gradient(x)).detach()
    assert -EXACT(potential, x, z).loss.item() == pytest.approx(
        discrete(x, z), rel=1e-9
    )


# ---- the loss


@EVERY
def test_the_gradient_of_the_loss_is_that_of_re_solved_values(new: New) -> None:
    potential, (x, z), h = gentle(new), samples(), 1e-5
    EXACT(potential, x, z).loss.backward()
    ways = [
        normal(*parameter.shape, seed=i)
        for i, parameter in enumerate(potential.parameters())
    ]
    pairs = list(zip(potential.parameters(), ways, strict=True))
    along = sum(float((p.grad * way).sum()) for p, way in pairs if p.grad is not None)
    values = []
    for step in (h, -2 * h):
        for parameter, way in pairs:
            parameter.data.add_(way, alpha=step)
        values.append(EXACT(potential, x, z).loss.item())
    assert along == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-6, abs=1e-7)


@EVERY
def test_the_loss_has_the_value_of_j_and_the_gradient_of_the_surrogate(
    new: New,
) -> None:
    """The surrogate mean g(x) - mean g(y*) lacks the quadratic term, whose gradient in the parameters is nothing."""
    potential, (x, z) = gentle(new), samples()
    value = EXACT(potential, x, z)
    y = value.solution.point
    surrogate = potential(x).mean() - potential(y).mean()
    quadratic = (y - z).square().sum(-1).mean() / 2
    torch.testing.assert_close(
        value.loss, surrogate - quadratic, rtol=1e-12, atol=1e-13
    )
    assert quadratic > 1e-3
    parameters = list(potential.parameters())
    for one, other in zip(
        torch.autograd.grad(value.loss, parameters, allow_unused=True),
        torch.autograd.grad(surrogate, parameters, allow_unused=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-13)


def test_the_terms_average_to_the_loss() -> None:
    potential, (x, z) = POTENTIALS["free celu"](size=0.2), samples()
    value = DualObjective()(potential, x, z)
    assert (value.source.shape, value.target.shape) == ((40,), (50,))
    torch.testing.assert_close(value.loss, value.source.mean() - value.target.mean())


def test_an_inexact_solve_errs_by_the_square_of_its_residual() -> None:
    potential, (x, z) = CONVEX_POTENTIALS["convex celu"](size=0.3), samples()
    exact = EXACT(potential, x, z).loss.item()
    for tol in (1e-1, 1e-2, 1e-3):
        value = DualObjective(GradientStep(), tol=tol)(potential, x, z)
        excess = float(value.solution.residual.square().mean()) / (
            2 * potential.strong_convexity()
        )
        assert -1e-12 <= exact - value.loss.item() <= excess


def test_the_tol_and_the_start_of_a_call_go_before_those_of_the_objective() -> None:
    potential, (x, z) = POTENTIALS["free celu"](size=0.2), samples()
    loose, strict = (
        DualObjective(tol=1e-1)(potential, x, z),
        DualObjective(tol=1e-1)(potential, x, z, tol=1e-8),
    )
    assert strict.solution.residual.max() <= 1e-8 < loose.solution.residual.max()
    again = DualObjective(tol=1e-8)(potential, x, z, start=strict.solution.point)
    assert (again.solution.steps == 0).all()


# ---- standard errors


def test_the_standard_error_of_a_sum_of_means() -> None:
    source, target = normal(100), 3 * normal(400, seed=1)
    expected = (float(source.var()) / 100 + float(target.var()) / 400) ** 0.5
    assert standard_error(source, target) == pytest.approx(expected, rel=1e-12)
    assert standard_error(source) == pytest.approx(float(source.std()) / 10, rel=1e-12)
    assert standard_error(source, target[:1]) == float("inf")


def test_the_standard_error_is_the_spread_over_repeated_samples() -> None:
    matrix = positive_definite(2, condition=3.0, largest=2.0)
    potential, values, errors = Quadratic(2, matrix), [], []
    for seed in range(300):
        value = EXACT(
            potential, normal(50, 2, seed=seed), 1 + normal(80, 2, seed=seed + 1000)
        )
        values.append(value.loss.item())
        errors.append(value.standard_error())
    spread = float(torch.tensor(values).std())
    assert float(torch.tensor(errors).mean()) == pytest.approx(
        spread, rel=0.15
    )  # itself known to 1 / sqrt(600)


# ---- rows that were lost


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize(
    "name", ["quadratic", "free celu", "convex celu", "residual softplus"]
)
def test_rows_without_a_finite_iterate_are_left_out(name: str, bad: float) -> None:
    """Loss, gradient and standard error are those of the other rows."""
    potential, (x, z) = POTENTIALS[name](size=0.2), samples()
    spoilt = torch.cat([z, torch.full((1, 3), bad, dtype=torch.float64)])
    parameters = list(potential.parameters())
    value, expected = EXACT(potential, x, spoilt), EXACT(potential, x, z)
    assert value.solution.unconverged == 1
    assert value.solution.status[-1] == Status.NON_FINITE
    torch.testing.assert_close(value.loss, expected.loss, rtol=1e-12, atol=1e-13)
    assert value.standard_error() == pytest.approx(expected.standard_error(), rel=1e-12)
    for one, other in zip(
        torch.autograd.grad(value.loss, parameters, allow_unused=True),
        torch.autograd.grad(expected.loss, parameters, allow_unused=True),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


def test_rows_that_were_given_up_enter_with_their_best_iterate() -> None:
    potential, (x, z) = CONVEX_POTENTIALS["convex celu"](size=0.5), samples()
    value = DualObjective(tol=1e-12, max_steps=2)(potential, x, z)
    assert value.solution.unconverged == 50
    inner = (value.solution.point - z).square().sum(-1) / 2 + potential(
        value.solution.point
    )
    torch.testing.assert_close(value.loss, potential(x).mean() - inner.mean())
