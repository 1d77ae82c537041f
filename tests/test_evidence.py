"""Regression-adjusted differences: unbiased, less noisy where moments carry the noise, and repeatable."""

import numpy as np
import pytest
import torch
from torch import Tensor

from brenier.dual import standard_error
from brenier.evidence import adjusted_difference, different, with_few_rows


def sides(seed: int, n: int = 400, many: int = 20_000) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
    """Two samples of one Gaussian, with terms that are mostly quadratic, and a true difference of one half."""
    generator = torch.Generator().manual_seed(seed)
    points = [torch.randn(n, 2, generator=generator, dtype=torch.float64) for _ in range(2)]
    more = [torch.randn(many, 2, generator=generator, dtype=torch.float64) for _ in range(2)]
    terms = [p.square().sum(-1) + 3 * p[:, 0] + 0.1 * torch.cos(5 * p[:, 1]) for p in points]
    return (terms[0] + 0.5, points[0], more[0]), (terms[1], points[1], more[1])


def test_the_difference_is_unbiased_and_its_error_is_honest() -> None:
    found = torch.tensor([adjusted_difference(*sides(seed)) for seed in range(200)], dtype=torch.float64)
    differences, errors = found.unbind(-1)
    assert abs(float(differences.mean()) - 0.5) < 4 * float(differences.std()) / 200**0.5
    assert 0.8 < float(differences.std() / errors.mean()) < 1.25


def test_moments_known_from_more_rows_take_the_noise_out() -> None:
    first, second = sides(0)
    assert adjusted_difference(first, second)[1] < 0.3 * standard_error(first[0], second[0])


def test_few_rows_are_not_adjusted() -> None:
    first, second = sides(0, n=20)
    expected = (float(first[0].mean() - second[0].mean()), standard_error(first[0], second[0]))
    assert adjusted_difference(first, second) == expected


def test_a_constant_coordinate_does_no_harm() -> None:
    first, second = (
        (terms, torch.cat([p, 0 * p[:, :1]], -1), torch.cat([m, 0 * m[:, :1]], -1)) for terms, p, m in sides(0)
    )
    torch.testing.assert_close(adjusted_difference(first, second), adjusted_difference(*sides(0)), rtol=1e-6, atol=1e-6)


def test_few_rows_need_more_standard_errors() -> None:
    rng, rows, errors = np.random.default_rng(0), 4, 2.0
    samples = rng.normal(size=(200_000, rows))
    scores = samples.mean(-1) / (samples.std(-1, ddof=1) / rows**0.5)
    assert (scores > with_few_rows(errors, rows)).mean() == pytest.approx(0.02275, rel=0.05)  # P(N(0, 1) > 2)
    assert with_few_rows(errors, 10**7) == pytest.approx(errors, rel=1e-4)


def test_samples_of_one_law_are_seldom_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = [torch.randn(2, 40, 2, generator=generator) for _ in range(100)]
    assert sum(different(x, z[:30], generator) for x, z in draws) <= 1  # one in a thousand is expected


def test_laws_of_equal_moments_are_told_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.empty(3000, 2).exponential_(generator=generator) - 1
    z = 1 - torch.empty(1500, 2).exponential_(generator=generator)
    assert different(x, z, generator)
    assert not different(x[:1500], x[1500:], generator)


@pytest.mark.parametrize("rows", [2, 4])
def test_few_rows_refute_nothing(rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 3, generator=generator)
    assert not different(x, x + 100, generator)
