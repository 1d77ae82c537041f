"""Shares of a law that lie at least as far out: uniform on fresh rows, with weights, ties and long tails."""

import math

import pytest
import torch
from problems import normal
from scipy import stats

from brenier.statistics import Exceedance


def test_shares_are_those_counted_by_hand() -> None:
    known = Exceedance.of(torch.tensor([1.0, 2.0, 2.0, 5.0]))
    shares = known.shares(torch.tensor([0.5, 1.0, 2.0, 5.0, 6.0, math.inf]))
    # (1 + how many are as large) / (4 + 1)
    assert shares.tolist() == pytest.approx([1.0, 1.0, 0.8, 0.4, 0.2, 0.2])


def test_fresh_rows_have_uniform_shares() -> None:
    found = torch.cat(
        [
            Exceedance.of(normal(100, seed=2 * k).abs()).shares(
                normal(20, seed=2 * k + 1).abs()
            )
            for k in range(300)
        ]
    ).numpy()
    assert stats.kstest(found, "uniform").statistic < 0.05


def test_of_many_scores_small_shares_stay_exact() -> None:
    scores = normal(5000, seed=1).abs()
    known = Exceedance.of(scores)
    assert len(known.scores) <= 256
    at = scores.sort().values[-50:]
    expected = [(1 + int((scores >= each).sum())) / 5001 for each in at]
    assert known.shares(at).tolist() == pytest.approx(expected)
    middle = scores.quantile(0.5)
    assert float(known.shares(middle.unsqueeze(0))) == pytest.approx(0.5, abs=0.01)


def test_a_weight_counts_as_so_many_rows() -> None:
    scores = torch.tensor([1.0, 2.0, 3.0])
    weighted = Exceedance.of(scores, torch.tensor([1.0, 1.0, 2.0]))
    assert weighted.rows == pytest.approx(16 / 6)
    assert weighted.at_least.tolist() == pytest.approx([1.0, 0.75, 0.5])


def test_the_chance_of_a_count_is_that_of_fresh_rows() -> None:
    share, alarms, draws = 0.02, 0, 600
    for seed in range(draws):
        known = Exceedance.of(normal(200, seed=2 * seed).abs())
        level = known.attainable(share)
        fresh = known.shares(normal(300, seed=2 * seed + 1).abs())
        count = int((fresh <= level * (1 + 1e-9)).sum())
        alarms += known.chance(count, 300, level) < 0.05
    assert alarms / draws < 0.05 + 3 * math.sqrt(0.05 / draws)
    assert Exceedance.of(normal(200).abs()).chance(60, 300, 0.02) < 1e-6


def test_rows_far_beyond_all_others_are_not_expected() -> None:
    known = Exceedance.of(normal(500).abs())
    assert known.expected_beyond(1.0, 500) == pytest.approx(500 / 501)
    assert known.expected_beyond(20.0, 500) < 1e-3
    heavy = torch.as_tensor(stats.t.rvs(1, size=500, random_state=0)).abs()
    assert Exceedance.of(heavy).expected_beyond(20.0, 500) > 1e-3
