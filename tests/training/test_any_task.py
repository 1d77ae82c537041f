"""`Run` trains tasks that know nothing of transport, and puts them down and takes them up to the bit."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fits import same
from torch import Tensor, nn

from brenier import Evaluation, Loss, Run, Settings, Task
from brenier.training import read_run

sys.path.insert(0, str(Path(__file__).parent))
from tasks import OFFSET, SETTINGS, SLOPE, TASKS, riccati, trained

HALF_WAY = 157  # steps of 300: seven after an evaluation of either task, or seventeen

PROGRAM = f"""
import os
import signal
import sys
import torch
from tasks import trained
from brenier import Run
torch.set_num_threads(1)
advance = Run.advance

def advance_half_way(run):
    advance(run)
    if run.step == {HALF_WAY}:
        os.kill(os.getpid(), signal.SIGKILL)

Run.advance = advance_half_way
trained(*sys.argv[1:])
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For every task the folder of a run, in a process of its own, that was killed half way; they run side by side."""
    folders = {name: str(tmp_path_factory.mktemp(name) / "run") for name in TASKS}
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parent), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    processes = [
        subprocess.Popen([sys.executable, "-c", PROGRAM, *words], env=environment)
        for words in folders.items()
    ]
    assert [process.wait() for process in processes] == [-signal.SIGKILL] * 2
    return folders


def test_a_task_puts_its_model_back_after_every_step() -> None:
    """What `end_step` does is in the weights of the next step, in their average and in the result."""

    class AtMostOne(Task[nn.Linear]):
        def __init__(self) -> None:
            self.model = nn.Linear(1, 1, bias=False)
            nn.init.zeros_(self.model.weight)

        def losses(self, rows: int, rate: float) -> Iterator[Loss]:
            yield Loss((self.model.weight - 5).square().sum())

        def evaluate(self, model: nn.Linear) -> Evaluation:
            value = float((model.weight - 5).square().sum())
            return Evaluation(value, (torch.tensor([value, value]),), {})

        def end_step(self) -> None:
            with torch.no_grad():
                self.model.weight.clamp_(max=1.0)

    task = AtMostOne()
    run = Run(task, Settings(max_steps=60, learning_rate=0.5), torch.Generator())
    while not run.finished:
        run.advance()
        assert float(task.model.weight.detach()) <= 1
    assert 0.9 < float(run.result().weight) <= 1


def test_a_regression_finds_its_coefficients() -> None:
    run = trained("regression")
    model: nn.Linear = run.result()
    torch.testing.assert_close(model.weight[0], SLOPE, rtol=0, atol=0.02)
    assert float(model.bias) == pytest.approx(OFFSET, abs=0.02)
    assert run.history[-1]["value"] == pytest.approx(0.01, rel=0.1)
    assert run.history[-1]["train_value"] > 0


def test_a_value_function_solves_the_riccati_equation() -> None:
    run = trained("control")
    assert float(run.result().p) == pytest.approx(riccati(), rel=1e-3)
    assert run.history[-1]["unconverged"] == 0
    assert run.history[-1]["value"] < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_a_run_that_was_killed_ends_as_one_never_stopped(
    name: str, killed: dict[str, str]
) -> None:
    found = read_run(killed[name])
    assert found is not None
    assert HALF_WAY - 20 <= found["run"]["counters"]["step"] < HALF_WAY
    resumed, whole = trained(name, killed[name]), trained(name)
    assert resumed.step == whole.step == SETTINGS[name].max_steps
    for weights in (
        lambda run: run.result(),
        lambda run: run.task.model,
        lambda run: run.average,
    ):
        assert same(
            dict(weights(resumed).state_dict()), dict(weights(whole).state_dict())
        )
    assert values(resumed) == values(whole)


def values(run: Run[Any]) -> list[float]:
    return [row["value"] for row in run.history]


def task_of(name: str) -> Any:
    """A task that starts the same every time; its generator is an attribute."""
    return TASKS[name](torch.Generator().manual_seed(0))


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights."""
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize("name", TASKS)
def test_a_faulty_loss_rolls_back_to_the_selected_weights(name: str) -> None:
    task = task_of(name)
    losses, first, calls = task.losses, weights_of(task.model), 0

    def faulty(rows: int, rate: float) -> Iterator[Loss]:
        nonlocal calls
        calls += 1
        for loss in losses(rows, rate):
            yield loss._replace(fault="lost" if calls == 15 else "")

    task.losses = faulty
    settings = Settings(max_steps=30, evaluate_every=10, learning_rate=0.05)
    run = Run(task, settings, task.generator)
    for _ in range(14):
        run.advance()
    selected = dict(run.selection.weights)
    assert not same(selected, first)
    assert not same(weights_of(task.model), selected)
    run.advance()
    assert (run.step, run.rollbacks, run.rate_factor, run.finished) == (15, 1, 0.5, "")
    assert same(weights_of(task.model), selected)
    assert same(weights_of(run.average), selected)
    assert not run.optimizer.state
    while not run.finished:
        run.advance()
    assert run.finished == "budget"
    assert [row["rollbacks"] for row in run.history] == [0, 0, 1, 1]
    assert not same(weights_of(task.model), selected)


