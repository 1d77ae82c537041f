"""Which map is returned: a network has to beat the start, or the samples to refute the start."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from problems import normal
from torch import Tensor

from brenier import DualObjective, Quadratic
from brenier.estimators.verdict import beats_start

FACTOR = 1.2  # of the true map, where the start is the identity


def ended(rows: int, factor: float = FACTOR, truth: float = FACTOR) -> Any:
    """What is asked of a run that has ended: what it learnt, and what it is judged by."""
    g = Quadratic(2, torch.eye(2, dtype=torch.float64) * factor)
    held_out = normal(rows, 2, seed=1), truth * normal(rows, 2, seed=2)
    generator = torch.Generator().manual_seed(0)
    return SimpleNamespace(
        potential=g,
        result=lambda: g,
        objective=DualObjective(),
        held_out=held_out,
        generator=generator,
    )


@pytest.fixture
def many() -> tuple[Tensor, Tensor]:
    return normal(2000, 2, seed=3), FACTOR * normal(2000, 2, seed=4)


def test_a_significant_difference_is_enough(many: tuple[Tensor, Tensor]) -> None:
    assert beats_start(ended(5000), *many, distinct=False)


def test_few_held_out_rows_are_enough_where_the_samples_refute_the_start(
    many: tuple[Tensor, Tensor],
) -> None:
    assert beats_start(ended(10), *many)
    assert not beats_start(ended(10), *many, distinct=False)
    assert not beats_start(
        ended(10), many[0], normal(2000, 2, seed=5)
    )  # the start may well be the map


def test_a_network_that_changed_nothing_is_not_taken(
    many: tuple[Tensor, Tensor],
) -> None:
    assert not beats_start(ended(5000, factor=1 + 1e-6), *many)


def test_a_network_that_is_worse_is_not_taken(many: tuple[Tensor, Tensor]) -> None:
    assert not beats_start(ended(5000, factor=1 / FACTOR), *many)


def test_two_proofs_that_are_too_slight_are_enough_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, many = (
        ended(20, factor=1.1, truth=1.1),
        (normal(800, 2, seed=3), 1.1 * normal(800, 2, seed=4)),
    )
    assert not beats_start(run, *many, distinct=False)
    assert beats_start(run, *many)
    monkeypatch.setattr("brenier.estimators.verdict.two_sample_score", lambda *_: 0.0)
    assert not beats_start(run, *many)
