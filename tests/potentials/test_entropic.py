"""The potential of an entropic plan: its laws, the softmax means that it moves by, and both of its limits."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from contracts import POTENTIAL_LAWS, is_coercive
from problems import normal
from torch import Tensor

from brenier import DataError, DenseICNN, MeanPotential, Potential, TransportMap
from brenier.potentials import EntropicPotential
from brenier.statistics import (
    SinkhornSettings,
    entropic_plan,
    entropic_self_potential,
)
from brenier.transport.maps import load_map, save_map

EXACT = SinkhornSettings(sinkhorn_steps=5000, marginal_tol=1e-12)


def some(dim: int = 2, temperature: float = 0.5, n: int = 6) -> EntropicPotential:
    """One of random points and potentials."""
    source = normal(n, dim, seed=1), 0.3 * normal(n, seed=2)
    target = 1 + normal(n + 2, dim, seed=3), 0.3 * normal(n + 2, seed=4)
    return EntropicPotential.of_potentials(source, target, temperature)


def of_samples(u: Tensor, w: Tensor, temperature: float) -> EntropicPotential:
    """That of the plan between two samples."""
    own, between = (0.5 * torch.cdist(u, side).square() for side in (u, w))
    f = entropic_self_potential(own, temperature, settings=EXACT)
    g = entropic_plan(between, temperature, settings=EXACT).target
    return EntropicPotential.of_potentials((u, f), (w, g), temperature)


@pytest.mark.parametrize("law", POTENTIAL_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("dim", [1, 3])
def test_it_obeys_the_laws(law: Callable[[Potential, Tensor], None], dim: int) -> None:
    law(some(dim), normal(7, dim, seed=9))


def test_it_moves_by_the_softmax_means_of_its_points() -> None:
    potential, x, t = some().requires_grad_(False), normal(5, 2, seed=9), 0.5
    value, gradient = potential.value_and_gradient(x)
    for i, row in enumerate(x):
        expected, slope = 0.0, torch.zeros(2, dtype=torch.float64)
        for sign, points, heights in (
            (1, potential.target_points, potential.target_heights),
            (-1, potential.source_points, potential.source_heights),
        ):
            powers = [
                math.exp((float(row @ point) - float(height)) / t)
                for point, height in zip(points, heights, strict=True)
            ]
            expected += sign * t * math.log(sum(powers))
            for power, point in zip(powers, points, strict=True):
                slope += sign * power / sum(powers) * point
        assert float(value[i]) == pytest.approx(expected, abs=1e-12)
        torch.testing.assert_close(gradient[i], slope)


def test_heights_are_those_of_half_squared_distances() -> None:
    """exp((<x, w> - h)/t) is exp((g - |x - w|^2/2)/t) but for a factor that all points share."""
    u, f = normal(4, 2, seed=1), normal(4, seed=2)
    potential = EntropicPotential.of_potentials((u, f), (u + 1, f), 0.5)
    x = normal(3, 2, seed=5)
    scores = (f - 0.5 * torch.cdist(x, u + 1).square()) / 0.5
    expected = torch.softmax(scores, -1) @ (u + 1)
    scores = (f - 0.5 * torch.cdist(x, u).square()) / 0.5
    expected -= torch.softmax(scores, -1) @ u
    torch.testing.assert_close(potential.value_and_gradient(x)[1].detach(), expected)


def test_equal_samples_are_not_moved() -> None:
    u = normal(30, 2)
    for temperature in (0.1, 1.0, 10.0):
        moved = of_samples(u, u, temperature).value_and_gradient(normal(9, 2, seed=1))
        torch.testing.assert_close(
            moved[1].detach(), torch.zeros(9, 2).double(), rtol=0, atol=1e-6
        )


def test_a_hot_one_is_a_translation() -> None:
    u, w, x = normal(20, 2), 2 * normal(30, 2, seed=1) + 1, normal(9, 2, seed=2)
    gradient = of_samples(u, w, 1e7).value_and_gradient(x)[1].detach()
    expected = (w.mean(0) - u.mean(0)).expand(9, 2)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5)


def test_a_cold_one_moves_as_the_exact_plan_moves_the_nearest_row() -> None:
    """In one dimension the plan pairs rows in their order."""
    u, w = (normal(12, 1, seed=k).sort(0)[0] * 4 for k in (0, 1))
    potential = of_samples(u, w, 2e-3)
    gradient = potential.value_and_gradient(u + 1e-6)[1].detach()
    torch.testing.assert_close(gradient, w - u, rtol=0, atol=0.02)


@pytest.mark.parametrize("temperature", [1e-3, 0.5, 1e3])
def test_psi_is_coercive(temperature: float) -> None:
    potential = some(3, temperature)
    is_coercive(potential, normal(3), normal(20, 3, seed=6), (1e5, 1e6, 1e7))


def test_values_are_finite_however_far_and_cold() -> None:
    potential = some(2, 1e-9)
    for x in (normal(5, 2), 1e8 * normal(5, 2)):
        value, gradient = potential.value_and_gradient(x)
        assert torch.isfinite(value).all()
        assert torch.isfinite(gradient).all()
        assert (gradient.norm(dim=-1) < 20).all()


def test_precision_is_that_of_the_points() -> None:
    u, w = normal(4, 2).float(), normal(3, 2, seed=1).float()
    made = EntropicPotential.of_potentials((u, u[:, 0]), (w, w[:, 0]), 0.5)
    assert {part.dtype for part in made.parameters()} == {torch.float32}


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_temperatures_are_positive(wrong: float) -> None:
    with pytest.raises(DataError, match=r"^temperature: must be positive"):
        EntropicPotential(2, 3, 4, temperature=wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("alone", [True, False])
def test_its_map_is_saved_alone_and_in_a_mean(
    alone: bool, dtype: torch.dtype, tmp_path: Path
) -> None:
    potential: Potential = some()
    if not alone:
        networks = [DenseICNN(2, (8, 4)).double() for _ in range(2)]
        potential = MeanPotential([*networks, potential], [0.25, 0.25, 0.5])
    transport = TransportMap(potential.to(dtype), tol=1e-9)
    save_map(tmp_path, transport, {})
    again, description = load_map(tmp_path)
    assert isinstance(again, TransportMap)
    assert again.network.config() == potential.config()
    assert description["format"] == (1 if alone else 2)
    x = normal(20, 2, seed=4)
    assert torch.equal(again(x), transport(x))
