"""The parts of the permutation test: groups, ranks, features and how surprising they are."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from brenier.statistics import ComparisonSettings
from brenier.statistics.two_sample.comparison import GroupedSamples
from brenier.statistics.two_sample.features import (
    MeanFeatures,
    column_features,
    kernel_features,
    pair_features,
)
from brenier.statistics.two_sample.groups import row_groups, signed_shares
from brenier.statistics.two_sample.ranks import pooled_ranks
from brenier.statistics.two_sample.surprise import (
    among_others,
    gamma_surprise,
    normal_surprise,
)

SETTINGS = ComparisonSettings(groups=50, larger=3)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def grouped(x: torch.Tensor, z: torch.Tensor, most: int = 50) -> GroupedSamples:
    generator = torch.Generator().manual_seed(0)
    groups = row_groups(len(x), len(z), most, generator, SETTINGS)
    return GroupedSamples(x, z, groups, pooled_ranks(x, z, groups), SETTINGS)


@pytest.mark.parametrize(
    ("n", "m", "rows"),
    [(40, 30, (40, 30)), (101, 120, (99, 120)), (10, 10_000, (10, 150))],
)
def test_groups_hold_different_rows_of_one_side(n, m, rows) -> None:
    groups = row_groups(n, m, 50, torch.Generator().manual_seed(0), SETTINGS)
    assert groups.rows == rows
    for side, most in ((groups.x, n), (groups.z, m)):
        assert len(side.unique()) == side.numel()
        assert int(side.max()) < most
    assert groups.x.shape[1] == groups.z.shape[1]


def test_shares_are_those_of_a_difference_of_means() -> None:
    x, z = normal(12, 1), normal(7, 1, seed=1)
    samples = grouped(x, z)
    shares = signed_shares(samples.groups, 5, torch.Generator().manual_seed(0))
    order = (samples.groups.x[:, 0], samples.groups.z[:, 0])
    pooled = torch.cat([x[order[0]], z[order[1]]])[:, 0]
    assert float(shares[:, 0] @ pooled) == pytest.approx(float(x.mean() - z.mean()))
    assert torch.allclose(shares.sum(0), torch.zeros(6, dtype=torch.float64))
    assert len(shares.T.unique(dim=0)) == 6


def test_ranks_of_equal_values_are_their_mean() -> None:
    x = torch.tensor([[1.0], [2.0], [2.0], [7.0]])
    z = torch.tensor([[2.0], [0.0], [7.0]])
    ranks = grouped(x, z).ranks
    pooled = torch.cat([x, z])
    expected = (stats.rankdata(pooled[:, 0]) - 0.5) / len(pooled)
    found = ranks.shares[ranks.places(pooled)][:, 0]
    assert found.numpy() == pytest.approx(expected)
    others = torch.tensor([[-9.0], [1.5], [99.0]])
    assert ranks.places(others)[:, 0].tolist() == [0, 4, 14]
    assert bool(ranks.scores.isfinite().all())


@pytest.mark.parametrize("most", [7, 50])
def test_differences_and_errors_are_those_of_plain_loops(most) -> None:
    x, z = normal(21, 3), normal(14, 3, seed=1)
    samples = grouped(x, z, most)
    parts: tuple[MeanFeatures, ...] = (
        column_features(samples.ranks, SETTINGS),
        pair_features(samples.first_scores(), SETTINGS),
        kernel_features(3, torch.Generator().manual_seed(0), SETTINGS),
    )
    shares = signed_shares(samples.groups, 20_000, torch.Generator().manual_seed(0))
    for part, (found, errors) in zip(
        parts, samples.differences(parts, shares), strict=True
    ):
        means = []
        for side, numbers in ((x, samples.groups.x), (z, samples.groups.z)):
            places = samples.ranks.places(side[numbers.flatten()])[:, None]
            means.append(part.means(places, samples.ranks.scores[places]).mean(0))
        assert torch.allclose(found[0], means[0] - means[1], atol=1e-12)
        assert torch.allclose(found.std(0), errors, rtol=0.05, atol=1e-9)


def test_products_of_many_columns_are_the_same_either_way() -> None:
    x = normal(4, 30, 6)
    few = pair_features(normal(50, 6), ComparisonSettings(products=1))
    every = pair_features(normal(50, 6), ComparisonSettings())
    places = torch.zeros_like(x, dtype=torch.long)
    same = (every.first == few.first) & (every.second == few.second)
    chosen = int(same.nonzero())
    assert torch.allclose(few.means(places, x)[:, 0], every.means(places, x)[:, chosen])


def test_the_pairs_that_go_together_are_chosen() -> None:
    scores = normal(500, 5)
    scores[:, 3] = -scores[:, 1] + 0.1 * scores[:, 3]
    chosen = pair_features(scores, ComparisonSettings(products=1))
    assert (chosen.first.tolist(), chosen.second.tolist()) == ([1], [3])


def test_the_spread_of_the_shape_statistic_is_known() -> None:
    x, z = normal(200, 2), normal(200, 2, seed=1)
    x[:, 1], z[:, 1] = (x[:, 1] > 0).double(), (z[:, 1] > 0).double()
    samples = grouped(x, z, 200)
    part = column_features(samples.ranks, SETTINGS)
    shares = signed_shares(samples.groups, 4000, torch.Generator().manual_seed(0))
    ((found, errors),) = samples.differences([part], shares)
    z_scores = torch.where(errors > 0, found / errors, 0.0).unflatten(-1, (2, -1))
    at = z_scores[..., -SETTINGS.thresholds :]
    valid = (errors > 0).unflatten(-1, (2, -1))[:, -SETTINGS.thresholds :].sum(-1)
    statistic = at.square().sum(-1) / valid
    assert statistic.mean(0).numpy() == pytest.approx(1, rel=0.1)
    assert statistic.var(0).numpy() == pytest.approx(
        part.shape_variances.numpy(), rel=0.2
    )


def test_surprises_are_logarithms_of_probabilities() -> None:
    z = torch.tensor([0.0, -1.5, 4.0, 50.0], dtype=torch.float64)
    expected = -(stats.norm.logsf(z.abs().numpy()) + math.log(2))
    assert normal_surprise(z).numpy() == pytest.approx(expected)
    value = torch.tensor([0.5, 2.0, 9.0], dtype=torch.float64)
    mean, variance = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 1.0, 4.0])
    shape, scale = mean**2 / variance, variance / mean
    expected = -stats.gamma.logsf(value.numpy(), shape.numpy(), scale=scale.numpy())
    found = gamma_surprise(value, mean.double(), variance.double())
    assert found.numpy() == pytest.approx(expected, rel=1e-6)
    assert float(gamma_surprise(value, 0 * mean.double(), variance.double()).sum()) == 0


def test_a_large_value_is_judged_by_the_others_alone() -> None:
    values = torch.from_numpy(np.random.default_rng(0).gamma(3.0, size=200))
    values[0] = 50.0
    found = among_others(values)
    assert float(found[0]) > 20
    assert float(found[1:].max()) < 5
