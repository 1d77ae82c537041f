"""A training run of the dual task: put down and taken up, in trouble, and what it selects."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fits import PAIR, X, quick, same

from brenier import (
    ConvergenceWarning,
    DenseICNN,
    DualObjective,
    DualSettings,
    DualTask,
    DualValue,
    MemberSamples,
    Potential,
    Run,
    Settings,
)
from brenier.solve import Status
from brenier.statistics.calibration import Calibration, Features
from brenier.training import checkpoint
from brenier.transport.dual import Batch

MAX_ROLLBACKS = Settings.max_rollbacks


class Troubled(DualObjective):
    """J, but some calls, told apart by their need of gradients as training's or evaluation's, go wrong."""

    def __init__(
        self,
        wrong: Callable[[int], bool],
        spoil: Callable[[DualValue], DualValue],
        training: bool,
    ) -> None:
        super().__init__()
        vars(self).update(wrong=wrong, spoil=spoil, training=training, calls=0)

    def evaluate_batches(
        self, *arguments: Any
    ) -> Iterator[list[tuple[Batch, DualValue]]]:
        ((batch, value),) = next(super().evaluate_batches(*arguments))
        if torch.is_grad_enabled() == vars(self)["training"]:
            vars(self)["calls"] += 1
            value = (
                vars(self)["spoil"](value)
                if vars(self)["wrong"](vars(self)["calls"])
                else value
            )
        yield [(batch, value)]


def not_finite(value: DualValue) -> DualValue:
    return dataclasses.replace(value, loss=value.loss * float("nan"))


def unconverged(value: DualValue, rows: int = 1000) -> DualValue:
    status = value.solution.status.clone()
    status[:rows] = Status.OUT_OF_STEPS
    return dataclasses.replace(
        value, solution=dataclasses.replace(value.solution, status=status)
    )


def new_run(
    objective: DualObjective | None = None,
    rows: int = 64,
    seed: int = 0,
    **settings: Any,
) -> Run[Potential]:
    x, z = (torch.from_numpy(side).float() for side in PAIR)

    def draw(side: torch.Tensor) -> Callable[[int, torch.Generator], torch.Tensor]:
        return lambda n, generator: side[
            torch.randint(500, (min(n, rows),), generator=generator)
        ]

    generator = torch.Generator().manual_seed(seed)
    potential = DenseICNN(2, (16, 16), generator=generator)
    settings = {
        "max_steps": 100,
        "batch_size": 64,
        "evaluate_every": 10,
        **settings,
    }
    features = Features(64, x, torch.Generator().manual_seed(9))
    known = [Calibration(features, side[:200], complete=False) for side in (x, z)]
    draws, held_out = (draw(x), draw(z)), (x[500:], z[500:])
    task = DualTask(
        potential,
        objective or DualObjective(),
        MemberSamples(*draws, held_out, known),
        DualSettings(bandwidth=0.1),
        generator,
    )
    return Run(task, Settings(**settings), generator)


def advance(run: Run[Potential], steps: int) -> Run[Potential]:
    for _ in range(steps):
        run.advance()
    return run


def everything(run: Run[Potential]) -> dict[str, torch.Tensor]:
    """Weights and averages, by name."""
    average = {
        f"average {name}": value for name, value in run.average.state_dict().items()
    }
    return {
        **run.task.model.state_dict(),
        **average,
        **{f"best {name}": value for name, value in run.selection.weights.items()},
    }


@pytest.mark.parametrize(
    ("before", "through_a_file"), [(1, True), (10, False), (27, True)]
)
@pytest.mark.parametrize(
    "optimizer",
    [
        None,
        functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        torch.optim.AdamW,
        torch.optim.RMSprop,
    ],
    ids=["Adam", "SGD with momentum", "AdamW", "RMSprop"],
)
def test_a_run_put_down_and_taken_up_is_the_same_run(
    optimizer: Any, before: int, through_a_file: bool, tmp_path: Path
) -> None:
    whole = advance(new_run(optimizer=optimizer), before)
    state = {"fingerprint": "mark", "run": whole.state_dict()}
    if through_a_file:
        checkpoint.save_run(tmp_path, whole, "mark", seed=3)
        found = checkpoint.read_run(tmp_path)
        assert found is not None
        assert found["seed"] == 3
        state = found
    advance(whole, 25)
    resumed = new_run(optimizer=optimizer, seed=1)
    checkpoint.restore_run(state, resumed, "mark", tmp_path)
    advance(resumed, 25)
    assert same(everything(resumed), everything(whole))
    assert (
        resumed.step,
        resumed.selection.least,
        resumed.evaluations_without_improvement,
    ) == (
        before + 25,
        whole.selection.least,
        whole.evaluations_without_improvement,
    )
    assert [row["value"] for row in resumed.history] == [
        row["value"] for row in whole.history
    ]


@pytest.mark.parametrize("spoil", [not_finite, unconverged])
def test_a_rollback_returns_to_the_best_weights_at_half_the_rate(
    spoil: Callable[[DualValue], DualValue],
) -> None:
    run = advance(new_run(Troubled(lambda call: call == 25, spoil, training=True)), 24)
    rate, best = (
        run.rate_factor,
        {name: value.clone() for name, value in run.selection.weights.items()},
    )
    assert not same(dict(run.task.model.state_dict()), best)
    run.advance()
    assert (run.rollbacks, run.rate_factor, run.step, run.finished) == (
        1,
        rate / 2,
        25,
        "",
    )
    assert same(dict(run.task.model.state_dict()), best)
    assert same(dict(run.average.state_dict()), best)
    assert not run.optimizer.state
    advance(run, 6)
    assert run.history[-1]["rollbacks"] == 1
    assert run.history[-1]["learning_rate"] < 0.5 * run.settings.learning_rate


@pytest.mark.parametrize(("rows", "rollbacks"), [(6, 0), (7, 1)])
def test_a_tenth_of_the_rows_may_be_unconverged(rows: int, rollbacks: int) -> None:
    objective = Troubled(
        lambda call: call == 3, functools.partial(unconverged, rows=rows), training=True
    )
    assert advance(new_run(objective), 5).rollbacks == rollbacks


def test_small_samples_are_judged_by_the_rows_they_have() -> None:
    objective = Troubled(lambda call: call == 3, unconverged, training=True)
    assert advance(new_run(objective, rows=8, batch_size=1000), 5).rollbacks == 1


def test_evaluations_with_unconverged_rows_are_not_selected() -> None:
    run = new_run(
        Troubled(
            lambda call: call > 1,
            functools.partial(unconverged, rows=1),
            training=False,
        ),
        patience=3,
    )
    fresh = {name: value.clone() for name, value in run.selection.weights.items()}
    while not run.finished:
        run.advance()
    assert run.finished == "held-out value stopped improving"
    assert run.step == 30
    assert (
        min(row["value"] for row in run.history[1:])
        < run.selection.least
        == run.history[0]["value"]
    )
    assert same(dict(run.result().state_dict()), fresh)


@pytest.mark.parametrize("spoil", [not_finite, unconverged])
@pytest.mark.parametrize("good_steps", [0, 60])
def test_giving_up_keeps_the_best_map_seen_and_says_so(
    good_steps: int,
    spoil: Callable[[DualValue], DualValue],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objective = Troubled(lambda call: call > good_steps, spoil, training=True)
    monkeypatch.setattr(
        "brenier.estimators.parameters.DualObjective", lambda *_, **__: objective
    )
    with pytest.warns(
        ConvergenceWarning,
        match=f"gave up after {MAX_ROLLBACKS} rollbacks.*best map seen is kept. Lower",
    ):
        ot = quick(max_steps=100).fit(*PAIR)
    assert ot.diagnostics_["rollbacks"] == MAX_ROLLBACKS
    assert ot.diagnostics_["selected"] == ("network" if good_steps else "affine")
    assert ot.diagnostics_["steps"] == good_steps + MAX_ROLLBACKS
    assert np.isfinite(ot.transform(X)).all()
    assert np.isfinite(ot.inverse_transform(X)).all()
