"""Each process takes a batch of its own, and what it finds is what one process finds."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from problems import normal
from torch import Tensor

from brenier import BFGS, DenseICNN, DualObjective, DualValue, Potential
from brenier.training import WorkerProcess
from brenier.transport.dual import Batch, ParallelDual, ParallelSettings
from brenier.transport.dual.objective import Evaluator, sequential

DIM = 3


SHARED = ParallelSettings(process_work=1)  # steps of a few rows are shared too


def network(seed: int) -> Potential:
    generator = torch.Generator().manual_seed(seed)
    potential = DenseICNN(DIM, (8, 8), generator=generator).double()
    torch.nn.init.normal_(potential.readout, std=0.1, generator=generator)
    return potential


def batch(potential: Potential, seed: int, skip_fraction: float = 0.0) -> Batch:
    """The first rows of the target are in flight."""
    x, z = normal(50, DIM, seed=seed), 2 * normal(41, DIM, seed=100 + seed)
    return Batch(potential, x, z, start=z[:seed], skip_fraction=skip_fraction)


@pytest.fixture(scope="module")
def known() -> list[Potential]:
    """Potentials that the workers are told when they start."""
    return [network(0), network(1)]


@pytest.fixture(scope="module")
def three(known: list[Potential]) -> Iterator[ParallelDual]:
    """Three processes; two of them take seconds to start."""
    with ParallelDual(3, known, BFGS(), patient=True, settings=SHARED) as started:
        yield started


def found(
    evaluator: Evaluator, batches: Sequence[Batch]
) -> tuple[list[DualValue], list[Tensor | None]]:
    """J of every batch, and all gradients."""
    objective = DualObjective(tol=1e-3, evaluator=evaluator)
    values, gradients = list[DualValue](), list[Tensor | None]()
    for together in objective.evaluate_batches(batches, len(batches)):
        parameters = [
            parameter
            for batch, _ in together
            for parameter in batch.potential.parameters()
        ]
        gradients += torch.autograd.grad(
            torch.stack([value.loss for _, value in together]).sum(), parameters
        )
        assert all(
            batch is batches[len(values) + k] for k, (batch, _) in enumerate(together)
        )
        values += [value for _, value in together]
    return values, gradients


@pytest.mark.slow
@pytest.mark.parametrize(
    ("count", "skip_fraction"), [(2, 0.0), (3, 0.1), (4, 0.0), (6, 0.1)]
)
def test_they_find_what_one_process_finds(
    count: int, skip_fraction: float, known: list[Potential], three: ParallelDual
) -> None:
    """Of two or four batches the three processes share the rows, and each evaluates the starts of its own."""
    potentials = [*known, *map(network, range(2, count))]
    batches = [
        batch(potential, seed, skip_fraction)
        for seed, potential in enumerate(potentials)
    ]
    (expected, gradients), (values, others) = (
        found(sequential, batches),
        found(three, batches),
    )
    for alone, apart in zip(expected, values, strict=True):
        for name in ("loss", "source", "target"):
            torch.testing.assert_close(
                getattr(apart, name), getattr(alone, name), rtol=1e-9, atol=1e-9
            )
        assert torch.equal(apart.solution.status, alone.solution.status)
        again = apart.solution.evaluations - alone.solution.evaluations
        assert (
            0 <= again <= (0 if count % 3 == 0 else 2 * len(apart.solution.status) / 3)
        )
    torch.testing.assert_close(others, gradients, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_the_next_batch_is_drawn_while_others_are_at_work(
    three: ParallelDual, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, ask = list[str](), WorkerProcess.ask

    def noted(worker: WorkerProcess, name: str, serialised: bytes) -> None:
        told.append(name)
        ask(worker, name, serialised)

    def draws() -> Iterator[Batch]:
        for k in range(3):
            told.append(f"draw {k}")
            yield batch(network(k), k)

    monkeypatch.setattr(WorkerProcess, "ask", noted)
    objective = DualObjective(evaluator=three)
    (together,) = objective.evaluate_batches(draws(), 3)
    assert len(together) == 3
    assert [name for name in told if name != "register"] == [
        "draw 0",
        "terms",
        "draw 1",
        "terms",
        "draw 2",
    ]


def test_batches_too_small_are_evaluated_here(
    three: ParallelDual, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(three, "_dealt_out", lambda *_: pytest.fail("was dealt out"))
    batches = [batch(network(k), k) for k in range(3)]
    parameters = sum(
        parameter.numel() for parameter in batches[0].potential.parameters()
    )
    too_much = ParallelSettings(process_work=41 * parameters + 1)
    monkeypatch.setattr(three, "_settings", too_much)
    found(three, batches)
    enough = ParallelSettings(process_work=41 * parameters)
    monkeypatch.setattr(three, "_settings", enough)
    with pytest.raises(pytest.fail.Exception, match="was dealt out"):
        found(three, batches)
