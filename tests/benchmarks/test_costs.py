"""Other costs: the true map scores nothing, exact zeros are counted, discrete rivals know the cost."""

import pytest
import torch

from benchmarks import costs, scores
from brenier.datasets import monotone_pair, sparse_pair
from brenier.transport.costs import Power, SquaredEuclidean


@pytest.fixture(scope="module")
def flags():
    return costs.ARGUMENTS.parse(None, ["--quick"])


@pytest.fixture(scope="module")
def problems(flags):
    return {choice.name: choice.value for choice in costs.problems(flags)}


def test_every_pair_has_its_cost_and_dimension(problems):
    assert len(problems) == 5 * 2 + 3 * 2 + 2 + 1 + 3
    for name, problem in problems.items():
        assert name.endswith(f" d={problem.pair.dim}")
        assert (problem.same is None) != (problem.to_reach is None)
    assert problems["power 1.5 d=16"].pair.cost == Power(1.5)
    assert problems["radial 1.2 d=8"].pair.cost == Power(1.2)


def test_the_squared_distance_has_the_same_g(problems):
    own, same, _ = problems["power 3 d=2"]
    assert same.cost == SquaredEuclidean()
    x = own.source(10, torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(
        own.cost.gradient(own.forward(x) - x), same.forward(x) - x
    )


def test_dims_and_methods_choose_rows(problems):
    flags = costs.ARGUMENTS.parse(None, ["--pairs", "power 2", "sparse", "--dims", "2"])
    assert [choice.name for choice in costs.problems(flags)] == ["power 2 d=2"]
    named = [c.name for c in costs.methods(flags, problems["power 2 d=2"])]
    assert "squared distance, same g, 60 s" in named
    assert len(set(named)) == len(named) == len(costs.METHODS)
    few = [c.name for c in costs.methods(flags, problems["radial 3 d=2"])]
    assert len(few) == len(costs.METHODS) - 1


def test_exact_zeros_are_counted_where_the_true_map_has_some():
    x = torch.zeros(4, 5)
    truth = x.clone()
    truth[:, 0] = 1.0
    moved = truth.clone()
    moved[:2, 4] = 1e-9
    found = costs.exact_zeros(x, moved, truth)
    assert found == pytest.approx({"not_moved": 80.0, "exactly_zero": 87.5})
    assert costs.exact_zeros(x, moved, truth + 1) == {}


def test_the_sparse_pair_moves_a_tenth_at_most():
    x, truth, *_ = scores.evaluation_points(sparse_pair(), 500, 0)
    found = costs.exact_zeros(x, truth, truth)
    assert found["exactly_zero"] == 100
    assert 90 <= found["not_moved"] < 97


def test_the_identity_has_the_error_of_the_displacements(flags):
    pair = monotone_pair(3.0)
    x, truth, *_ = scores.evaluation_points(pair, flags.points, 0)
    expected = 100 * float((truth - x).square().mean()) / pair.variance_target
    assert costs.still(pair, flags.points, 0)["forward_uvp"] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["monotone 3 d=1", "power 1.5 d=2"])
def test_an_exact_assignment_comes_near(name, problems, flags):
    found = costs.measure(problems[name], ("exact", 0.0), 0, flags)
    nothing = costs.measure(problems[name], ("identity", 0.0), 0, flags)
    for side in ("forward_uvp", "backward_uvp"):
        assert found[side] < 0.3 * nothing[side]


def test_costs_between_all_rows(generator, monkeypatch):
    x, z = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (7, 5))
    monkeypatch.setattr(costs, "BLOCK", 31)
    found = costs.cost_matrix(Power(1.5), x, z)
    expected = torch.cdist(x, z) ** 1.5 / 1.5
    torch.testing.assert_close(torch.from_numpy(found), expected)
