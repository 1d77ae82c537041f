"""Errors of maps, on points that training never saw."""

import pytest
import torch

from benchmarks import scores
from brenier import Quadratic, TransportMap
from brenier.datasets import gaussian_pair, separable_pair


def test_the_true_map_scores_zero(generator: torch.Generator) -> None:
    pair = gaussian_pair(3, seed=2)
    matrix = pair.forward(torch.eye(3, dtype=torch.float64))
    transport = TransportMap(Quadratic(3, matrix).requires_grad_(False), tol=1e-9)
    found = scores.score(transport, pair, 1000, 0)
    assert found["forward_uvp"] < 1e-20
    assert found["backward_uvp"] < 1e-10
    assert found["cosine"] == pytest.approx(1)
    assert found["round_trip"] < 1e-6
    assert found["not_back"] == 0.0
    assert found["unconverged"] == 0


def test_the_share_of_the_worst_rows() -> None:
    truth = torch.zeros(200, 3, dtype=torch.float64)
    moved = truth.clone()
    moved[:, 0], moved[[3, 70, 150], 1] = (
        1.0,
        4.0,
    )  # the worst two of 200 rows are two of three alike
    assert scores.share_of_worst(moved, truth) == pytest.approx(2 * 17 / (200 + 3 * 16))
    assert scores.share_of_worst(truth, truth) == 0


def test_evaluation_points(generator: torch.Generator) -> None:
    pair = separable_pair(2)
    x, truth, z, preimage = scores.evaluation_points(pair, 100, 0)
    assert pair.backward is not None
    torch.testing.assert_close(pair.backward(truth), x)
    torch.testing.assert_close(pair.backward(z), preimage)
    assert not torch.isclose(x, preimage).all(-1).any()
