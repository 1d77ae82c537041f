"""The smooth maximum of affine functions: the laws of potentials, and the limit it has."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from contracts import POTENTIAL_LAWS, is_coercive, is_midpoint_convex
from problems import normal
from torch import Tensor

from brenier import Potential, TransportMap
from brenier.errors import DataError
from brenier.potentials import MaxAffine
from brenier.transport.maps import load_map, save_map


def some(dim: int, temperature: float = 0.3) -> MaxAffine:
    return MaxAffine.of_plan(normal(6, dim, seed=1), normal(6, seed=2), temperature)


@pytest.mark.parametrize("law", POTENTIAL_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("dim", [1, 3])
def test_it_obeys_the_laws(law: Callable[[Potential, Tensor], None], dim: int) -> None:
    law(some(dim), normal(7, dim, seed=9))


def test_it_is_convex_and_coercive() -> None:
    is_midpoint_convex(some(3), normal(20, 3), normal(20, 3, seed=5))
    is_coercive(some(3), normal(3), normal(20, 3, seed=6), (1e28, 1e30, 1e32))


def test_a_cold_one_sends_rows_to_the_point_of_the_largest_function() -> None:
    potential, x = some(2, temperature=1e-6), normal(50, 2, seed=3)
    largest = (x @ potential.points.mT - potential.heights).argmax(-1)
    moved = x + potential.value_and_gradient(x)[1]
    expected = potential.points[largest] + potential.curvature * x
    torch.testing.assert_close(moved, expected.detach(), rtol=0, atol=1e-9)


def test_a_hot_one_sends_them_to_the_mean() -> None:
    potential, x = some(2, temperature=1e8), normal(5, 2, seed=3)
    moved = x + potential.value_and_gradient(x)[1]
    mean = potential.points.mean(0) + potential.curvature * x
    torch.testing.assert_close(moved, mean.detach(), rtol=0, atol=1e-6)


def test_its_map_is_saved_and_inverts(tmp_path: Path) -> None:
    transport = TransportMap(some(2), tol=1e-9)
    save_map(tmp_path / "model", transport, {})
    again, _ = load_map(tmp_path / "model")
    assert isinstance(again, TransportMap)
    x = normal(20, 2, seed=4)
    assert torch.equal(again(x), transport(x))
    torch.testing.assert_close(again.inverse(again(x)), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"curvature": -1.0}])
def test_it_is_smooth_and_strongly_convex(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match="temperature, curvature: must be positive"):
        MaxAffine(2, 3, **wrong)
