"""Weighted rows: whole weights stand for repeated rows, and errors are those of what the rows are worth."""

import numpy as np
import pytest
import torch

from brenier.statistics import (
    Moments,
    SinkhornSettings,
    Smoothing,
    Weighted,
    discrepancy,
    drawn_positions,
    effective_rows,
    entropic_plan,
    even_terms,
    freedom,
    in_proportion,
    joined,
    moments,
    standard_error,
    thinned,
    weighted_mean,
)

RNG = np.random.default_rng(0)
ROWS = torch.from_numpy(RNG.normal(size=(200, 3)) * [1, 3, 9])
TIMES = torch.from_numpy(RNG.integers(1, 5, size=200))
GIVEN = Weighted(ROWS, TIMES.double())
REPEATED = ROWS.repeat_interleave(TIMES, 0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_whole_weights_have_the_moments_of_repeated_rows() -> None:
    chunks = [GIVEN[:70], GIVEN[70:]]
    expected = moments(REPEATED)
    for found in (moments(GIVEN), moments(chunks)):
        torch.testing.assert_close(found.mean, expected.mean)
        torch.testing.assert_close(found.covariance, expected.covariance)
        assert found.rows == pytest.approx(effective_rows(200, GIVEN.weights))
        # Copies are no new rows: there is more to shrink than they suggest.
        assert found.shrinkage > expected.shrinkage
    torch.testing.assert_close(GIVEN.variance(), REPEATED.var(0, correction=0))


def test_the_scale_of_weights_does_not_matter() -> None:
    def at(scale: float) -> Moments:
        return moments(Weighted(ROWS, scale * TIMES.double()))

    for found in (at(1e-100), at(1e100)):
        torch.testing.assert_close(found.covariance, at(1.0).covariance)
        assert found.shrinkage == pytest.approx(at(1.0).shrinkage)


def test_few_effective_rows_are_shrunk_like_few_rows() -> None:
    heavy = torch.full((200,), 1e-9, dtype=torch.float64)
    heavy[:2] = 1.0
    assert moments(Weighted(ROWS, heavy)).shrinkage == 1.0


def test_equal_weights_are_worth_every_row() -> None:
    assert effective_rows(7, torch.full((7,), 0.3)) == pytest.approx(7)
    assert effective_rows(7, None) == 7
    assert effective_rows(3, torch.tensor([1.0, 1.0, 0.0])) == pytest.approx(2)


def test_even_terms_have_the_weighted_mean_and_are_linear() -> None:
    terms, weights = ROWS[:, 0], GIVEN.weights
    found = even_terms(terms, weights)
    assert found.mean() == pytest.approx(float(weighted_mean(terms, weights)))
    other = ROWS[:, 1]
    difference = even_terms(terms, weights) - even_terms(other, weights)
    torch.testing.assert_close(difference, even_terms(terms - other, weights))
    assert even_terms(terms, None) is terms
    torch.testing.assert_close(even_terms(terms, torch.ones(200)), terms)


@pytest.mark.parametrize("rows", [5, 100])
def test_the_error_of_a_weighted_mean_is_without_bias(rows: int) -> None:
    rng = np.random.default_rng(1)
    weights = torch.from_numpy(rng.exponential(size=rows))
    means, squares = [], []
    for _ in range(2000):
        terms = torch.from_numpy(rng.normal(size=rows))
        means.append(float(weighted_mean(terms, weights)))
        squares.append(standard_error(even_terms(terms, weights)) ** 2)
    assert np.mean(squares) == pytest.approx(np.var(means), rel=0.1)


def test_the_error_of_importance_weights_covers() -> None:
    rng, covered = np.random.default_rng(2), 0
    for _ in range(500):
        x = torch.from_numpy(rng.normal(size=400))
        weights = torch.exp(x)  # the mean of x is then one
        found = even_terms(x, weights)
        covered += abs(float(found.mean()) - 1) < 1.96 * standard_error(found)
    assert covered > 500 * 0.9


def test_a_variance_that_few_rows_hold_has_few_degrees_of_freedom() -> None:
    terms = torch.from_numpy(np.random.default_rng(4).normal(size=1000))
    assert freedom(terms, None) == 999
    level = even_terms(terms, torch.linspace(1, 1.001, 1000, dtype=torch.float64))
    assert freedom(level, torch.ones(1000)) == pytest.approx(999, rel=0.2)
    heavy = torch.ones(1000, dtype=torch.float64)
    heavy[:3] = 1e6
    assert 1 <= freedom(even_terms(terms, heavy), heavy) < 4
    assert freedom(torch.zeros(5), torch.ones(5)) == 4


def test_positions_are_drawn_in_proportion() -> None:
    weights = torch.tensor([1.0, 0.0, 3.0, 4.0], dtype=torch.float64)
    found = drawn_positions(weights.cumsum(0), 40_000, seeded()).bincount(minlength=4)
    assert found[1] == 0
    np.testing.assert_allclose(found / 40_000, weights / 8, atol=0.01)
    assert torch.equal(
        drawn_positions(weights.cumsum(0), 9, seeded()),
        drawn_positions(weights.cumsum(0), 9, seeded()),
    )


def test_rows_in_proportion_and_thinned_rows_have_the_weighted_law() -> None:
    x = torch.from_numpy(np.random.default_rng(3).uniform(size=(20_000, 1)))
    given = Weighted(x, x[:, 0] + 0.1)  # of mean 0.36 / 0.6
    expected = float(given.mean())
    for found in (in_proportion(given, seeded()), thinned(given, seeded())):
        assert float(found.mean()) == pytest.approx(expected, abs=0.01)
    assert len(in_proportion(given, seeded())) == 20_000
    assert len(thinned(given, seeded()).unique()) == len(thinned(given, seeded()))
    assert thinned(Weighted(x), seeded()) is x
    assert in_proportion(Weighted(x), seeded()) is x


def test_parts_with_and_without_weights_join() -> None:
    both = joined([GIVEN[:2], Weighted(ROWS[2:4])])
    assert both.weights is not None
    assert both.weights.tolist() == [*TIMES[:2].tolist(), 1.0, 1.0]
    assert joined([Weighted(ROWS), Weighted(ROWS)]).weights is None


def test_a_weighted_plan_is_that_of_repeated_rows() -> None:
    z = ROWS[:50] + 1
    settings = SinkhornSettings(marginal_tol=1e-10, sinkhorn_steps=2000)
    of_few = 0.5 * torch.cdist(ROWS, z) ** 2
    of_many = 0.5 * torch.cdist(REPEATED, z) ** 2
    found = entropic_plan(of_few, 0.5, settings=settings, weights=(GIVEN.weights, None))
    many = entropic_plan(of_many, 0.5, settings=settings)
    first, second = (plan.target - plan.target.mean() for plan in (found, many))
    torch.testing.assert_close(first, second)


def test_a_weighted_discrepancy_is_that_of_the_law() -> None:
    def energy(x: Weighted, y: Weighted) -> float:
        return discrepancy(lambda squares: -squares.sqrt(), x, y, 1000)

    other = Weighted(ROWS + 1)
    shares = TIMES.double() / TIMES.sum()
    within = shares @ torch.cdist(ROWS, ROWS) @ shares / (1 - shares.square().sum())
    between = torch.cdist(REPEATED, other.rows).mean()
    same = torch.pdist(ROWS).mean()
    expected = float(2 * between - within - same)
    assert energy(GIVEN, other) == pytest.approx(expected)
    ones = torch.ones(200, dtype=torch.float64)
    level = energy(Weighted(ROWS, ones), other)
    assert level == pytest.approx(energy(Weighted(ROWS), other), rel=1e-12)


def test_jitter_keeps_weighted_moments() -> None:
    smoothing = Smoothing(ROWS, 3, GIVEN.weights)
    torch.testing.assert_close(smoothing.mean, REPEATED.mean(0))
    torch.testing.assert_close(smoothing.deviation, REPEATED.std(0, correction=0))
