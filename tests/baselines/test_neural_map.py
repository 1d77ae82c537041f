"""NOT: its two losses by hand, who is trained when, its cost, and a map that it learns."""

import dataclasses
from typing import Any

import pytest
import torch
from baselines.given import error, given_sides, number, quick, rows, stretched
from torch import Tensor

from brenier.baselines import NOT, NeuralMapSettings
from brenier.baselines.neural_map import MapAndPotential, NeuralMapTask
from brenier.errors import DataError, NoInverseError


def task_of(
    settings: NeuralMapSettings, generator: torch.Generator, dim: int = 3
) -> NeuralMapTask:
    model = MapAndPotential(dim, widths=[4, 4], generator=generator).double()
    sides = given_sides(rows(40, dim), rows(40, dim, seed=1) + 1)
    return NeuralMapTask(model, sides, generator, settings)


@pytest.mark.parametrize(("cost", "factor"), [("half", 0.5), ("mean", 1 / 3)], ids=str)
def test_the_loss_of_the_map_is_cost_less_potential(
    cost: str, factor: float, generator: torch.Generator
) -> None:
    task = task_of(NeuralMapSettings(cost=cost, cost_weight=1.5), generator)
    x = task.draw_source(40)
    t = task.model.mapping(x)
    wanted = [
        1.5 * factor * number(((a - b) ** 2).sum()) - number(task.model.scalar(b))
        for a, b in zip(x, t, strict=True)
    ]
    assert number(task.loss(40)) == pytest.approx(sum(wanted) / 40)


def test_the_potential_learns_what_tells_both_laws_apart(
    generator: torch.Generator,
) -> None:
    task = task_of(NeuralMapSettings(inner_steps=2), generator)
    task.taken = 2
    moved, y = task.model.moved(task.draw_source(40)), task.draw_target(40)
    wanted = task.model.scalar(moved).mean() - task.model.scalar(y).mean()
    assert number(task.loss(40)) == pytest.approx(number(wanted))


def test_each_step_trains_one_network(generator: torch.Generator) -> None:
    task = task_of(NeuralMapSettings(inner_steps=2), generator)
    turns = []
    for taken in range(6):
        task.taken = taken
        task.model.zero_grad()
        task.loss(20).backward()
        parts = (task.model.mapping, task.model.scalar)
        turns.append(
            [any(p.grad is not None for p in part.parameters()) for part in parts]
        )
    of_map, of_potential = [True, False], [False, True]
    assert turns == [of_map, of_map, of_potential] * 2


def test_without_a_cost_nothing_depends_on_where_rows_came_from(
    generator: torch.Generator,
) -> None:
    task = task_of(NeuralMapSettings(cost_weight=0.0), generator)
    x = task.draw_source(40)
    loss = task.map_loss(x)
    assert number(loss) == pytest.approx(
        -number(task.model.potential(task.model.moved(x)).mean())
    )


def test_it_learns_a_map_and_without_a_cost_another_one() -> None:
    x, y = rows(4000, 2), stretched(rows(4000, 2, seed=1))
    settings = quick(NOT.presets["fair"])
    ot = NOT(settings, max_steps=660, random_state=0).fit(x, y)
    found = error(ot.transform(x), stretched(x))
    assert found < 0.05
    free = dataclasses.replace(settings, cost_weight=0.0)
    gan = NOT(free, max_steps=660, random_state=0).fit(x, y)
    assert error(gan.transform(x), stretched(x)) > 4 * found
    with pytest.raises(NoInverseError):
        ot.inverse_transform(y)


def test_published_weights_start_with_the_variance_of_rectifiers(
    generator: torch.Generator,
) -> None:
    published = NOT("published").model(2, generator)
    second: Tensor = published.mapping[2].weight  # type: ignore[assignment]
    assert number(second.var()) == pytest.approx(2 / 100, rel=0.05)
    assert not bool(published.scalar[0].bias.any())  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inner_steps", 0),
        ("widths", ()),
        ("widths", (3, 0)),
        ("activation", "sine"),
        ("initial", "zero"),
        ("cost", "third"),
        ("cost_weight", -1.0),
    ],
)
def test_settings_that_no_fit_takes_are_named(name: str, value: Any) -> None:
    settings = dataclasses.replace(NeuralMapSettings(), **{name: value})
    with pytest.raises(DataError, match=f"settings: {name}"):
        settings.check()
