"""The map guided by classes: its functional by hand, the rows that it draws, and what it learns."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from brenier import DataError, DataWarning
from brenier.baselines import GNOT, GNOTSettings
from brenier.baselines.gnot import GNOTTask, class_functional
from brenier.baselines.guided_map import GuidedMap
from brenier.baselines.pair_task import PairSides
from brenier.datasets import labelled, ring_classes

FAIR: GNOTSettings = GNOT.presets["fair"]


def by_hand(moved: Tensor, targets: Tensor, all_pairs: bool) -> float:
    """The functional, one pair after the other."""
    values = []
    for group, aims in zip(moved, targets, strict=True):
        rows = range(len(group))
        pairs = itertools.product(rows, rows) if all_pairs else zip(rows, rows)  # noqa: B905
        across = [float((group[i] - aims[j]).norm()) for i, j in pairs]
        within = [
            float((group[i] - group[j]).norm())
            for i, j in itertools.permutations(rows, 2)
        ]
        values.append(np.mean(across) - np.mean(within) / 2)
    return float(np.mean(values))


def normal_side(mean: float) -> Any:
    def draw(n: int, generator: torch.Generator) -> Tensor:
        rows = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return rows + mean

    return draw


def two_classes() -> PairSides:
    """Classes about 0 and 10, whose targets are about 100 and 200."""
    generator = torch.Generator().manual_seed(5)
    classes = []
    for source, target in ((0.0, 100.0), (10.0, 200.0)):
        draws = normal_side(source), normal_side(target)
        rows = draws[0](30, generator), draws[1](30, generator)
        classes.append(PairSides(*draws, rows, (30, 30), rows))
    first, second = zip(*(one.known for one in classes), strict=True)
    rows = torch.cat(first), torch.cat(second)
    return PairSides(
        classes[0].source,
        classes[1].target,
        rows,
        (60, 60),
        rows,
        classes=tuple(classes),
    )


@pytest.mark.parametrize("all_pairs", [True, False])
def test_the_functional_is_that_of_pairs_one_by_one(
    all_pairs: bool, generator: torch.Generator
) -> None:
    moved = torch.randn(3, 5, 2, generator=generator, dtype=torch.float64)
    targets = torch.randn(3, 5, 2, generator=generator, dtype=torch.float64)
    found = float(class_functional(moved, targets, all_pairs))
    assert found == pytest.approx(by_hand(moved, targets, all_pairs), rel=1e-12)


@pytest.mark.parametrize("rows", [2, 5])
def test_the_functional_has_no_bias_however_few_rows_a_group_has(
    rows: int, generator: torch.Generator
) -> None:
    # N(0, 1) to N(3, 1) on a line: E|x - x'| = 2 / sqrt(pi), and E|N(3, 2)| by its closed form.
    far = torch.tensor(3.0 / 2**0.5, dtype=torch.float64)
    normal = torch.distributions.Normal(0.0, 1.0)
    across = 2**0.5 * (2 * normal.log_prob(far).exp() + far * (2 * normal.cdf(far) - 1))
    truth = float(across) - 1 / np.pi**0.5
    moved = torch.randn(60_000, rows, 1, generator=generator, dtype=torch.float64)
    targets = 3 + torch.randn(60_000, rows, 1, generator=generator, dtype=torch.float64)
    for all_pairs in (True, False):
        assert float(class_functional(moved, targets, all_pairs)) == pytest.approx(
            truth, abs=0.02
        )


def test_rows_that_coincide_have_a_finite_derivative() -> None:
    moved = torch.zeros(1, 4, 2, requires_grad=True)
    class_functional(moved, torch.zeros(1, 4, 2), all_pairs=True).backward()
    assert moved.grad is not None
    assert bool((moved.grad == 0).all())


def test_groups_are_of_one_class_each(generator: torch.Generator) -> None:
    task = GNOTTask(GuidedMap(2).double(), two_classes(), generator, FAIR)
    x, targets = task.draw_classes(50, 4)
    ones = (x.view(50, 4, 2).mean((1, 2)) > 5).long()
    others = (targets.view(50, 4, 2).mean((1, 2)) > 150).long()
    assert ones.tolist() == others.tolist()
    assert 10 < int(ones.sum()) < 40  # classes are drawn alike


def test_few_labels_are_drawn_once_and_none_else_is_looked_at(
    generator: torch.Generator,
) -> None:
    settings = dataclasses.replace(FAIR, labelled_rows=3)
    sides = two_classes()
    task = GNOTTask(GuidedMap(2).double(), sides, generator, settings)
    assert task.labelled is not None
    known = {tuple(row.tolist()) for part in task.labelled for row in part}
    assert len(known) == 6
    for _ in range(5):
        _, targets = task.draw_classes(20, 4)
        assert {tuple(row.tolist()) for row in targets} <= known
    lost = [
        one._replace(held_out=(one.held_out[0], torch.full((3, 2), torch.nan).double()))
        for one in sides.classes
    ]
    task.sides = sides._replace(classes=tuple(lost))
    assert np.isfinite(task.evaluate(task.model).value)


def test_networks_take_turns(generator: torch.Generator) -> None:
    settings = dataclasses.replace(FAIR, map_steps=2, rows_per_class=4)
    task = GNOTTask(GuidedMap(2).double(), two_classes(), generator, settings)
    trained = []
    for _ in range(6):
        task.model.zero_grad(set_to_none=True)
        next(task.losses(32, 1.0)).value.backward()
        trained.append(
            tuple(
                next(part.parameters()).grad is not None
                for part in (task.model.ahead, task.model.potential)
            )
        )
    ahead, potential = (True, False), (False, True)
    assert trained == 2 * [ahead, ahead, potential]


def test_the_potential_falls_on_moved_rows_and_rises_on_the_target(
    generator: torch.Generator,
) -> None:
    settings = dataclasses.replace(FAIR, map_steps=1, rows_per_class=4)
    task = GNOTTask(GuidedMap(2).double(), two_classes(), generator, settings)
    task.taken = 1
    state = generator.get_state()
    found = float(task.loss(32).detach())
    generator.set_state(state)
    x, _ = task.draw_classes(8, 4)
    y = task.draw_target(32)
    values = task.model.value(task.model.moved(x)).mean() - task.model.value(y).mean()
    assert found == pytest.approx(float(values.detach()), rel=1e-9)


def test_noise_spreads_a_row_out_and_is_the_same_every_time(
    generator: torch.Generator,
) -> None:
    model = GuidedMap(2, noise=True, draws=8, generator=generator)
    x = torch.ones(20, 2)
    moved = model.moved(x)
    torch.testing.assert_close(model.moved(x), moved)
    torch.testing.assert_close(moved[:8], moved[8:16])
    assert len({tuple(row.tolist()) for row in moved}) == 8


def test_classes_that_change_places_arrive_at_their_own() -> None:
    pairs = ring_classes("horizontal swap")
    x, z, labels = labelled(pairs, 400, torch.Generator().manual_seed(0))
    settings = dataclasses.replace(FAIR, batch_size=128, hidden=(64, 64))
    method = GNOT(settings, max_steps=440, random_state=0)
    method.fit(x, z, source_labels=labels, target_labels=labels)
    new, _, own = labelled(pairs, 400, torch.Generator().manual_seed(1))
    aims = torch.tensor(
        [[1.0, 0.0] if label == "left" else [-1.0, 0.0] for label in own]
    )
    near = (method.transform(new) - aims).norm(dim=1) < (
        method.transform(new) + aims
    ).norm(dim=1)
    assert float(near.double().mean()) >= 0.95
    assert method.labels_ == ["left", "right"]


def test_labels_that_cannot_be_used_are_named() -> None:
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(40, 2)), np.arange(40) % 2
    method = GNOT(max_steps=1)
    for given, message in (
        ({}, "source_labels: is missing"),
        ({"source_labels": labels}, "target_labels: is missing"),
        ({"source_labels": labels[:9], "target_labels": labels}, "source_labels"),
        ({"source_labels": labels, "target_labels": labels + 5}, "share no class"),
    ):
        with pytest.raises(DataError, match=message):
            method.fit(X, X, **given)
    single = np.where(np.arange(40) == 3, 7, labels)
    with pytest.raises(DataError, match="class 7 has one row"):
        method.fit(X, X, source_labels=single, target_labels=single)
    with pytest.warns(DataWarning, match="left out"):
        method.fit(X, X, source_labels=labels, target_labels=np.where(labels, 1, 3))


@pytest.mark.parametrize(
    "wrong",
    [{"rows_per_class": 1}, {"map_steps": 0}, {"labelled_rows": 1}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=next(iter(wrong))):
        GNOT(dataclasses.replace(FAIR, **wrong)).chosen_settings()
