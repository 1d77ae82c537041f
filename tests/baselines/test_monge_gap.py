"""The Monge gap against POT, its definition, and finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from brenier.baselines import MongeGap, MongeGapSettings
from brenier.baselines.assignment import half_squares
from brenier.baselines.monge_gap import (
    ResidualMap,
    entropic_cost,
    fitting_term,
    monge_gap,
)
from brenier.statistics import SinkhornSettings

EXACT = SinkhornSettings(5000, marginal_tol=1e-11)


def rows(n: int, seed: int, d: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=generator, dtype=torch.float64)


def test_entropic_costs_are_those_of_pots_plan() -> None:
    ot = pytest.importorskip("ot")
    costs = half_squares(rows(30, 0), rows(40, 1) + 1)
    p, q = np.full(30, 1 / 30), np.full(40, 1 / 40)
    plan = ot.sinkhorn(p, q, costs.numpy(), 0.3, numItermax=50_000, stopThr=1e-14)
    relative = (plan * np.log(plan / np.outer(p, q))).sum()
    expected = (plan * costs.numpy()).sum() + 0.3 * relative
    assert float(entropic_cost(costs, 0.3, EXACT)) == pytest.approx(expected, rel=1e-9)


def test_of_one_sample_with_itself_one_potential_gives_the_same() -> None:
    x = rows(20, 0)
    own = entropic_cost(half_squares(x, x), 0.2, EXACT, alike=True)
    twice = entropic_cost(half_squares(x, x), 0.2, EXACT)
    assert float(own) == pytest.approx(float(twice), rel=1e-8)


def check_slope(value: Callable[[Tensor], Tensor], at: Tensor) -> None:
    """Compare the gradient along a random direction with a central difference."""
    at = at.clone().requires_grad_()
    (slope,) = torch.autograd.grad(value(at), at)
    direction = rows(len(at), 9, at.shape[1])
    step = 1e-5
    with torch.no_grad():
        ahead, back = value(at + step * direction), value(at - step * direction)
    expected = float(ahead - back) / (2 * step)
    assert float((slope * direction).sum()) == pytest.approx(expected, rel=1e-6)


def test_gradients_are_those_of_finite_differences() -> None:
    x, z = rows(25, 0), 2 * rows(20, 1) + 1
    check_slope(lambda y: entropic_cost(half_squares(y, z), 0.3, EXACT), x)
    check_slope(lambda y: fitting_term(y, z, 0.3, EXACT), x)
    check_slope(lambda y: monge_gap(x, y, 0.1, EXACT), x + rows(25, 2))


def test_the_gap_vanishes_at_an_optimal_map_and_nowhere_else() -> None:
    x = rows(60, 0, 2)
    optimal = x @ torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64) + 3
    turned = x @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    few = SinkhornSettings(5000, marginal_tol=1e-6)
    assert 0 <= float(monge_gap(x, optimal, 2e-3, few)) < 1e-3
    assert float(monge_gap(x, turned, 2e-3, few)) > 0.5


@pytest.mark.parametrize("epsilon", [0.05, 0.3, 10.0])
def test_the_gap_is_never_negative(epsilon: float) -> None:
    x = rows(30, 0)
    assert float(monge_gap(x, x + rows(30, 5), epsilon, EXACT)) >= 0
    assert float(monge_gap(x, x, epsilon, EXACT)) >= 0


def test_the_fitting_term_is_least_where_both_samples_are_the_same() -> None:
    z = rows(20, 0)
    at = z.clone().requires_grad_()
    (slope,) = torch.autograd.grad(fitting_term(at, z, 0.2, EXACT), at)
    assert float(slope.norm()) < 1e-5
    least = float(fitting_term(z, z, 0.2, EXACT))
    for other in (z + 0.1, 0.9 * z):
        assert float(fitting_term(other, z, 0.2, EXACT)) > least


def test_costs_that_are_all_zero_are_no_trouble() -> None:
    x = torch.zeros(5, 2, requires_grad=True)
    value = fitting_term(x, torch.zeros(5, 2), 0.0, EXACT)
    value.backward()
    assert float(value.detach()) == 0.0


def test_the_map_starts_at_the_identity() -> None:
    model = ResidualMap(3, generator=torch.Generator().manual_seed(0))
    x = rows(10, 0).float()
    assert torch.equal(model.moved(x), x)


def test_regularisations_grow_with_the_features() -> None:
    fair, published = (MongeGap.presets[name] for name in ("fair", "published"))
    assert fair.shares(1) == fair.shares(2) == pytest.approx((0.1, 0.02))
    assert fair.shares(16) > fair.shares(8) > fair.shares(2)
    assert fair.shares(10_000) == (0.5, 0.05)
    assert published.shares(2) == published.shares(16) == (0.1, 0.01)


def test_a_stretching_is_learned() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(2000, 2)), rng.normal(size=(2000, 2)) * [2.0, 0.5]
    settings = MongeGapSettings(
        batch_size=64,
        hidden=(32, 32),
        learning_rate=1e-2,
        sinkhorn_steps=25,
        evaluate_every=1000,
    )
    fitted = MongeGap(settings, max_steps=60, random_state=0).fit(X, Y)
    error = np.square(fitted.transform(X) - X * [2.0, 0.5]).mean()
    assert error < 0.1 * np.square(X * [1.0, -0.5]).mean()
