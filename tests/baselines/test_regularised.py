"""LS: its three forms, and the two stages of the full one."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from baselines.duals import normal_sides

from brenier import Run
from brenier.baselines import LS, LSAllPairs, LSBarycentric, RegularisedSettings
from brenier.baselines.plan_density import Penalty, slacks
from brenier.baselines.regularised import (
    RegularisedPair,
    RegularisedTask,
    staged_rate,
)
from brenier.errors import DataError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(3000, 2)), 2 * RNG.normal(size=(3000, 2)) + 1


def ls_task(generator: torch.Generator, **settings: Any) -> RegularisedTask:
    """A task of two features."""
    told = RegularisedSettings(**settings)
    units = told.map_units if told.barycentric else ()
    model = RegularisedPair(2, map_units=units, generator=generator).double()
    return RegularisedTask(model, normal_sides(2, generator), generator, told)


@pytest.mark.parametrize("penalty", ["quadratic", "entropic"])
def test_the_dual_penalises_independent_pairs_or_all(
    penalty: str, generator: torch.Generator
) -> None:
    task = ls_task(generator, penalty=penalty, epsilon=0.5)
    x, y = task.draw_source(30), task.draw_target(30)
    u, v = task.model.ahead(x), task.model.back(y)
    s = slacks(x, y, u, v)
    plain, cost = u.mean() + v.mean(), Penalty(penalty, 0.5)
    torch.testing.assert_close(task.dual(x, y), plain + cost(s.diagonal()).mean())
    task.settings = dataclasses.replace(task.settings, pairs="all")
    torch.testing.assert_close(task.dual(x, y), plain + cost(s).mean())


def test_the_stages_train_what_is_theirs(generator: torch.Generator) -> None:
    task = ls_task(generator, barycentric=True)
    ahead, back = (next(moves.parameters()) for moves in task.model.moves)
    for progress, trained, fixed in (
        (0.49, task.model.ahead.readout, ahead),
        (0.5, back, task.model.back.readout),
    ):
        task.begin_step(progress)
        task.model.zero_grad()
        task.loss(50).backward()
        assert trained.grad is not None
        assert fixed.grad is None


def test_a_run_takes_up_its_stage(generator: torch.Generator) -> None:
    task, other = (ls_task(generator, barycentric=True) for _ in range(2))
    task.begin_step(0.7)
    other.load_state_dict(task.state_dict())
    assert other.maps_are_trained


def test_maps_that_are_not_trained_are_not_selected(
    generator: torch.Generator,
) -> None:
    task = ls_task(generator, barycentric=True)
    x = task.sides.held_out[0]
    assert not task.evaluate(task.model).trusted
    torch.testing.assert_close(task.pushed(task.model, x), task.model.ahead.gradient(x))
    task.begin_step(0.5)
    assert task.evaluate(task.model).trusted
    torch.testing.assert_close(task.pushed(task.model, x), task.model.moved(x))
    assert ls_task(generator).evaluate(task.model).trusted


def test_the_rate_falls_in_either_stage_and_maps_have_their_own(
    generator: torch.Generator,
) -> None:
    shares = (0.0, 0.125, 0.2499, 0.25, 0.625, 1.0)
    rates = [staged_rate(0.1, 0.25, 2.0, share) for share in shares]
    assert rates == pytest.approx([1, 0.55, 0.1, 2, 1.1, 0.2], abs=1e-3)
    task = ls_task(generator, barycentric=True, map_rate=7e-3, final_rate=1.0)
    run = Run(task, task.settings.training(10, None), generator)
    rates = []
    for _ in range(10):
        run.advance()
        rates.append(run.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3] * 5 + [7e-3] * 5)


@pytest.mark.parametrize("method", [LS, LSAllPairs])
def test_a_scaling_with_a_shift_is_learnt_up_to_the_bias(method: type[LS]) -> None:
    settings = dataclasses.replace(method.presets["fair"], learning_rate=5e-3)
    model = method(settings, max_steps=100, random_state=0).fit(X, Y)
    ahead, back = model.transform(X), model.inverse_transform(Y)
    assert np.square(ahead - (2 * X + 1)).mean() < 0.1 * 4
    assert np.square(back - (Y - 1) / 2).mean() < 0.1


def test_barycentric_maps_are_learnt_both_ways() -> None:
    settings = RegularisedSettings(
        pairs="all", barycentric=True, learning_rate=3e-3, map_rate=3e-3, batch_size=256
    )
    model = LSBarycentric(settings, max_steps=200, random_state=0).fit(X, Y)
    ahead, back = model.transform(X), model.inverse_transform(Y)
    assert np.square(ahead - (2 * X + 1)).mean() < 0.1 * 4
    assert np.square(back - (Y - 1) / 2).mean() < 0.1
    assert model.map_.model.config() == {"dim": 2, "map_units": [128, 128]}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pairs", "some"),
        ("penalty", "cubic"),
        ("epsilon", 0.0),
        ("dual_share", 1.0),
        ("map_units", ()),
        ("map_units", (8, 0)),
        ("patience", 5),
    ],
)
def test_settings_that_cannot_be_used_are_named(field: str, value: Any) -> None:
    told = dataclasses.replace(RegularisedSettings(barycentric=True), **{field: value})
    with pytest.raises(DataError, match=f"settings: {field} must be"):
        LSBarycentric(told).fit(X, Y)
