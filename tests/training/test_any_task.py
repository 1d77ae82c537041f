"""`Run` trains tasks that know nothing of transport, and puts them down and takes them up to the bit."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fits import same
from torch import Tensor, nn

from brenier import Evaluation, Loss, Run, Settings

sys.path.insert(0, str(Path(__file__).parent))
from tasks import OFFSET, SLOPE, Regression, riccati, trained

PROGRAM = """
import sys
import torch
from tasks import trained
torch.set_num_threads(1)
name, folder, out = sys.argv[1:]
run = trained(name, folder)
torch.save(run.result().state_dict(), out)
"""


def start_process(name: str, folder: Path) -> subprocess.Popen[bytes]:
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parent), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    words = [name, str(folder / "run"), str(folder / "weights.pt")]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *words], env=environment)


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


@pytest.mark.parametrize(
    "name", ["control", pytest.param("regression", marks=pytest.mark.slow)]
)
def test_a_run_that_was_killed_ends_as_one_never_stopped(
    name: str, tmp_path: Path
) -> None:
    process = start_process(name, tmp_path)
    file, seen = tmp_path / "run" / "run.pt", set[int]()
    while len(seen) < 2:
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.001)
        if file.exists():
            seen.add(file.stat().st_ino)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "weights.pt").exists()
    assert start_process(name, tmp_path).wait() == 0
    resumed = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert same(resumed, dict(trained(name).result().state_dict()))


class Faulty(Regression):
    """A regression of which one step is faulty, and no evaluation but the first can be trusted."""

    calls = evaluations = 0

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        self.calls += 1
        for loss in super().losses(rows, rate):
            yield loss._replace(fault="lost" if self.calls == 15 else "")

    def evaluate(self, model: nn.Linear) -> Evaluation:
        self.evaluations += 1
        return super().evaluate(model)._replace(trusted=self.evaluations == 1)


def test_a_faulty_step_rolls_back_and_untrusted_evaluations_are_not_selected() -> None:
    task = Faulty(torch.Generator().manual_seed(0))
    first = {name: value.clone() for name, value in task.model.state_dict().items()}
    run = Run(task, Settings(max_steps=30, evaluate_every=10), task.generator)
    for _ in range(15):
        run.advance()
    assert (run.rollbacks, run.rate_factor) == (1, 0.5)
    assert same(dict(task.model.state_dict()), first)
    while not run.finished:
        run.advance()
    assert same(dict(run.result().state_dict()), first)
    assert not same(dict(task.model.state_dict()), first)


class Pair(Regression):
    """Two regressions side by side, the loss of one of which is very steep."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__(generator)
        self.pair = nn.ModuleList([self.model, nn.Linear(2, 1)])
        self.model: Any = self.pair

    def members(self) -> list[nn.Module]:
        return list(self.pair)

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        x, y = self.rows(rows)
        for member, factor in zip(self.pair, (1e-3, 1e6), strict=True):
            value = factor * self.squares(member, x, y).mean()  # type: ignore[arg-type]
            yield Loss(value, [{"train_value": value.item()}])

    def evaluate(self, model: Any) -> Evaluation:
        return super().evaluate(model[0])


def test_the_gradient_of_every_member_is_clipped_by_itself() -> None:
    task = Pair(torch.Generator().manual_seed(0))
    run = Run(task, Settings(max_steps=2, clip=10.0), task.generator)
    run.advance()

    def norm(module: nn.Module) -> float:
        gradients: list[Tensor] = [
            p.grad for p in module.parameters() if p.grad is not None
        ]
        return float(torch.cat([g.flatten() for g in gradients]).norm())

    small, large = map(norm, task.members())
    assert large == pytest.approx(10.0, rel=1e-3)
    assert 0 < small < 1
