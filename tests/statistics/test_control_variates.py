"""Regression-adjusted differences: unbiased, less noisy where moments carry the noise, and repeatable."""

import pytest
import torch
from torch import Tensor

from brenier.statistics import (
    ControlVariateSettings,
    SampleTerms,
    adjusted_difference,
    standard_error,
)


def sides(
    seed: int, n: int = 400, others: int = 20_000, fitted: int = 1000
) -> tuple[SampleTerms, SampleTerms]:
    """Two samples of one Gaussian, with terms that are mostly quadratic, and a true difference of one half."""
    generator = torch.Generator().manual_seed(seed)

    def side(shift: float) -> SampleTerms:
        points, more = (
            torch.randn(k, 2, generator=generator, dtype=torch.float64)
            for k in (n, others)
        )
        return SampleTerms(
            terms(points) + shift, points, more, terms(more[:fitted]) + shift
        )

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
    wider_first, wider_second = (
        side._replace(points=constant(side.points), others=constant(side.others))
        for side in (first, second)
    )
    torch.testing.assert_close(
        adjusted_difference(wider_first, wider_second),
        adjusted_difference(first, second),
        rtol=1e-2,
        atol=1e-4,
    )


def constant(points: Tensor) -> Tensor:
    return torch.cat([points, 0 * points[:, :1]], -1)


def test_coefficients_are_fitted_to_the_rows_that_the_settings_allow() -> None:
    first, second = sides(0)
    few = [side._replace(other_terms=side.other_terms[:50]) for side in (first, second)]
    assert adjusted_difference(
        first, second, settings=ControlVariateSettings(fitted_rows=50)
    ) == adjusted_difference(few[0], few[1])
    assert adjusted_difference(first, second) != adjusted_difference(few[0], few[1])
