"""Regression-adjusted differences: unbiased, less noisy where moments carry the noise, and repeatable."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor

from brenier.statistics.control_variates import Side, adjusted_difference
from brenier.statistics.estimates import standard_error
from brenier.statistics.two_sample import normal_score, two_sample_score


def sides(
    seed: int, n: int = 400, others: int = 20_000, fitted: int = 1000
) -> tuple[Side, Side]:
    """Two samples of one Gaussian, with terms that are mostly quadratic, and a true difference of one half."""
    generator = torch.Generator().manual_seed(seed)

    def side(shift: float) -> Side:
        points, more = (
            torch.randn(k, 2, generator=generator, dtype=torch.float64)
            for k in (n, others)
        )
        return Side(terms(points) + shift, points, more, terms(more[:fitted]) + shift)

    return side(0.5), side(0.0)


def terms(p: Tensor) -> Tensor:
    return p.square().sum(-1) + 3 * p[:, 0] + 0.1 * torch.cos(5 * p[:, 1])


@pytest.mark.parametrize("few", [{}, {"n": 12, "others": 90, "fitted": 90}])
def test_the_difference_is_unbiased_and_its_error_is_honest(
    few: dict[str, int],
) -> None:
    found = torch.tensor(
        [adjusted_difference(*sides(seed, **few)) for seed in range(200)],
        dtype=torch.float64,
    )
    differences, errors = found.unbind(-1)
    assert (
        abs(float(differences.mean()) - 0.5) < 4 * float(differences.std()) / 200**0.5
    )
    assert 0.8 < float(differences.std() / errors.mean()) < 1.25


@pytest.mark.parametrize("few", [{}, {"n": 12, "others": 90, "fitted": 90}])
def test_moments_known_from_more_rows_take_the_noise_out(few: dict[str, int]) -> None:
    first, second = sides(0, **few)
    assert adjusted_difference(first, second)[1] < 0.6 * standard_error(
        first.terms, second.terms
    )


def test_terms_that_tell_nothing_do_no_harm() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (
        side._replace(other_terms=torch.randn(10, generator=generator))
        for side in sides(0, n=12)
    )
    assert adjusted_difference(first, second)[1] < 1.2 * standard_error(
        first.terms, second.terms
    )


def test_a_constant_coordinate_changes_nothing() -> None:
    first, second = sides(0)
    wider = [
        side._replace(points=constant(side.points), others=constant(side.others))
        for side in (first, second)
    ]
    torch.testing.assert_close(
        adjusted_difference(*wider),
        adjusted_difference(first, second),
        rtol=1e-2,
        atol=1e-4,
    )


def constant(points: Tensor) -> Tensor:
    return torch.cat([points, 0 * points[:, :1]], -1)


def test_few_rows_need_more_standard_errors() -> None:
    rng, rows, errors = np.random.default_rng(0), 4, 2.0
    samples = rng.normal(size=(200_000, rows))
    scores = samples.mean(-1) / (samples.std(-1, ddof=1) / rows**0.5)
    least = brentq(lambda found: normal_score(found, rows) - errors, 0.0, 100.0)
    assert (scores > least).mean() == pytest.approx(0.02275, rel=0.05)  # P(N(0, 1) > 2)
    assert normal_score(errors, 10**7) == pytest.approx(errors, rel=1e-4)


def test_samples_of_one_law_are_seldom_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(2, 40, 2, generator=generator) for _ in range(100)]
    scores = torch.tensor([two_sample_score(x, z[:30], generator) for x, z in draws])
    assert abs(float((scores > 1).double().mean()) - 0.16) < 0.12  # P(N(0, 1) > 1)
    assert int((scores > 3).sum()) <= 1


def test_laws_of_equal_moments_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.empty(3000, 2).exponential_(generator=generator) - 1
    z = 1 - torch.empty(1500, 2).exponential_(generator=generator)
    assert two_sample_score(x, z, generator) > 3
    assert two_sample_score(x[:1500], x[1500:], generator) < 2


@pytest.mark.parametrize("rows", [2, 4])
def test_few_rows_refute_nothing(rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 3, generator=generator)
    assert two_sample_score(x, x + 100, generator) < 2
