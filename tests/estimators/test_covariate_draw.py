"""Batches at given values of covariates: near rows, drawn alike, evenly spread, and told apart where values repeat."""

from typing import Any

import pytest
import torch
from problems import normal
from torch import Tensor

from brenier.estimators.covariate_draw import CovariateDraw, common_values
from brenier.estimators.settings import PipelineSettings

N = 400


def uniform(n: int, p: int, seed: int = 0) -> Tensor:
    """Uniform numbers in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(n, p, generator=generator, dtype=torch.float64) - 1


def draw(
    index: Tensor,
    values: Tensor,
    settings: PipelineSettings | None = None,
    **told: Any,
) -> CovariateDraw:
    """Batches of rows of which each is its own covariates, so that they can be told."""
    points = torch.cat([torch.arange(len(index)).double().unsqueeze(-1), index], -1)
    generator = torch.Generator().manual_seed(1)
    settings = settings or PipelineSettings()
    return CovariateDraw(
        normal(len(index), 2), index, points, values, settings, generator, **told
    )


def which(points: Tensor) -> Tensor:
    """The numbers of the rows drawn."""
    return points[:, 0].long()


# ---- values


def test_common_values_lie_in_both_ranges_and_are_those_of_both_sides() -> None:
    first, second = uniform(50, 1), uniform(60, 1, seed=1) + 0.5
    found = common_values(first, second)
    low, high = second.min(), first.max()
    both = torch.cat([first, second])
    assert torch.equal(
        found, both[(both >= low) & (both <= high)].sort().values[:, None]
    )
    assert (found[1:] >= found[:-1]).all()


def test_common_values_of_several_covariates_are_in_the_range_of_each() -> None:
    first, second = uniform(50, 2), uniform(60, 2, seed=1) + torch.tensor([0.5, -0.5])
    found = common_values(first, second)
    assert 0 < len(found) < 110
    for side in (first, second):
        assert (found >= side.amin(0)).all()
        assert (found <= side.amax(0)).all()


def test_sides_of_one_range_keep_all_values() -> None:
    values = uniform(50, 2)
    assert len(common_values(values, values)) == 100


# ---- rows


@pytest.mark.parametrize("p", [1, 2])
def test_rows_are_among_the_nearest_to_a_value(p: int) -> None:
    index = uniform(N, p)
    one = draw(index, torch.zeros(1, p, dtype=torch.float64))
    near = index.norm(dim=-1).argsort()[:8]
    drawn = which(one.rows(1000, torch.Generator().manual_seed(0)))
    assert set(drawn.tolist()) == set(near.tolist())
    counts = drawn.bincount()[near].double()
    assert (counts - 125).abs().max() < 5 * 125**0.5


@pytest.mark.parametrize("neighbours", [1, 3, 10**6])
def test_how_many_are_near_is_a_setting(neighbours: int) -> None:
    index = uniform(20, 1)
    settings = PipelineSettings(neighbours=neighbours)
    one = draw(index, torch.zeros(1, 1, dtype=torch.float64), settings)
    drawn = which(one.rows(2000, torch.Generator().manual_seed(0)))
    assert len(drawn.unique()) == min(neighbours, 20)


def test_all_rows_of_one_value_are_drawn_alike() -> None:
    """More rows than neighbours have the value: the jitter tells them apart."""
    index = torch.arange(3.0).double().repeat(100).unsqueeze(-1) - 1
    one = draw(index, index)
    drawn = which(one.rows(30_000, torch.Generator().manual_seed(0)))
    counts = drawn.bincount(minlength=300).double()
    assert counts.min() > 0
    levels = index[drawn].squeeze(-1).unique(return_counts=True)[1]
    assert (levels - 10_000).abs().max() < 50
    assert counts.std() < 0.5 * counts.mean()


def test_both_sides_hold_values_with_the_same_density() -> None:
    """However their own rows are spread."""
    first, second = uniform(2000, 1), uniform(3000, 1, seed=1).pow(3)
    values = common_values(first, second)
    means = []
    for side in (first, second):
        one = draw(side, values)
        found = side[which(one.rows(20_000, torch.Generator().manual_seed(2)))]
        means.append([float(found.pow(k).mean()) for k in range(1, 5)])
    expected = [float(values.pow(k).mean()) for k in range(1, 5)]
    torch.testing.assert_close(
        torch.tensor(means), torch.tensor([expected] * 2), rtol=0, atol=0.02
    )


def test_batches_are_spread_evenly_over_one_covariate() -> None:
    index = uniform(5000, 1).sort(0).values
    one = draw(index, index, PipelineSettings(neighbours=1))
    drawn = index[which(one(100, torch.Generator().manual_seed(0)))].sort(0).values
    ranks = torch.searchsorted(index.squeeze(-1), drawn.squeeze(-1))
    assert ((ranks.double() / 50 - torch.arange(100)).abs() < 1.5).all()


def test_rows_come_in_random_order() -> None:
    index = uniform(N, 1).sort(0).values
    drawn = which(draw(index, index)(200, torch.Generator().manual_seed(0))).double()
    correlation = torch.corrcoef(torch.stack([drawn, torch.arange(200.0).double()]))
    assert abs(float(correlation[0, 1])) < 0.3


def test_a_batch_has_at_most_as_many_rows_as_there_are() -> None:
    index = uniform(N, 2)
    one, generator = draw(index, index), torch.Generator().manual_seed(0)
    assert one.size == N
    assert len(one(10**6, generator)) == N
    assert len(one.rows(1000, generator)) == 1000


def test_one_seed_gives_one_batch() -> None:
    index = uniform(N, 2)
    first, second, other = (
        draw(index, index)(50, torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


# ---- what is measured


def test_measured_rows_are_different_and_say_how_often_they_were_drawn() -> None:
    index = uniform(N, 1)
    one = draw(index, index)
    found = one.measured(1000, torch.Generator().manual_seed(0))
    drawn = which(one.rows(1000, torch.Generator().manual_seed(0)))
    positions, times = drawn.unique(return_counts=True)
    assert int(found.times.sum()) == 1000
    assert torch.equal(found.times, times)
    assert torch.equal(found.rows, one.data[positions])
    assert torch.equal(found.index, index[positions])
    assert torch.equal(found.observation, positions)
    assert found.lender is None


def test_copies_of_a_row_are_one_observation_and_know_who_lent_their_values() -> None:
    index, lenders = uniform(N, 1), torch.arange(N).flip(0) // 2
    one = draw(index, index, different=N // 4, lenders=lenders)
    found = one.measured(2000, torch.Generator().manual_seed(0))
    assert found.lender is not None
    assert set(found.observation.tolist()) == set(range(N // 4))
    places = torch.cdist(found.index, index).argmin(1)
    assert torch.equal(found.observation, places % (N // 4))
    assert torch.equal(found.lender, lenders[places])