@pytest.mark.parametrize("name", TASKS)
def test_a_loss_that_stays_faulty_ends_the_run(name: str) -> None:
    task = task_of(name)
    losses, first = task.losses, weights_of(task.model)

    def faulty(rows: int, rate: float) -> Iterator[Loss]:
        return (loss._replace(fault="lost") for loss in losses(rows, rate))

    task.losses = faulty
    run = Run(task, Settings(max_rollbacks=3), task.generator)
    while not run.finished:
        run.advance()
    assert run.finished == "gave up after 3 rollbacks: lost"
    assert run.step == 3
    assert same(weights_of(run.result()), first)


@pytest.mark.parametrize("name", TASKS)
def test_an_evaluation_that_cannot_be_trusted_is_not_selected(name: str) -> None:
    task = task_of(name)
    evaluate, first, calls = task.evaluate, weights_of(task.model), 0

    def untrusted(model: nn.Module) -> Evaluation:
        nonlocal calls
        calls += 1
        evaluation: Evaluation = evaluate(model)
        return evaluation._replace(trusted=calls == 1)

    task.evaluate = untrusted
    settings = Settings(max_steps=30, evaluate_every=10, learning_rate=0.05)
    run = Run(task, settings, task.generator)
    while not run.finished:
        run.advance()
    before, *after = values(run)
    assert min(after) < before == run.selection.least
    assert same(weights_of(run.result()), first)
    assert not same(weights_of(run.average), first)


class Pair(Task[nn.ModuleList]):
    """An ensemble of two members, each with a task of its own: the loss of the first is flat, of the second steep."""

    def __init__(self, name: str) -> None:
        self.tasks = [task_of(name), task_of(name)]
        self.model = nn.ModuleList([task.model for task in self.tasks])

    def members(self) -> list[nn.Module]:
        return list(self.model)

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        for task, factor in zip(self.tasks, (1e-3, 1e6), strict=True):
            (loss,) = task.losses(rows, rate)
            yield Loss(factor * loss.value)

    def evaluate(self, model: nn.ModuleList) -> Evaluation:
        evaluation: Evaluation = self.tasks[0].evaluate(model[0])
        return evaluation


def gradient(module: nn.Module) -> Tensor:
    """The gradient of all parameters, as one vector."""
    gradients = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    return torch.cat(gradients)


@pytest.mark.parametrize("name", TASKS)
def test_the_gradient_of_every_member_is_clipped_by_itself(name: str) -> None:
    unclipped, clipped = Pair(name), Pair(name)
    settings = Settings(max_steps=2, clip=10.0)
    for loss in unclipped.losses(settings.batch_size, 1.0):
        loss.value.backward()
    Run(clipped, settings, torch.Generator()).advance()
    flat, steep = map(gradient, clipped.members())
    flat_before, steep_before = map(gradient, unclipped.members())
    assert 0 < flat_before.norm() < 1 < 1e4 < steep_before.norm()
    assert torch.equal(flat, flat_before)
    torch.testing.assert_close(steep, 10 * steep_before / steep_before.norm())
