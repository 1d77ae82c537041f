"""WGAN-QC: duals of assignments are feasible and worth what the assignment costs."""

import sys

import numpy as np
import pytest
import torch
from baselines.duals import convex, quadratic
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from brenier.baselines import WGANQC, AssignmentSettings
from brenier.baselines.assignment_dual import (
    AssignmentDual,
    assignment_dual,
    fit_to_dual,
)
from brenier.errors import DataError

pytest.importorskip("ot")


def batches(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows of two laws."""
    x, y = torch.randn(2, 20, 3, generator=generator, dtype=torch.float64)
    return x, 2 * y + 1


@pytest.mark.parametrize("swap", [False, True])
def test_the_dual_is_feasible_and_worth_the_assignment(
    swap: bool, generator: torch.Generator
) -> None:
    x, y = batches(generator)
    dual = assignment_dual(x, y)
    if swap:
        x, y, dual = y, x, dual.swapped()
    costs = torch.cdist(y, x).square() / 2
    gaps = costs - (dual.a.unsqueeze(1) - dual.b)
    assert float(gaps.min()) > -1e-12
    rows, columns = linear_sum_assignment(costs.numpy())
    least = costs[rows, columns].mean()
    torch.testing.assert_close(dual.a.mean() - dual.b.mean(), least)
    torch.testing.assert_close(costs[dual.match, torch.arange(20)].mean(), least)
    assert sorted(dual.match.tolist()) == list(range(20))
    assert float(dual.a.mean() + dual.b.mean()) == pytest.approx(0, abs=1e-12)


def test_the_loss_is_that_of_the_paper(generator: torch.Generator) -> None:
    x, y = batches(generator)
    dual, potential = assignment_dual(x, y), convex(3, generator)
    at = x.clone().requires_grad_()
    height = potential(at) - at.square().sum(-1) / 2
    (slope,) = torch.autograd.grad(height.sum(), at)
    of_y = potential(y) - y.square().sum(-1) / 2
    fit = (of_y.mean() - dual.a.mean()) ** 2 / 2 + ((height - dual.b) ** 2).mean() / 2
    lengths = slope.norm(dim=-1) / 2 - (y[dual.match] - x).norm(dim=-1) / 2
    expected = fit + 0.4 * 0.5 * lengths.square().mean()
    torch.testing.assert_close(fit_to_dual(potential, x, y, dual, 0.4), expected)


def test_the_potential_of_a_shift_has_the_right_slopes(
    generator: torch.Generator,
) -> None:
    x, _ = batches(generator)
    y = (x + 0.5)[torch.randperm(20, generator=generator)]
    dual = assignment_dual(x, y)
    shift = quadratic(3, 1.0, 0.5)
    without, with_slopes = (fit_to_dual(shift, x, y, dual, w) for w in (0.0, 1e3))
    torch.testing.assert_close(without, with_slopes)
    # Its heights at x are a dual solution too, so that nothing is lost there either.
    height = shift(x) - x.square().sum(-1) / 2
    of_y = shift(y) - y.square().sum(-1) / 2
    own = AssignmentDual(of_y, height, dual.match)
    assert float(fit_to_dual(shift, x, y, own, 1.0).detach()) < 1e-20


def test_rows_that_overflowed_give_a_loss_that_says_so(
    generator: torch.Generator,
) -> None:
    x, y = batches(generator)
    x[3] = torch.inf
    dual = assignment_dual(x, y)
    assert bool(fit_to_dual(convex(3, generator), x, y, dual, 0.4).isnan())


def test_a_shift_is_learnt_both_ways() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(1000, 2)), rng.normal(size=(1000, 2)) + 1
    settings = AssignmentSettings(learning_rate=5e-3)
    model = WGANQC(settings, max_steps=60, random_state=0).fit(X, Y)
    assert np.square(model.transform(X) - (X + 1)).mean() < 0.05
    assert np.square(model.inverse_transform(Y) - (Y - 1)).mean() < 0.05


def test_without_pot_a_fit_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ot", None)
    with pytest.raises(DataError, match=r"POT: WGANQC needs it; install .*metrics"):
        WGANQC(max_steps=1).fit(np.zeros((9, 2)), np.ones((9, 2)))
