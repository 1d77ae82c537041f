"""Masses that change: the true plan scores nothing, and outliers that are not explained show."""

import types

import pytest
import torch

from benchmarks import masses
from brenier.datasets import outlier_pair, unbalanced_pair
from brenier.transport.costs import Power

PAIR = unbalanced_pair(Power(1.5), 0.5, 0.5, 2)


class Truth:
    """The true map and densities of a pair, as a fitted map has them, densities times a factor."""

    def __init__(self, pair, factor=3.0):
        self.pair, self.factor = pair, factor

    def __call__(self, x):
        return self.pair.forward(x)

    def inverse(self, z, return_solution):
        assert return_solution
        return self.pair.backward(z), types.SimpleNamespace(unconverged=0)

    def growth(self, x):
        return self.factor * self.pair.growth(x)

    def explained(self, z):
        return self.factor * self.pair.explained(z)


def test_the_true_plan_scores_nothing():
    found = masses.score(Truth(PAIR), PAIR, True, 500, 0)
    assert all(value == pytest.approx(0, abs=1e-6) for value in found.values())


def test_without_weights_densities_are_wrong_and_the_map_is_not():
    found = masses.score(Truth(PAIR), PAIR, False, 500, 0)
    assert found["forward_uvp"] == pytest.approx(0, abs=1e-6)
    assert found["growth_error"] > 10
    assert found["explained_error"] > 10


def test_a_common_factor_is_no_error():
    truth = torch.tensor([1.0, 2.0, 3.0])
    assert masses.density_error(5 * truth, truth) == pytest.approx(0, abs=1e-5)
    assert masses.density_error(torch.ones(3), truth) == pytest.approx(
        100 * (2 / 14) ** 0.5
    )


def test_outliers_that_are_explained_show():
    pair = outlier_pair()
    told = types.SimpleNamespace(
        explained=lambda z: torch.where(z.norm(dim=1) > 8, 0.25, 1.0)
    )
    found = masses.outliers_explained(told, pair, 1000, 0)
    assert found["outliers_explained"] == pytest.approx(0.25, rel=0.02)


def test_problems_and_methods_have_lines_of_their_own():
    flags = masses.ARGUMENTS.parse(None, [])
    problems = {choice.name: choice.value for choice in masses.problems(flags)}
    assert len(problems) == 4 * 2 + 2
    exact = [c.name for c in masses.methods(flags, problems["squared d=2"])]
    assert exact == ["balanced, 60 s", "unbalanced, 60 s"]
    ranged = [c.name for c in masses.methods(flags, problems["outliers d=2"])]
    assert len(ranged) == 1 + len(masses.RHOS)
    _, method = masses.methods(flags, problems["one-sided d=2"])
    prices, seconds = method.value
    assert (prices, seconds) == (masses.Prices(float("inf"), 0.5), 60)
