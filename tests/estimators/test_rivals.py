"""Maps that are judged by the same rows left out: the least J wins, and a difference is judged row by row."""

import math
from typing import Any

import pytest
import torch
from problems import normal

from brenier import DualObjective, MemberSamples, Quadratic
from brenier.estimators.rivals import Rival, best_of, judged
from brenier.statistics import standard_error


def rival(name: str, loss: float = 0.0, **parts: Any) -> Rival:
    """One of a made-up value."""
    value: Any = type(
        "Value",
        (),
        {"loss": torch.tensor(loss), "weights": (None, None), **parts},
    )
    return Rival(name, [], value)


def of_rows(source: torch.Tensor, target: torch.Tensor) -> Rival:
    loss = float(source.mean() - target.mean())
    return rival("of rows", loss, source=source, target=target)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_the_least_finite_j_is_best(wrong: float) -> None:
    rivals = [rival("a", 1.0), rival("b", -2.0), rival("c", wrong), rival("d", -1.0)]
    for order in (rivals, rivals[::-1], rivals[2:] + rivals[:2]):
        assert best_of(order).name == "b"
    assert best_of([rival("only", wrong)]).name == "only"
    assert best_of([rival("wrong", wrong), rival("large", 1e30)]).name == "large"


def test_the_first_of_equals_is_best() -> None:
    assert best_of([rival("a", 1.0), rival("b", 1.0)]).name == "a"


def test_a_difference_is_judged_row_by_row() -> None:
    """What both have in common is no noise."""
    source, target = 100 * normal(50), 100 * normal(40, seed=1)
    better = of_rows(source, target)
    worse = of_rows(source + 1 + 0.1 * normal(50, seed=2), target)
    difference = float((worse.value.source - source).mean())
    error = standard_error(worse.value.source - source, torch.zeros(40).double())
    assert worse.behind(better) == pytest.approx(difference / error)
    assert worse.behind(better) > 20
    assert better.behind(worse) == pytest.approx(-worse.behind(better))


def test_nothing_is_behind_itself() -> None:
    one = of_rows(normal(5), normal(4))
    assert one.behind(one) == 0


def test_one_without_a_value_is_not_said_to_be_behind() -> None:
    one = of_rows(normal(5), normal(4))
    lost = of_rows(normal(5) * math.nan, normal(4))
    assert not lost.behind(one) > 0
    assert not one.behind(lost) > 0


def test_potentials_are_judged_each_by_its_own_rows() -> None:
    own = [
        MemberSamples(normal, normal, (normal(9, 2, seed=k), 2 * normal(8, 2, seed=k)))  # type: ignore[arg-type]
        for k in range(2)
    ]
    scaled = [Quadratic(2, factor * torch.eye(2).double()) for factor in (1.0, 2.0)]
    found = judged("scaled", scaled, own, DualObjective(), 1e-9)
    assert found.name == "scaled"
    assert found.value.source[:9].abs().max() < 1e-12
    torch.testing.assert_close(
        found.value.source[9:], own[1].held_out[0].square().sum(-1) / 2
    )
    assert not found.value.loss.requires_grad
