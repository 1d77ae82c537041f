"""A training run of any task: when it ends, what its history says, and what a faulty step undoes."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from fits import same
from torch import Tensor, nn
from training.tasks import Regression

from brenier import Evaluation, Loss, Run, Settings


class Told(Regression):
    """A regression whose evaluations have the values told, and whose steps are faulty from one on."""

    averages = ("train_value",)
    counts = ("rows_seen",)

    def __init__(self, values: Iterator[float], faulty_from: int = 10**9) -> None:
        super().__init__(torch.Generator().manual_seed(0))
        self.values, self.faulty_from = values, faulty_from
        self.asked: list[tuple[int, float]] = []
        self.forgotten = 0

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        self.asked.append((rows, rate))
        fault = "lost" if len(self.asked) >= self.faulty_from else ""
        for k, loss in enumerate(super().losses(rows, rate)):
            record = {"train_value": float(len(self.asked)), "rows_seen": rows + k}
            yield Loss(loss.value, [record], fault)

    def evaluate(self, model: nn.Linear) -> Evaluation:
        terms = super().evaluate(model).terms
        return Evaluation(next(self.values), terms, {"told": 1.0})

    def forget(self) -> None:
        self.forgotten += 1


def falling() -> Iterator[float]:
    yield from (1.0 / k for k in range(1, 10**6))


def ended(task: Told, **settings: Any) -> Run[nn.Linear]:
    settings = {"batch_size": 16, "evaluate_every": 5, **settings}
    run = Run(task, Settings(**settings), task.generator)
    while not run.finished:
        run.advance()
    return run


def test_a_run_ends_with_its_steps_after_a_last_evaluation() -> None:
    run = ended(Told(falling()), max_steps=12)
    assert (run.finished, run.step) == ("budget", 12)
    assert [row["step"] for row in run.history] == [0, 5, 10, 12]


class Slow(Told):
    """Steps and evaluations take so many seconds, by a clock that only they move."""

    def __init__(self, step: float, evaluation: float) -> None:
        super().__init__(falling())
        self.time, self.step, self.evaluation = 100.0, step, evaluation

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        yield from super().losses(rows, rate)
        self.time += self.step

    def evaluate(self, model: nn.Linear) -> Evaluation:
        self.time += self.evaluation
        return super().evaluate(model)


def slow_run(step: float, evaluation: float, max_time: float = 50.0) -> Run[nn.Linear]:
    task = Slow(step, evaluation)
    settings = Settings(
        max_steps=float("inf"), max_time=max_time, batch_size=16, evaluate_every=5
    )
    return Run(task, settings, task.generator, lambda: task.time)


@pytest.mark.parametrize(
    ("step", "evaluation", "steps"),
    [(1.0, 0.0, 50), (7.0, 0.0, 7), (30.0, 0.0, 2), (100.0, 0.0, 1), (1.0, 60.0, 0)],
)
def test_a_run_ends_with_its_seconds(
    step: float, evaluation: float, steps: int
) -> None:
    """The step that would end more than half of itself too late is not taken, once it is known what one takes."""
    run = slow_run(step, evaluation)
    while not run.finished:
        run.advance()
    assert (run.finished, run.step) == ("budget", steps)
    assert run.seconds == pytest.approx(steps * step + len(run.history) * evaluation)


def test_a_step_known_to_take_too_long_is_not_taken() -> None:
    run = slow_run(200.0, 0.0)
    run.step_seconds = 200.0
    run.advance()
    assert (run.finished, run.step) == ("budget", 0)


def test_evaluations_take_a_tenth_of_the_seconds() -> None:
    run = slow_run(step=1.0, evaluation=2.0, max_time=200.0)
    while not run.finished:
        run.advance()
    evaluated = [row["step"] for row in run.history]
    assert evaluated[:4] == [0, 40, 60, 75]
    assert run.evaluation_seconds <= 0.1 * run.seconds + 2.0


def test_without_a_limit_evaluations_are_as_many_as_asked_for() -> None:
    task = Slow(1.0, 100.0)
    settings = Settings(max_steps=12, batch_size=16, evaluate_every=5)
    run = Run(task, settings, task.generator, lambda: task.time)
    while not run.finished:
        run.advance()
    assert [row["step"] for row in run.history] == [0, 5, 10, 12]


def test_the_limit_may_change_on_the_way() -> None:
    run = slow_run(1.0, 0.0)
    rates = []
    while not run.finished:
        run.advance()
        rates.append(run.optimizer.param_groups[0]["lr"])
        if run.step == 10:
            run.limit = 20.0
    assert run.step == 20
    assert min(rates) == rates[-1]


@pytest.mark.parametrize(("above", "steps"), [(1e-6, 30), (100.0, 10)])
def test_patience_is_lost_sooner_where_values_are_significantly_worse(
    above: float, steps: int
) -> None:
    """Six evaluations that are no better, or two that count for three each."""
    values = iter([1.0] + [1.0 + above] * 100)
    run = ended(Told(values), max_steps=1000, patience=6)
    assert run.finished == "held-out value stopped improving"
    assert run.step == steps


def test_a_row_of_the_history_says_what_its_steps_were() -> None:
    run = ended(Told(falling()), max_steps=10)
    first, second, third = run.history
    assert first["train_value"] != first["train_value"]  # nothing was trained on yet
    assert (second["train_value"], third["train_value"]) == (3.0, 8.0)
    assert (first["rows_seen"], second["rows_seen"], third["rows_seen"]) == (0, 80, 80)
    assert all(row["told"] == 1.0 and row["rollbacks"] == 0 for row in run.history)


def test_the_task_is_told_the_size_of_its_batch_and_the_rate() -> None:
    task = Told(falling())
    settings = {"largest_batch": 40, "batch_growth_steps": 2}
    run = ended(task, max_steps=6, schedule=lambda progress: 1 - progress, **settings)
    rows, rates = zip(*task.asked, strict=True)
    assert rows == (16, 16, 32, 32, 40, 40)
    assert rates == pytest.approx([1 - k / 6 for k in range(6)])
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(1e-2 / 6)


def test_a_run_gives_up_after_so_many_rollbacks_and_keeps_its_selection() -> None:
    task = Told(falling(), faulty_from=8)
    run = Run(
        task,
        Settings(max_steps=100, batch_size=16, evaluate_every=5, max_rollbacks=3),
        task.generator,
    )
    for _ in range(7):
        run.advance()
    chosen = {name: value.clone() for name, value in run.selection.weights.items()}
    while not run.finished:
        run.advance()
    assert run.finished == "gave up after 3 rollbacks: lost"
    assert (run.step, run.rate_factor, task.forgotten) == (10, 1 / 8, 3)
    assert same(dict(run.result().state_dict()), chosen)
    assert same(dict(run.average.state_dict()), chosen)


def test_the_result_is_a_copy_that_is_not_trained() -> None:
    run = ended(Told(falling()), max_steps=5)
    result = run.result()
    assert not result.training
    assert not any(parameter.requires_grad for parameter in result.parameters())
    with torch.no_grad():
        result.weight.zero_()
    assert run.task.model.weight.any()
    assert run.selection.weights["weight"].any()


def test_a_state_does_not_change_while_training_goes_on() -> None:
    task = Told(falling())
    run = Run(task, Settings(max_steps=20, evaluate_every=5), task.generator)
    for _ in range(7):
        run.advance()
    state = run.state_dict()
    weight: Tensor = state["model"]["weight"].clone()
    rows = len(state["history"])
    for _ in range(7):
        run.advance()
    assert torch.equal(state["model"]["weight"], weight)
    assert not torch.equal(run.task.model.weight, weight)
    assert len(state["history"]) == rows < len(run.history)
