"""Gaussian fits and the optimal map between them: closed forms, an independent library, samples with little in them."""

import itertools

import numpy as np
import ot
import pytest
import torch
from problems import normal, positive_definite, with_moments
from sklearn.covariance import LedoitWolf
from torch import Tensor

from brenier.statistics.gaussian import (
    Gaussian,
    fit_gaussian,
    gaussian_map,
    matrix_power,
    moments,
)


def pair(
    condition: float = 10.0, scale: float = 1.0, d: int = 4
) -> tuple[Gaussian, Gaussian]:
    """Two Gaussians whose covariances do not commute."""
    source = Gaussian(
        normal(d), positive_definite(d, condition=condition, largest=scale, seed=1)
    )
    return source, Gaussian(
        normal(d, seed=2), positive_definite(d, condition=condition, seed=3)
    )


def eigenvalues(matrix: Tensor) -> Tensor:
    torch.testing.assert_close(matrix, matrix.mT, rtol=1e-9, atol=1e-12)
    return torch.linalg.eigvalsh(matrix)


# ---- the map


@pytest.mark.parametrize("condition", [1.0, 10.0, 1e6])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_map_pushes_one_covariance_to_the_other(
    condition: float, scale: float
) -> None:
    source, target = pair(condition, scale)
    matrix = gaussian_map(source, target)
    assert (eigenvalues(matrix) > 0).all()
    pushed = matrix @ source.covariance @ matrix.mT
    torch.testing.assert_close(pushed, target.covariance, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("condition", [2.0, 100.0])
def test_the_map_is_that_of_an_independent_library(condition: float) -> None:
    source, target = pair(condition)
    expected, shift = ot.gaussian.bures_wasserstein_mapping(
        source[0], target[0], source[1], target[1]
    )
    matrix = gaussian_map(source, target)
    torch.testing.assert_close(matrix, expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(
        target.mean - source.mean @ matrix, shift.flatten(), rtol=1e-7, atol=1e-9
    )


def test_commuting_covariances_have_the_ratio_of_deviations() -> None:
    variances = torch.tensor([[1.0, 4.0, 0.25], [9.0, 1.0, 0.25]], dtype=torch.float64)
    source, target = (Gaussian(torch.zeros(3), row.diag()) for row in variances)
    expected = (variances[1] / variances[0]).sqrt().diag()
    torch.testing.assert_close(
        gaussian_map(source, target), expected, rtol=1e-12, atol=1e-12
    )


def test_the_way_back_is_the_inverse_map() -> None:
    source, target = pair()
    there, back = gaussian_map(source, target), gaussian_map(target, source)
    torch.testing.assert_close(
        there @ back, torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-10
    )


def test_no_way_at_all_is_the_identity() -> None:
    source, _ = pair()
    torch.testing.assert_close(
        gaussian_map(source, source),
        torch.eye(4, dtype=torch.float64),
        rtol=0,
        atol=1e-10,
    )


def test_units_come_out_as_they_go_in() -> None:
    source, target = pair()
    larger = Gaussian(source.mean, 1e4 * source.covariance)
    torch.testing.assert_close(
        100 * gaussian_map(larger, target),
        gaussian_map(source, target),
        rtol=1e-9,
        atol=1e-9,
    )


# ---- powers


def test_powers_of_a_matrix() -> None:
    matrix = positive_definite(5, condition=1e3)
    root, inverse = matrix_power(matrix, 0.5), matrix_power(matrix, -1.0)
    torch.testing.assert_close(root @ root, matrix, rtol=0, atol=1e-13)
    torch.testing.assert_close(inverse, torch.linalg.inv(matrix), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(matrix_power(matrix, 1.0), matrix, rtol=0, atol=1e-14)


def test_eigenvalues_lost_to_rounding_do_not_become_nan() -> None:
    singular = torch.ones(
        3, 3, dtype=torch.float64
    )  # of rank one: two eigenvalues are rounding errors of either sign
    for power in (0.5, -0.5):
        assert torch.isfinite(matrix_power(singular, power)).all()


# ---- fits


def test_the_fit_is_that_of_ledoit_and_wolf() -> None:
    x = normal(30, 5) @ positive_definite(5, condition=20.0) + 3
    fit = fit_gaussian(x)
    expected = LedoitWolf().fit(x.numpy())
    np.testing.assert_allclose(fit.mean, expected.location_, rtol=0, atol=1e-14)
    np.testing.assert_allclose(fit.covariance, expected.covariance_, rtol=0, atol=1e-7)
    assert not np.allclose(
        fit.covariance, np.cov(x.numpy().T, bias=True), rtol=0, atol=1e-3
    )


def test_shrinkage_vanishes_as_samples_grow() -> None:
    covariance = positive_definite(4, condition=20.0)
    away = []
    for n in (20, 200, 2000, 20000):
        fit = fit_gaussian(
            with_moments(n, torch.ones(4, dtype=torch.float64), covariance)
        )
        torch.testing.assert_close(
            fit.mean, torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-12
        )
        away.append(float((fit.covariance - covariance).norm()))
    assert all(10 * late < 2 * early for early, late in itertools.pairwise(away))
    assert away[-1] < 1e-3


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_samples_than_features_still_give_a_gaussian(n: int) -> None:
    x = normal(n, 20)
    fit = fit_gaussian(x, floor=1e-8)
    assert (eigenvalues(fit.covariance) > 0).all()
    target = fit_gaussian(normal(n, 20, seed=1), floor=1e-8)
    matrix = gaussian_map(fit, target)
    assert torch.isfinite(matrix).all()
    assert (eigenvalues(matrix) > 0).all()
    torch.testing.assert_close(
        matrix @ fit.covariance @ matrix, target.covariance, rtol=1e-6, atol=1e-12
    )


def test_samples_of_two_values_keep_a_little_variance_across() -> None:
    """Their outer products are all the same, so that nothing is shrunk."""
    x = normal(1, 4) * torch.tensor([1.0, -1.0]).repeat(20).unsqueeze(-1)
    values = eigenvalues(fit_gaussian(x).covariance)
    assert (values > 0).all()
    assert (values[:3] < 1e-8 * values[3]).all()


def test_a_constant_feature_keeps_a_little_variance() -> None:
    x = normal(100, 3)
    x[:, 1] = 7.0
    fit = fit_gaussian(x)
    assert fit.mean[1] == 7.0
    assert eigenvalues(fit.covariance)[0] > 0
    assert 0 < fit.covariance[1, 1] < 0.1 * fit.covariance[0, 0]


def test_a_repeated_point_has_the_variance_of_the_floor() -> None:
    fit = fit_gaussian(torch.full((10, 3), 5.0), floor=1e-6)
    assert torch.equal(fit.mean, torch.full((3,), 5.0, dtype=torch.float64))
    torch.testing.assert_close(fit.covariance, 1e-6 * torch.eye(3, dtype=torch.float64))


def test_a_floor_only_adds_to_the_variances() -> None:
    x = normal(50, 3)
    raised = fit_gaussian(x, floor=0.5).covariance - fit_gaussian(x).covariance
    torch.testing.assert_close(
        raised, 0.5 * torch.eye(3, dtype=torch.float64), rtol=1e-8, atol=1e-12
    )


def test_samples_far_from_the_origin_lose_no_digits() -> None:
    x = normal(200, 3)
    near, far = fit_gaussian(x).covariance, fit_gaussian(x + 1e6).covariance
    torch.testing.assert_close(far, near, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
def test_fits_are_of_double_precision(dtype: torch.dtype) -> None:
    fit = fit_gaussian(
        (10 * normal(50, 3)).to(dtype).requires_grad_(dtype.is_floating_point)
    )
    assert fit.mean.dtype == fit.covariance.dtype == torch.float64
    assert not fit.covariance.requires_grad


@pytest.mark.parametrize("away", [0.0, 1e6])
def test_moments_of_parts_are_those_of_the_whole(away: float) -> None:
    x = away + normal(1000, 4) @ positive_definite(4, condition=9.0, seed=1)
    found, whole = moments(iter(x.split([1, 2, 300, 697]))), moments([x])
    torch.testing.assert_close(found.mean, x.mean(0), rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(
        found.covariance, torch.cov(x.mT, correction=0), rtol=1e-8, atol=1e-9
    )
    torch.testing.assert_close(found.covariance, whole.covariance, rtol=1e-8, atol=1e-9)
    assert found.shrinkage == pytest.approx(whole.shrinkage, rel=0.5)
