"""How far J is above its minimum."""

import pytest
import torch

from benchmarks import limits, scores
from brenier import Quadratic, TransportMap
from brenier.datasets import gaussian_pair, separable_pair
from brenier.transport.coordinates import Coordinates


def test_how_far_j_is_above_its_minimum() -> None:
    one, zero, eye = (
        torch.ones(2).double(),
        torch.zeros(2).double(),
        torch.eye(2).double(),
    )
    plain = Coordinates(one, zero, zero, eye, eye, one[0])
    flat = TransportMap(
        Quadratic(2, 1.5 * torch.eye(2)), plain
    )  # its squared error counts 1/1.5 in J everywhere
    pair = separable_pair(2)
    found = limits.above_minimum(flat, pair, 500, 0)
    x, truth, _, _ = scores.evaluation_points(pair, 500, 0)
    assert found["weight"] == pytest.approx(1 / 1.5, rel=1e-4)
    assert found["excess"] == pytest.approx(
        float((1.5 * x - truth).square().sum(-1).mean()) / 3, rel=1e-4
    )


def test_the_balance_of_a_linear_map() -> None:
    pair = gaussian_pair(3, seed=2)
    steep = torch.linalg.eigvalsh(pair.forward(torch.eye(3).double()))
    expected = (
        (1 / steep).sum() * pair.variance_target / (steep.sum() * pair.variance_source)
    )
    assert limits.balance(pair, 10, 0)["balance"] == pytest.approx(float(expected))
