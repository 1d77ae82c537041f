"""W2GN: round trips of conjugate potentials lose nothing."""

import dataclasses

import numpy as np
import pytest
import torch
from baselines.duals import normal_sides, quadratic

from brenier.baselines import W2GN, CycleSettings
from brenier.baselines.cycle import CycleTask
from brenier.baselines.potential_pair import PotentialPair
from brenier.errors import DataError


def cycle_task(
    generator: torch.Generator, ahead: float, back: float, weight: float | None = None
) -> CycleTask:
    """A task of the potentials ahead |x|^2/2 and back |y|^2/2 of three features."""
    model = PotentialPair(3, convex=True).double()
    model.ahead, model.back = quadratic(3, ahead), quadratic(3, back)
    settings = CycleSettings(cycle_weight=weight)
    return CycleTask(model, normal_sides(3, generator), generator, settings)


def test_round_trips_of_conjugates_lose_nothing(generator: torch.Generator) -> None:
    x, y = torch.randn(2, 50, 3, generator=generator, dtype=torch.float64)
    conjugates = cycle_task(generator, 4.0, 0.25)
    assert float(conjugates.round_trips(x, y).detach()) < 1e-25
    others = cycle_task(generator, 4.0, 0.5)  # a round trip doubles a row
    expected = x.square().mean() + y.square().mean()
    torch.testing.assert_close(others.round_trips(x, y), expected)


def test_the_dual_of_conjugates_is_that_of_the_law(generator: torch.Generator) -> None:
    x, y = torch.randn(2, 50, 3, generator=generator, dtype=torch.float64)
    task = cycle_task(generator, 4.0, 0.25)
    squares = (part.square().sum(-1).mean() for part in (x, y))
    expected = 4 * next(squares) / 2 + next(squares) / 8
    torch.testing.assert_close(task.dual(x, y), expected)


def test_the_dual_trains_one_potential_and_round_trips_both(
    generator: torch.Generator,
) -> None:
    model = PotentialPair(3, convex=True, generator=generator).double()
    task = CycleTask(model, normal_sides(3, generator), generator, CycleSettings())
    x, y = task.draw_source(20), task.draw_target(20)
    task.dual(x, y).backward()
    assert model.ahead.readout.grad is not None
    assert model.back.readout.grad is None
    assert model.back.readout.requires_grad
    task.round_trips(x, y).backward()
    assert model.back.readout.grad is not None


def test_the_weight_is_that_told_or_the_features(generator: torch.Generator) -> None:
    assert cycle_task(generator, 1.0, 1.0).weight == 3
    assert cycle_task(generator, 1.0, 1.0, 0.5).weight == 0.5
    task = cycle_task(generator, 4.0, 0.5, 10.0)
    state = generator.get_state()
    found = task.loss(20)
    generator.set_state(state)
    x, y = task.draw_source(20), task.draw_target(20)
    torch.testing.assert_close(found, task.dual(x, y) + 10 * task.round_trips(x, y))
    with pytest.raises(DataError, match="settings: cycle_weight must be positive"):
        dataclasses.replace(CycleSettings(), cycle_weight=0.0).check()


def test_a_scaling_with_a_shift_is_learnt_both_ways() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(3000, 2)), 2 * rng.normal(size=(3000, 2)) + 1
    settings = CycleSettings(learning_rate=5e-3, batch_size=256)
    model = W2GN(settings, max_steps=80, random_state=0).fit(X, Y)
    ahead, back = model.transform(X), model.inverse_transform(Y)
    assert np.square(ahead - (2 * X + 1)).mean() < 0.01 * 4
    assert np.square(back - (Y - 1) / 2).mean() < 0.01
    pair = model.map_.model
    assert isinstance(pair, PotentialPair)
    for part in (*pair.ahead.weights, *pair.back.weights):
        assert bool((part >= 0).all())
