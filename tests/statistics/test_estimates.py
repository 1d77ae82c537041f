"""Roots with intervals, and errors that are wider where they are known from few terms."""

import math

import pytest
import torch
from problems import normal
from scipy import stats

from brenier.statistics import root_of, standard_error, widened_error, widening


@pytest.mark.parametrize("square", [0.01, 1.0, 400.0])
def test_far_from_zero_the_error_is_that_of_the_delta_method(square: float) -> None:
    error = 1e-3 * square
    root = root_of(square, error)
    assert root.value == math.sqrt(square)
    assert root.error == pytest.approx(error / (2 * root.value), rel=2e-3)
    assert root.low < root.value < root.high


@pytest.mark.parametrize("square", [-3.0, -0.01, 0.0, 0.05, 0.19])
def test_near_zero_the_interval_is_one_sided(square: float) -> None:
    root = root_of(square, 0.1)
    assert root.low == 0.0
    assert root.high == pytest.approx(
        math.sqrt(max(0.0, square) + 1.96 * 0.1), rel=1e-4
    )
    assert root.value - 1.96 * root.error <= 1e-4
    assert root.high <= root.value + 1.96 * root.error + 1e-4


def test_the_interval_is_that_of_the_square() -> None:
    root = root_of(1.0, 0.1)
    assert (root.low**2, root.high**2) == pytest.approx((0.804, 1.196), abs=1e-3)


def test_many_terms_need_no_widening_and_few_that_of_student() -> None:
    assert widened_error(normal(10_000)) == pytest.approx(
        standard_error(normal(10_000)), rel=1e-3
    )
    few = normal(4)
    factor = stats.t.ppf(0.975, 3) / stats.norm.ppf(0.975)
    assert widened_error(few) == pytest.approx(factor * standard_error(few), rel=1e-9)
    assert widened_error(normal(1)) == math.inf
    assert widening([0.0], [3.0]) == 1.0


@pytest.mark.parametrize(("n", "m"), [(3, 3), (2, 50), (10, 4)])
def test_so_intervals_cover_as_often_as_they_claim(n: int, m: int) -> None:
    generator = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(1000):
        x, z = (torch.randn(k, generator=generator).double() for k in (n, m))
        error = widened_error(x, 3 * z)
        held += abs(float(x.mean() + 3 * z.mean())) < stats.norm.ppf(0.975) * error
    assert (
        held >= 895
    )  # with one degree of freedom on one side Welch's is somewhat short
