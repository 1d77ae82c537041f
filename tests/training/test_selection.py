"""Which weights are kept: the latest that cannot be told from the best, while rows are new."""

import math

import pytest
import torch

from brenier import Evaluation, Settings
from brenier.training.selection import Selection

WITHIN = Settings.select_within

ROWS = 400
SOURCE, TARGET = torch.randn(
    2, ROWS, generator=torch.Generator().manual_seed(0), dtype=torch.float64
)
DIFFERENCE = torch.randn(
    2, ROWS, generator=torch.Generator().manual_seed(1), dtype=torch.float64
)
DIFFERENCE = DIFFERENCE - DIFFERENCE.mean(-1, keepdim=True)
NOISE = math.sqrt(
    2 / (ROWS - 1)
)  # of the mean of the differences, each side scaled to variance one


def weights(number: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.tensor([number])}


def evaluation(above: float, trusted: bool = True, fresh: bool = True) -> Evaluation:
    """A value above that of SOURCE and TARGET by so many standard errors of the difference, row by row."""
    unit = DIFFERENCE / DIFFERENCE.square().mean(-1, keepdim=True).sqrt()
    source, target = (
        SOURCE + (unit[0] if above else 0.0) + above * NOISE,
        TARGET + (unit[1] if above else 0.0),
    )
    value = float(source.mean() - target.mean())
    return Evaluation(value, (source, -target), {}, trusted, fresh)


def kept(selection: Selection) -> float:
    return float(selection.weights["weight"])


def selected() -> Selection:
    selection = Selection(weights(0), Settings())
    assert selection.consider(evaluation(0), weights(1))
    return selection


@pytest.mark.parametrize(
    ("above", "chosen"), [(-2.0, 2), (0.9 * WITHIN, 2), (1.1 * WITHIN, 1)]
)
def test_the_latest_within_a_standard_error_of_the_least_is_kept(
    above: float, chosen: int
) -> None:
    selection = selected()
    assert selection.consider(evaluation(above), weights(2)) == (above < 0)
    assert kept(selection) == chosen


def test_slow_decline_does_not_carry_the_selection_away() -> None:
    selection = selected()
    for step in range(2, 8):
        selection.consider(evaluation(0.4 * step * WITHIN), weights(step))
    assert kept(selection) == 2


def test_rows_drawn_again_and_again_are_judged_by_the_least_value() -> None:
    selection = selected()
    selection.consider(evaluation(0.5 * WITHIN, fresh=False), weights(2))
    assert kept(selection) == 1
    selection.consider(evaluation(-0.5 * WITHIN, fresh=False), weights(3))
    assert kept(selection) == 3


def test_evaluations_that_cannot_be_trusted_are_passed_over() -> None:
    selection = selected()
    assert not selection.consider(evaluation(-9, trusted=False), weights(2))
    lost = evaluation(-9)._replace(value=math.nan)
    assert not selection.consider(lost, weights(2))
    assert kept(selection) == 1


def test_worse_is_judged_by_the_noise_of_j_itself() -> None:
    selection = selected()
    assert not selection.worse(evaluation(2))
    assert selection.worse(evaluation(9))


def test_what_is_kept_can_be_put_down_and_taken_up() -> None:
    first, second = selected(), Selection(weights(0), Settings())
    second.load_state_dict(first.state_dict(), SOURCE.device)
    for selection in (first, second):
        selection.consider(evaluation(0.9 * WITHIN), weights(2))
        selection.consider(evaluation(1.1 * WITHIN), weights(3))
    assert kept(first) == kept(second) == 2
    assert first.least == second.least
