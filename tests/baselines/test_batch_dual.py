"""MM-B: the maximum over the rows of a batch."""

import numpy as np
import torch
from baselines.duals import convex, normal_sides

from brenier.baselines import LearnedSettings, MMBatch
from brenier.baselines.batch_dual import BatchDualTask, batch_dual
from brenier.baselines.inner_supremum import solve_rows
from brenier.baselines.potential_pair import PotentialPair


def test_the_dual_is_the_maximum_over_all_pairs(generator: torch.Generator) -> None:
    x = torch.randn(30, 2, generator=generator, dtype=torch.float64)
    y = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    u = torch.randn(30, generator=generator, dtype=torch.float64).requires_grad_()
    expected = u.mean() + (x @ y.mT - u.unsqueeze(1)).max(0).values.mean()
    found = batch_dual(u, x, y)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad(each, u)[0] for each in (found, expected)]
    torch.testing.assert_close(*slopes)


def test_the_maximum_over_a_batch_is_below_the_supremum(
    generator: torch.Generator,
) -> None:
    potential = convex(2, generator)
    x, y = torch.randn(2, 200, 2, generator=generator, dtype=torch.float64)
    found = solve_rows(potential, y, y, 1e-6, 200).point
    heights = torch.linalg.vecdot(found, y) - potential(found)
    exact = float((potential(x).mean() + heights.mean()).detach())
    assert float(batch_dual(potential(x).detach(), x, y)) < exact


def test_potentials_of_both_directions_know_nothing_of_each_other(
    generator: torch.Generator,
) -> None:
    model = PotentialPair(2, generator=generator).double()
    task = BatchDualTask(model, normal_sides(2, generator), generator)
    state = generator.get_state()
    task.loss(50).backward()
    generator.set_state(state)
    x, y = task.draw_source(50), task.draw_target(50)
    back = batch_dual(model.back(y), y, x)
    (slope,) = torch.autograd.grad(back, model.back.readout)
    torch.testing.assert_close(model.back.readout.grad, slope)


def test_a_scaling_with_a_shift_is_learnt_both_ways() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(3000, 2)), 2 * rng.normal(size=(3000, 2)) + 1
    settings = LearnedSettings(learning_rate=5e-3)
    model = MMBatch(settings, max_steps=80, random_state=0).fit(X, Y)
    ahead, back = model.transform(X), model.inverse_transform(Y)
    assert np.square(ahead - (2 * X + 1)).mean() < 0.03 * 4
    assert np.square(back - (Y - 1) / 2).mean() < 0.03
