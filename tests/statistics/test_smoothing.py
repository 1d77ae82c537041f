"""Rows are jittered to draws from a kernel estimate of their density, with their own means and variances."""

import math

import numpy as np
import pytest
import torch
from problems import normal
from scipy.stats import gaussian_kde, kstest

from brenier.statistics.smoothing import Smoothing, reference_bandwidth


@pytest.mark.parametrize(("n", "dim"), [(50, 1), (1000, 2), (10_000, 16)])
def test_the_reference_is_silvermans(n: int, dim: int) -> None:
    estimate = gaussian_kde(normal(dim, max(n, 2)).numpy())
    assert reference_bandwidth(n, dim) == pytest.approx(estimate.silverman_factor())


def test_endless_rows_need_no_kernels() -> None:
    assert reference_bandwidth(math.inf, 3) == 0.0


def test_means_and_variances_are_those_of_the_rows() -> None:
    rows = torch.tensor([[0.0, 5.0], [1.0, 5.0], [5.0, 5.0]], dtype=torch.float64) - 100
    drawn = rows.repeat(200_000, 1)
    jittered = Smoothing(rows, 2)(drawn, 0.5, torch.Generator().manual_seed(0))
    torch.testing.assert_close(jittered.mean(0), rows.mean(0), rtol=0, atol=0.01)
    torch.testing.assert_close(
        jittered.var(0), rows.var(0, correction=0), rtol=0.01, atol=1e-20
    )


def test_the_law_is_that_of_a_kernel_estimate() -> None:
    rows, bandwidth = normal(30, 1), 0.3
    drawn = rows[
        torch.randint(30, (20_000,), generator=torch.Generator().manual_seed(1))
    ]
    jittered = Smoothing(rows, 1)(drawn, bandwidth, torch.Generator().manual_seed(0))
    shrunk = rows.mean() + (rows - rows.mean()) / math.sqrt(1 + bandwidth**2)
    estimate = gaussian_kde(
        shrunk[:, 0].numpy(), bw_method=bandwidth * math.sqrt(29 / 30)
    )  # its spread divides by n-1
    cdf = np.vectorize(lambda at: estimate.integrate_box_1d(-math.inf, at))
    assert kstest(jittered[:, 0].numpy(), cdf).pvalue > 0.01


def test_conditions_and_unjittered_rows_stay_as_they_are() -> None:
    rows, generator = normal(20, 3), torch.Generator().manual_seed(0)
    smoothing = Smoothing(rows, 2)
    jittered = smoothing(rows, 0.1, generator)
    assert torch.equal(jittered[:, 2], rows[:, 2])
    assert bool((jittered[:, :2] != rows[:, :2]).all())
    assert smoothing(rows, 0.0, generator) is rows
