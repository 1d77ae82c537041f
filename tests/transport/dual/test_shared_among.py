"""Sharing a task among processes: what is restored afterwards, and in which order derivatives are asked for."""

from typing import Any

import pytest
import torch
from problems import normal
from torch import Tensor

from brenier import (
    BFGS,
    DenseICNN,
    DualObjective,
    DualSettings,
    DualTask,
    MemberSamples,
)
from brenier.transport.dual import ParallelSettings, shared_among
from brenier.transport.dual.derivatives import WorkerDerivatives, WorkerTerms


def small_task() -> DualTask:
    """A task on a few rows."""
    generator = torch.Generator().manual_seed(0)
    x, z = normal(20, 2, seed=1), normal(20, 2, seed=2)
    potential = DenseICNN(2, (4, 4), generator=generator).double()
    objective = DualObjective(BFGS())
    return DualTask(
        potential,
        objective,
        MemberSamples(lambda n, generator: x[:n], lambda n, generator: z[:n], (x, z)),
        DualSettings(),
        generator,
    )


def interrupted(task: DualTask, processes: int) -> None:
    """Share a task, and be interrupted."""
    alone = task.objective
    settings = ParallelSettings(process_work=1)
    with shared_among(task, processes, True, settings):
        assert (task.objective is alone) == (processes == 1)
        raise KeyboardInterrupt


@pytest.mark.parametrize("processes", [1, 2])
def test_the_objective_is_restored_after_an_exception(processes: int) -> None:
    task = small_task()
    alone, threads = task.objective, torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt):
        interrupted(task, processes)
    assert task.objective is alone
    assert torch.get_num_threads() == threads


class Noted(torch.autograd.Function):
    """The identity, which notes when it is differentiated."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, notes: list[str]) -> Tensor:
        ctx.notes = notes
        return rows.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        ctx.notes.append("own rows")
        return gradients[0], None


class NotingWorker:
    """A worker that notes when it is asked and waited for."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes

    def ask(self, name: str, serialised: bytes) -> None:
        self.notes.append(f"ask {name}")

    def answer(self) -> list[Any]:
        self.notes.append("wait")
        return [torch.ones(3, dtype=torch.float64).numpy()]


def test_workers_are_asked_before_the_own_rows_are_differentiated_and_waited_for_after() -> (
    None
):
    notes: list[str] = []
    workers: Any = [NotingWorker(notes), NotingWorker(notes)]
    parameter = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    derivatives = WorkerDerivatives.apply(workers, parameter)
    own = Noted.apply(parameter * 2, notes)
    found = tuple(torch.zeros(4, dtype=torch.float64) for _ in range(4))
    others = WorkerTerms.apply(derivatives, workers, 0, found)
    (own.sum() + sum(part.sum() for part in others)).backward()
    assert notes == [
        "ask differentiate",
        "ask differentiate",
        "own rows",
        "wait",
        "wait",
    ]
    assert parameter.grad is not None
    torch.testing.assert_close(parameter.grad, torch.full_like(parameter, 2 + 2 * 1))
