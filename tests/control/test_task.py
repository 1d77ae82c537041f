"""The training of controllers: costs fall, runs are picked up to the bit, what goes wrong is told."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from control.problems_of_control import (
    Pendulum,
    slopes_of,
    small_controller,
    weights_of,
)
from torch import Tensor, nn

from brenier import Loss
from brenier.control import (
    ControlGradient,
    Controller,
    ControlProblem,
    ControlSearch,
    ControlSettings,
    ControlTask,
    DirectController,
    DoubleIntegrator,
    ExponentialIntegrator,
    Grid,
    OptimalControl,
    Trajectory,
    ValueNetwork,
)
from brenier.control.rollout import rolled
from brenier.errors import ConvergenceWarning, DataError, ModelFileError

close = torch.testing.assert_close
FEW = ControlSettings(held_out_states=24, evaluate_every=4)
SMALL: dict[str, Any] = {
    "steps": 6,
    "width": 6,
    "batch_size": 8,
    "max_steps": 12,
    "settings": FEW,
}


def optimal(
    problem: ControlProblem | str = "double-integrator", **fields: Any
) -> OptimalControl:
    return OptimalControl(problem, **SMALL | fields)


def task_of(
    controller: Controller, settings: ControlSettings = FEW, steps: int = 6
) -> ControlTask:
    generator = torch.Generator().manual_seed(0)
    like = torch.zeros(1, dtype=torch.float64)
    problem = controller.problem
    return ControlTask(controller, problem, Grid(steps), settings, generator, like)


# ---- training


@pytest.mark.parametrize(
    ("problem", "gradient"),
    [
        (DoubleIntegrator(), ControlGradient("one_step")),
        (DoubleIntegrator(), ControlGradient("implicit")),
        (DoubleIntegrator(), ControlGradient("unrolled", 0.2, unrolled_steps=30)),
        (Pendulum(), ControlGradient("one_step", "diagonal", tracked_steps=1)),
    ],
    ids=["one_step", "implicit", "unrolled", "pendulum"],
)
def test_training_lowers_the_cost(
    problem: ControlProblem, gradient: ControlGradient
) -> None:
    found = optimal(problem, gradient=gradient, learning_rate=0.1).fit()
    first, last = found.history_[0], found.history_[-1]
    assert last["value"] < 0.96 * first["value"]
    assert last["value"] == pytest.approx(last["running_cost"] + last["terminal_cost"])
    assert {"train_cost", "unconverged", "mean_residual"} <= last.keys()
    assert found.diagnostics_["cost"] == pytest.approx(last["value"], rel=0.8)
    if gradient.rule != "unrolled":
        assert found.diagnostics_["unconverged"] == 0


def test_another_optimiser_and_rules_in_a_coarse_start_train_too() -> None:
    settings = dataclasses.replace(FEW, coarse=4, terminal_start=0.1, segment=2)
    found = optimal(
        Pendulum(),
        settings=settings,
        optimizer=lambda weights: torch.optim.Adam(weights, 0.05),
        scheme="midpoint",
        terminal_condition=True,
    ).fit()
    assert found.history_[-1]["value"] < found.history_[0]["value"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_precision_is_that_asked_for(dtype: str) -> None:
    found = optimal(dtype=dtype, max_steps=4).fit()
    kind = getattr(torch, dtype)
    assert all(part.dtype == kind for part in found.policy_.controller.parameters())
    trajectory = found.policy_.rollout(torch.ones(2, 2))
    assert trajectory.states.dtype == trajectory.cost.dtype == kind
    assert trajectory.unconverged == 0


def test_the_same_seed_gives_the_same_policy() -> None:
    first, again, other = (
        weights_of(optimal(random_state=seed).fit().policy_.controller)
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# ---- interruptions


def interrupted(
    monkeypatch: pytest.MonkeyPatch, control: OptimalControl, step: int
) -> None:
    """Fit until a step is interrupted."""
    losses, count = ControlTask.losses, [0]

    def stopped(self: ControlTask, rows: int, rate: float) -> Iterator[Loss]:
        count[0] += 1
        if count[0] == step:
            raise KeyboardInterrupt
        return losses(self, rows, rate)

    with monkeypatch.context() as patch:
        patch.setattr(ControlTask, "losses", stopped)
        with pytest.raises(KeyboardInterrupt):
            control.fit()


@pytest.mark.parametrize(
    "settings",
    [
        dataclasses.replace(FEW, terminal_start=0.01),
        dataclasses.replace(FEW, fixed_states=8, hjb_weight=0.1, segment=2),
    ],
    ids=["fresh", "fixed"],
)
def test_a_run_is_picked_up_to_the_bit(
    settings: ControlSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = optimal(settings=settings).fit()
    folder = str(tmp_path / "run")
    interrupted(monkeypatch, optimal(settings=settings, checkpoint=folder), 7)
    found = optimal(settings=settings, checkpoint=folder).fit()
    assert torch.equal(
        weights_of(found.policy_.controller), weights_of(whole.policy_.controller)
    )
    seconds = {"seconds"}
    for row, right in zip(found.history_, whole.history_, strict=True):
        assert {k: v for k, v in row.items() if k not in seconds} == pytest.approx(
            {k: v for k, v in right.items() if k not in seconds}, rel=0, nan_ok=True
        )
    assert found.diagnostics_ == whole.diagnostics_


class OtherNetwork(ValueNetwork):
    """Of the same shapes."""


OTHERS: dict[str, dict[str, Any]] = {
    "problem": {"problem": DoubleIntegrator(state_weight=2.0)},
    "kind": {"problem": "quartic-double-integrator"},
    "steps": {"steps": 7},
    "scheme": {"scheme": "rk4"},
    "rule": {"gradient": "implicit"},
    "search": {"search": ControlSearch(tol=1e-6)},
    "terminal condition": {"terminal_condition": True},
    "width": {"width": 7},
    "network": {"network": OtherNetwork(2, 6)},
    "batch": {"batch_size": 9},
    "rate": {"learning_rate": 1e-3},
    "precision": {"dtype": "float64"},
    "settings": {"settings": dataclasses.replace(FEW, terminal_start=0.5)},
    "seed": {"random_state": 1},
}


def test_a_run_of_other_settings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path / "run")
    interrupted(monkeypatch, optimal(checkpoint=folder), 7)
    for fields in OTHERS.values():
        told = {"problem": "double-integrator"} | fields
        other = optimal(**told, checkpoint=folder)
        with pytest.raises(ModelFileError, match=r"random_state|samples or settings"):
            other.fit()
    assert optimal(checkpoint=folder).fit().diagnostics_["steps"] == 12


# ---- the task


def test_fixed_states_are_all_batches() -> None:
    controller = small_controller(Pendulum())
    task = task_of(controller, dataclasses.replace(FEW, fixed_states=5))
    first, again = (next(iter(task.losses(3, 1.0))).value for _ in range(2))
    assert torch.equal(first, again)
    assert task.fixed is not None
    assert task.fixed.shape == (5, 2)
    assert not torch.isin(task.fixed, task.held_out).any()
    fresh = task_of(controller)
    first, again = (next(iter(fresh.losses(3, 1.0))).value for _ in range(2))
    assert not torch.equal(first, again)


def test_the_terminal_cost_grows_geometrically() -> None:
    settings = dataclasses.replace(FEW, terminal_start=0.01, terminal_until=0.8)
    task = task_of(small_controller(Pendulum()), settings)
    for progress, factor in ((0, 0.01), (0.4, 0.1), (0.8, 1.0), (1.0, 1.0)):
        task.begin_step(progress)
        assert task.terminal_factor() == pytest.approx(factor)
    settings = dataclasses.replace(settings, terminal_until=0.0)
    assert task_of(small_controller(Pendulum()), settings).terminal_factor() == 1.0


def test_the_loss_is_what_the_docstring_says() -> None:
    problem = Pendulum()
    controller = small_controller(problem)
    weights: dict[str, Any] = {"hjb_weight": 0.3, "hjb_terminal_weight": 0.7}
    settings = dataclasses.replace(FEW, terminal_start=0.25, fixed_states=5, **weights)
    task = task_of(controller, settings)
    loss = next(iter(task.losses(5, 1.0)))
    assert task.fixed is not None
    found = rolled(problem, controller, task.fixed, Grid(6), hjb=True)
    terminal = problem.terminal_cost(found.final)
    reached = controller.value(found.final, torch.ones(5).double())
    gap = (reached - terminal).abs().mean()
    wanted = (found.running + 0.25 * terminal).mean() + 0.3 * found.hjb.mean()
    close(loss.value, wanted + 0.7 * gap)
    cost = float((found.running + terminal).detach().mean())
    assert loss.records[0]["train_cost"] == pytest.approx(cost)
    assert loss.records[0]["unconverged"] == 0


@pytest.mark.parametrize("name", ["hjb_weight", "hjb_terminal_weight"])
def test_the_weights_of_the_equation_lower_its_gap(name: str) -> None:
    controller = small_controller(Pendulum())

    def gap() -> Tensor:
        """The weighted part of the loss."""
        parts: list[dict[str, Any]] = [{name: 1.0}, {}]
        with_it, without = (
            next(iter(task_of(controller, dataclasses.replace(FEW, **w)).losses(8, 1)))
            for w in parts
        )
        return with_it.value - without.value

    before = gap()
    slopes = slopes_of(before, controller)
    weights = list(controller.parameters())
    flat = nn.utils.parameters_to_vector(weights).detach()
    nn.utils.vector_to_parameters(flat - 1e-3 * slopes / slopes.norm(), weights)
    after, first = float(gap().detach()), float(before.detach())
    assert first > 0
    assert after < first - 2e-4 * float(slopes.norm())


def test_the_weights_of_the_equation_need_a_value_function() -> None:
    direct = DirectController(Pendulum(), ValueNetwork(2, 4)).double()
    with pytest.raises(DataError, match=r"^hjb_weight: .*no value function"):
        task_of(direct, dataclasses.replace(FEW, hjb_weight=0.1))


def test_evaluation_counts_the_terminal_cost_in_full() -> None:
    problem = Pendulum()
    controller = small_controller(problem)
    task = task_of(controller, dataclasses.replace(FEW, terminal_start=0.01, coarse=3))
    found: Trajectory = task.trajectory(controller)
    assert task.evaluate(controller).value == pytest.approx(float(found.cost.mean()))
    assert len(found.states) == 7


# ---- what goes wrong


def test_a_run_that_overflows_rolls_back_and_says_so() -> None:
    problem = ExponentialIntegrator(dim=2)
    control = optimal(
        problem,
        optimizer=lambda weights: torch.optim.SGD(weights, 1e6),
        settings=dataclasses.replace(FEW, max_rollbacks=3),
        max_steps=30,
    )
    with pytest.warns(
        ConvergenceWarning, match=r"gave up after 3 rollbacks.*not finite"
    ):
        control.fit()
    assert control.diagnostics_["rollbacks"] == 3
    assert math.isfinite(control.diagnostics_["cost"])
    assert weights_of(control.policy_.controller).isfinite().all()


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"terminal_start": 0.0}, "terminal_start"),
        ({"terminal_start": -1.0}, "terminal_start"),
        ({"terminal_until": 1.5}, "terminal_until"),
        ({"coarse_until": math.nan}, "coarse_until"),
        ({"coarse": 0}, "coarse"),
        ({"hjb_weight": -0.1}, "hjb_weight"),
        ({"hjb_terminal_weight": math.inf}, "hjb_terminal_weight"),
        ({"held_out_states": 0}, "held_out_states"),
        ({"fixed_states": 0}, "fixed_states"),
        ({"segment": -1}, "segment"),
        ({"evaluate_every": 0}, "evaluate_every"),
        ({"patience": 0}, "patience"),
        ({"max_rollbacks": 0}, "max_rollbacks"),
    ],
)
def test_settings_that_are_none_are_refused(fields: dict, name: str) -> None:
    with pytest.raises(DataError, match=f"^{name}: "):
        ControlSettings(**fields)
