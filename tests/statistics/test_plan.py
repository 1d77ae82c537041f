"""The exact plan and its potentials, against POT and the conditions of optimality."""

import ot
import pytest
import torch
from problems import normal

from brenier.statistics import exact_plan


@pytest.mark.parametrize(("n", "d"), [(1, 1), (2, 3), (60, 1), (80, 5)])
def test_no_row_gains_by_going_elsewhere(n: int, d: int) -> None:
    x, z = normal(n, d), 2 * normal(n, d, seed=1) + 1
    target, heights = exact_plan(x, z)
    assert sorted(target.tolist()) == list(range(n))
    values = x @ z.mT - heights
    own = values.gather(1, target.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(own, values.max(1).values, rtol=0, atol=1e-9)


def test_it_costs_what_pot_finds() -> None:
    x, z = normal(70, 3), normal(70, 3, seed=1) + 1
    target, heights = exact_plan(x, z)
    cost = 0.5 * (x - z[target]).square().sum(-1).mean()
    expected = ot.emd2([], [], ot.dist(x.numpy(), z.numpy()) / 2)
    assert float(cost) == pytest.approx(float(expected), rel=1e-9)
    # The dual value of the potentials is the cost: there is no better plan.
    psi = (x @ z.mT - heights).max(1).values
    dual = (0.5 * x.square().sum(-1) - psi).mean()
    dual = dual + (0.5 * z.square().sum(-1) - heights).mean()
    assert float(dual) == pytest.approx(float(expected), rel=1e-9)


def test_rows_there_twice_have_a_plan() -> None:
    x = normal(10, 2).repeat(2, 1)
    target, heights = exact_plan(x, x)
    torch.testing.assert_close(x[target], x)
    assert torch.isfinite(heights).all()
