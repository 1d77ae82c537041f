"""Which map is returned: a network has to beat the start, or the samples to refute the start."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from problems import normal
from torch import Tensor

from brenier import DualObjective, FitSettings, Quadratic
from brenier.estimators import verdict
from brenier.estimators.verdict import Comparison, improves_on_start

FACTOR = 1.2  # of the true map, where the start is the identity


def improves(
    rows: int,
    many: tuple[Tensor, Tensor],
    distinct: bool = True,
    factor: float = FACTOR,
    truth: float = FACTOR,
    overrides: dict[str, object] | None = None,
    spoilt: bool = False,
) -> bool:
    """Judge a run that has ended: what it learnt, what it is judged by, and many other rows.

    Args:
        rows: held out of either side.
        many: rows of either side that are not held out.
        distinct: whether none of these is there twice.
        factor: that the network multiplies points by.
        truth: the factor of the true map.
        overrides: fields of settings.
        spoilt: whether the network is NaN everywhere.
    """
    g = Quadratic(2, torch.eye(2, dtype=torch.float64) * factor)
    if spoilt:
        g.factor.data.fill_(math.nan)
    held_out = normal(rows, 2, seed=1), truth * normal(rows, 2, seed=2)
    generator = torch.Generator().manual_seed(0)
    run: Any = SimpleNamespace(result=lambda: g, generator=generator)
    task: Any = SimpleNamespace(
        objective=DualObjective(), held_out=held_out, weights=(None, None)
    )
    settings = FitSettings().overridden(overrides or {})
    return improves_on_start(run, task, Comparison(*many, distinct), settings)


@pytest.fixture
def many() -> tuple[Tensor, Tensor]:
    """Rows of a problem that the start does not solve."""
    return normal(2000, 2, seed=3), FACTOR * normal(2000, 2, seed=4)


def test_a_significant_difference_is_enough(many: tuple[Tensor, Tensor]) -> None:
    assert improves(5000, many, distinct=False)


def test_few_held_out_rows_are_enough_where_the_samples_refute_the_start(
    many: tuple[Tensor, Tensor],
) -> None:
    assert improves(10, many)
    assert not improves(10, many, distinct=False)
    assert not improves(
        10, (many[0], normal(2000, 2, seed=5))
    )  # the start may well be the map


def test_a_network_that_changed_nothing_is_not_taken(
    many: tuple[Tensor, Tensor],
) -> None:
    assert not improves(5000, many, factor=1 + 1e-6)


def test_a_network_that_is_worse_is_not_taken(many: tuple[Tensor, Tensor]) -> None:
    assert not improves(5000, many, factor=1 / FACTOR)


def test_two_proofs_that_are_too_slight_are_enough_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = normal(800, 2, seed=3), 1.1 * normal(800, 2, seed=4)
    told: dict[str, Any] = {"factor": 1.1, "truth": 1.1}
    assert not improves(20, many, distinct=False, **told)
    assert improves(20, many, **told)
    monkeypatch.setattr(verdict, "two_sample_score", lambda *_: 0.0)
    assert not improves(20, many, **told)


def test_the_threshold_is_a_setting(many: tuple[Tensor, Tensor]) -> None:
    assert not improves(5000, many, overrides={"z_threshold": math.inf})
    assert improves(10, many, distinct=False, overrides={"z_threshold": 0.0})


def test_a_gain_below_the_least_is_none(many: tuple[Tensor, Tensor]) -> None:
    assert not improves(5000, many, overrides={"min_gain": 1.0})


def test_what_is_not_finite_is_not_taken(many: tuple[Tensor, Tensor]) -> None:
    assert not improves(5000, (many[0] * math.nan, many[1]))
    assert not improves(5000, many, spoilt=True)
