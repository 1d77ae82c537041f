"""Workers differentiate while this process does: asked before it begins, and waited for after it has ended."""

import pickle
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from problems import normal
from torch import Tensor

from brenier import BFGS, DualObjective, Potential
from brenier.transport.dual import Batch, ParallelDual, ParallelSettings
from brenier.transport.dual.worker import DualWorker

NOTES: list[str] = []


class Noted(torch.autograd.Function):
    """The identity, which notes when it is differentiated."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        NOTES.append("own rows")
        return gradients[0]


class Bowl(Potential):
    """g(x) = a |x|^2; where it is this process's own, its differentiation is noted."""

    dim, own = 2, True

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = torch.nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        values = self.a * torch.linalg.vecdot(x, x)
        noted = self.own and torch.is_grad_enabled() and not x.requires_grad
        return Noted.apply(values) if noted else values


class FakeWorker:
    """A worker in this process, which does its work when it is waited for."""

    def __init__(self, potentials: dict[int, Potential]) -> None:
        self.worker, self.request = DualWorker(), ("", b"")
        copies = pickle.loads(pickle.dumps(potentials))
        for copy in copies.values():
            copy.own = False
        self.worker.register(copies)

    def ask(self, name: str, serialised: bytes) -> None:
        NOTES.append(f"ask {name}")
        self.request = name, serialised

    def answer(self) -> Any:
        name, serialised = self.request
        NOTES.append(f"wait {name}")
        arguments, keywords = pickle.loads(serialised)
        with torch.enable_grad():
            return getattr(self.worker, name)(*arguments, **keywords)


@pytest.mark.parametrize("networks", [1, 3], ids=["rows shared", "networks dealt out"])
def test_workers_differentiate_while_this_process_does(networks: int) -> None:
    potentials = [Bowl(0.1 + 0.1 * k) for k in range(networks)]
    settings = ParallelSettings(process_work=1)
    evaluator = ParallelDual(3, potentials, BFGS(), patient=True, settings=settings)
    workers = [FakeWorker(dict(enumerate(potentials))) for _ in range(2)]
    pool: Any = SimpleNamespace(
        threads=1, processes=3, workers=lambda count: workers[:count]
    )
    evaluator.pool = pool
    x, z = normal(30, 2), 2 * normal(30, 2, seed=1)
    batches = [Batch(potential, x, z) for potential in potentials]

    (together,) = DualObjective(tol=1e-9, evaluator=evaluator).evaluate_batches(
        batches, networks
    )
    loss = torch.stack([value.loss for _, value in together]).sum()
    NOTES.clear()
    loss.backward()
    assert NOTES[:2] == ["ask differentiate"] * 2
    assert NOTES[-2:] == ["wait differentiate"] * 2
    assert len(NOTES) > 4
    assert set(NOTES[2:-2]) == {"own rows"}

    for potential in potentials:
        found = potential.a.grad
        potential.a.grad = None
        DualObjective(tol=1e-9)(potential, x, z).loss.backward()
        torch.testing.assert_close(found, potential.a.grad, rtol=1e-9, atol=1e-12)
