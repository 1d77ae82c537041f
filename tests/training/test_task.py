"""What a task need not write itself, and the standard error of an evaluation."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from brenier import Evaluation, Loss, Task


class Least(Task[nn.Linear]):
    """A task that writes no more than it must."""

    def __init__(self) -> None:
        self.model = nn.Linear(2, 1)

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        yield Loss(self.model(torch.zeros(rows, 2)).sum())

    def evaluate(self, model: nn.Linear) -> Evaluation:
        return Evaluation(0.0, (), {})


def test_a_task_is_its_own_only_member_and_has_nothing_under_way() -> None:
    task = Least()
    assert task.members() == [task.model]
    (group,) = task.parameter_groups()
    assert [id(p) for p in group["params"]] == [id(p) for p in task.model.parameters()]
    assert task.state_dict() == {}
    task.load_state_dict({})
    task.forget()
    assert (task.averages, task.counts) == ((), ())


def test_a_row_of_the_history_is_shown_with_its_error() -> None:
    row = {"value": 0.123456789, "standard_error": 0.0234}
    assert Least().summary(row) == "loss=0.12346±0.02"


def test_a_loss_without_more_is_faultless_and_an_evaluation_trusted() -> None:
    (loss,) = Least().losses(3, 1.0)
    assert (loss.records, loss.fault) == ((), "")
    evaluation = Least().evaluate(nn.Linear(2, 1))
    assert evaluation.trusted
    assert evaluation.fresh


def test_the_error_of_a_value_is_that_of_a_sum_of_means() -> None:
    first, second = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([2.0, 2.5])
    expected = math.sqrt(float(first.var()) / 3 + float(second.var()) / 2)
    found = Evaluation(0.0, (first, second), {}).standard_error()
    assert found == pytest.approx(expected)
    assert Evaluation(0.0, (first, second[:1]), {}).standard_error() == math.inf
