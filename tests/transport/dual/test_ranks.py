"""Ranks that share the work of J take the steps that one process takes with the same batches, up to rounding."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from problems import make, normal
from ranked import outcomes, together
from torch import Tensor

from brenier import (
    DenseICNN,
    DualObjective,
    DualSettings,
    DualTask,
    DualValue,
    MeanPotential,
    MemberSamples,
    Potential,
    Run,
    Settings,
)
from brenier.statistics import Calibration
from brenier.statistics.calibration import Features
from brenier.training import RankError, Ranks, dismiss, follow, share_run
from brenier.transport.costs import LogCosh
from brenier.transport.dual import Batch, ParallelSettings, UnbalancedMass
from brenier.transport.dual.objective import Evaluator
from brenier.transport.dual.parallel import SharedRows

DIM, ROWS, STEPS = 2, 48, 6
SPREAD = torch.tensor([[1.5, 0.4], [0.4, 0.8]], dtype=torch.float64)


class Dealt:
    """Draws the part of a rank, of each batch in turn, or the whole batch; halves are those of all parts."""

    def __init__(self, side: int, size: int, rank: int | None, members: int) -> None:
        self.side, self.size, self.rank = side, size, rank
        self.members, self.drawn = members, 0

    def part(self, rank: int) -> Tensor:
        rows = normal(
            ROWS // self.size, DIM, seed=1000 * self.drawn + 10 * rank + self.side
        )
        return rows @ SPREAD + 1 if self.side else rows

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        if self.rank is not None:
            found = self.part(self.rank)
        else:
            parts = [self.part(rank) for rank in range(self.size)]
            found = torch.empty(ROWS, DIM, dtype=torch.float64)
            found[::2] = torch.cat([part[::2] for part in parts])
            found[1::2] = torch.cat([part[1::2] for part in parts])
        assert len(found) == n
        self.drawn += 1
        return found


def task_of(run: Run[Any]) -> Any:
    """The task of a run, whatever it has beside what all tasks have."""
    return run.task


def network(seed: int = 0) -> Potential:
    return make(DenseICNN, DIM, 0.2, seed, hidden=(8, 4), convex=True)


def run_of(
    size: int,
    rank: int | None,
    potential: Potential | None = None,
    objective: DualObjective | None = None,
    weighted: bool = False,
    complete: bool = False,
    sharing: int | None = None,
    **settings: Any,
) -> Run[Potential]:
    """A run of one process (rank None), or of one of some ranks, of which so many share a batch."""
    model = potential or network()
    sharing = sharing or size
    own = None if rank is None else rank % sharing
    held_out = normal(31, DIM, seed=1), normal(30, DIM, seed=2) @ SPREAD + 1
    generator = torch.Generator().manual_seed(3)
    features = Features(ROWS, held_out[0], torch.Generator().manual_seed(9))
    objective = objective or DualObjective(tol=1e-10)
    told = DualSettings(
        skip_fraction=0.0,
        max_reuse=1,
        initial_inner_tol=0.0,
        penalty_rows=0,
        **settings,
    )
    weights: Any = (None, None)
    if weighted:
        weights = tuple(normal(len(side), seed=4).exp() for side in held_out)
    samples = [
        MemberSamples(
            Dealt(0, sharing, own, k),
            Dealt(1, sharing, own, k),
            held_out,
            [Calibration(features, side, complete=complete) for side in held_out],
            weights=weights,
        )
        for k in range(len(model.members()))
    ]
    one = samples[0] if len(samples) == 1 else samples
    task = DualTask(model, objective, one, told, generator)
    steps = Settings(
        max_steps=STEPS,
        batch_size=ROWS,
        evaluate_every=2,
        # Unlike Adam's its steps do not make much of rounding.
        optimizer=functools.partial(torch.optim.SGD, lr=0.05),
    )
    return Run(task, steps, generator)


def ended(run: Run[Any], ranks: Ranks | None = None) -> Run[Any]:
    if ranks is not None:
        run.join(ranks)
    while not run.finished:
        run.advance()
    return run


def agree(runs: Sequence[Run[Any]], alone: Run[Any], near: float = 1e-8) -> None:
    """All runs took the steps of the one."""
    moved = [
        float((value - start).detach().abs().max())
        for value, start in zip(
            task_of(alone).model.parameters(), network().parameters(), strict=False
        )
    ]
    assert max(moved) > 1e-3
    for run in runs:
        assert (run.step, run.rollbacks, run.finished) == (STEPS, 0, "budget")
        for name, value in task_of(alone).model.state_dict().items():
            found = task_of(run).model.state_dict()[name]
            torch.testing.assert_close(found, value, rtol=near, atol=near)
        assert len(run.history) == len(alone.history) == 4
        for row, other in zip(run.history, alone.history, strict=True):
            for name in ("value", "standard_error", "train_value", "unconverged"):
                assert row[name] == pytest.approx(
                    other[name], rel=near, abs=near, nan_ok=True
                )
    first, *others = runs
    for run in others:
        for name, value in first.task.model.state_dict().items():
            assert torch.equal(task_of(run).model.state_dict()[name], value)
            assert torch.equal(
                run.average.state_dict()[name], first.average.state_dict()[name]
            )


COSTED: dict[str, dict[str, Any]] = {
    "balanced": {},
    "all rows known": {"complete": True},
    "equal weights": {"calibrated": False},
    "weighted": {"weighted": True},
    "unbalanced": {
        "objective": DualObjective(tol=1e-10, mass=UnbalancedMass(2.0, 3.0))
    },
    "one side unbalanced": {
        "objective": DualObjective(tol=1e-10, mass=UnbalancedMass(math.inf, 3.0))
    },
    "another cost": {"objective": DualObjective(tol=1e-8, cost=LogCosh(20.0))},
}


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", COSTED)
def test_ranks_take_the_steps_of_one_process(name: str, size: int) -> None:
    alone = ended(run_of(size, None, **COSTED[name]))
    runs = together(
        size, lambda ranks: ended(run_of(size, ranks.rank, **COSTED[name]), ranks)
    )
    agree(runs, alone, near=1e-5 if name == "another cost" else 1e-8)


@pytest.mark.parametrize(("size", "members"), [(2, 2), (4, 2), (3, 2), (2, 4)])
def test_members_are_dealt_out_before_rows(size: int, members: int) -> None:
    def model() -> Potential:
        return MeanPotential([network(seed) for seed in range(members)])

    deal = math.gcd(size, members)

    def work(ranks: Ranks) -> tuple[Run[Any], list[int]]:
        run = run_of(size, ranks.rank, model(), sharing=size // deal)
        return ended(run, ranks), task_of(run)._own_members

    alone = ended(run_of(size, None, model(), sharing=size // deal))
    found = together(size, work)
    agree([run for run, _ in found], alone)
    for k in range(members):
        assert sum(k in own for _, own in found) == size // deal
    drawn = {task_of(run).drawn for run, _ in found}
    assert drawn == {task_of(alone).drawn} == {STEPS * ROWS * members}


def penalised(rows: int, pool: Ranks | None) -> tuple[Tensor, float]:
    """The gradient of a loss with penalties, whose rows and numbers are the same on every rank."""
    run = run_of(1, None, make(DenseICNN, DIM, 0.8, 1, hidden=(8, 4)))
    task = task_of(run)
    task.settings = dataclasses.replace(
        task.settings, penalty_rows=rows, curvature_rows=rows, curvature_dim=1
    )
    if pool is not None:
        task._pool = pool
    batch = Batch(task.model, normal(ROWS, DIM, seed=5), normal(ROWS, DIM, seed=6))
    value = task.objective(batch.potential, batch.x, batch.z)
    found = task._penalties(batch, value, 0.5)
    found.backward()
    gradients = [
        p.grad.flatten() for p in task.model.parameters() if p.grad is not None
    ]
    return torch.cat(gradients), float(found.detach())


def test_penalties_are_shared() -> None:
    """Of the same rows each of four ranks has a quarter of the penalty, from a quarter of the rows."""
    whole, value = penalised(10, None)
    part, own = penalised(40, Ranks(0, 4))
    assert value > 1e-6
    assert own == pytest.approx(value / 4)
    torch.testing.assert_close(part, whole / 4)


# ---- evaluation


def value_by(
    evaluator: Evaluator | None,
    n: int,
    m: int,
    new: Callable[[], Potential],
    **told: Any,
) -> DualValue:
    objective = DualObjective(tol=1e-9)
    if evaluator is not None:
        objective = dataclasses.replace(objective, evaluator=evaluator)
    x, z = normal(n, DIM, seed=1), 2 * normal(m, DIM, seed=2)
    with torch.no_grad():
        return objective(new(), x, z, **told)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize(
    ("n", "m"), [(50, 41), (41, 50), (3, 1), (1, 3), (1500, 10)], ids=str
)
@pytest.mark.parametrize("starts", [0, 7])
def test_rows_that_all_hold_are_shared_and_found_in_order(
    n: int, m: int, starts: int, size: int
) -> None:
    start = normal(min(starts, m), DIM, seed=3) if starts else None
    alone = value_by(None, n, m, network, start=start)

    def work(ranks: Ranks) -> DualValue:
        return value_by(SharedRows(ranks), n, m, network, start=start)

    for value in together(size, work):
        for name in ("loss", "source", "target"):
            found, expected = getattr(value, name), getattr(alone, name)
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        assert torch.equal(value.solution.status, alone.solution.status)
        torch.testing.assert_close(
            value.solution.point, alone.solution.point, rtol=1e-6, atol=1e-6
        )
        assert 0 <= value.solution.evaluations - alone.solution.evaluations <= m


# ---- what goes wrong


def spoiled(task: DualTask, step: int) -> None:
    """Spoil one batch of the source."""
    (batches,) = task._batches
    draw = batches.source
    calls = 0

    def wrong(n: int, generator: torch.Generator) -> Tensor:
        nonlocal calls
        calls += 1
        rows = draw(n, generator)
        return rows * float("nan") if calls == step else rows

    batches.source = wrong


@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("spoil", [0, 1])
def test_a_fault_on_one_rank_stops_the_step_on_all(
    spoil: int, calibrated: bool
) -> None:
    forgotten: list[list[int]] = [[], []]

    def work(ranks: Ranks) -> Run[Any]:
        run = run_of(2, ranks.rank, calibrated=calibrated, complete=True)
        if ranks.rank == spoil:
            spoiled(task_of(run), 3)
        forget = task_of(run).forget
        run.join(ranks)

        def noted() -> None:
            forgotten[ranks.rank].append(run.step)
            forget()

        task_of(run).forget = noted
        return ended(run)

    for run in together(2, work):
        assert (run.step, run.rollbacks, run.rate_factor) == (STEPS, 1, 0.5)
        assert all(bool(p.isfinite().all()) for p in task_of(run).model.parameters())
    assert forgotten == [[2], [2]]


def test_a_rank_whose_draw_fails_is_named() -> None:
    def work(ranks: Ranks) -> None:
        run = run_of(2, ranks.rank)
        if ranks.rank == 1:
            task_of(run)._batches[0].source = lambda n, generator: 1 / 0
        try:
            ended(run, ranks)
        except ZeroDivisionError as error:
            ranks.fail(f"ZeroDivisionError: {error}")
            ranks.close()
            raise

    lost, failed = outcomes(2, work)
    assert isinstance(failed, ZeroDivisionError)
    assert isinstance(lost, RankError)
    assert lost.reason.startswith("rank 1: ZeroDivisionError: division by zero")


# ---- puts down and takes up


class Ordinary:
    """Draws from fixed rows, as a task can be sent to other ranks."""

    def __init__(self, side: int) -> None:
        self.rows = normal(300, DIM, seed=20 + side)
        if side:
            self.rows = self.rows @ SPREAD + 1

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        return self.rows[torch.randint(300, (n,), generator=generator)]


def usual_run(steps: int, potential: Potential | None = None) -> Run[Potential]:
    """With rows in flight, calibration that learns, jitter and penalties."""
    model = potential or make(DenseICNN, DIM, 0.2, 0, hidden=(8, 4))
    held_out = normal(31, DIM, seed=1), normal(30, DIM, seed=2) @ SPREAD + 1
    generator = torch.Generator().manual_seed(3)
    features = Features(ROWS, held_out[0], torch.Generator().manual_seed(9))
    known = [Calibration(features, side, complete=False) for side in held_out]
    samples = MemberSamples(Ordinary(0), Ordinary(1), held_out, known)
    told = DualSettings(bandwidth=0.1, target_evaluations=2.0)
    task = DualTask(model, DualObjective(), samples, told, generator)
    settings = Settings(max_steps=steps, batch_size=ROWS, evaluate_every=5)
    return Run(task, settings, generator)


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            equal(first[name], second[name]) for name in first
        )
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second) or first != first


def driven(ranks: Ranks, steps: Sequence[int], state: Any = None) -> list[Any]:
    """States of this rank's run after so many more steps each, all in step."""
    run = usual_run(100)
    if state is not None:
        run.load_state_dict(copy.deepcopy(state))  # which the run goes on with
    run.join(ranks)
    found = []
    for more in steps:
        for _ in range(more):
            run.advance()
        taken = run.state_dict()
        for name in ("seconds", "evaluation_seconds"):
            del taken["counters"][name]
        for row in taken["history"]:
            del row["seconds"]
        found.append(taken)
    return found


def with_times(state: Any) -> Any:
    """A state as it is loaded, through a file."""
    counters = {**state["counters"], "seconds": 0.0, "evaluation_seconds": 0.0}
    history = [{**row, "seconds": 0.0} for row in state["history"]]
    return {**state, "counters": counters, "history": history}


@pytest.mark.parametrize("before", [5, 13])
def test_ranks_that_are_taken_up_go_on_to_the_bit(before: int) -> None:
    whole = together(2, lambda ranks: driven(ranks, [before, 12]))
    state = with_times(whole[0][0])
    assert len(state["others"]) == 1
    own = state["generator"], state["others"][0]["generator"]
    assert not torch.equal(*own)
    assert len(state["task"]["batches"][0]["uses"])  # else nothing is in flight
    again = together(2, lambda ranks: driven(ranks, [12], state))
    for rank in (0, 1):
        for name in ("model", "average", "selection", "optimizer"):
            assert equal(again[rank][0][name], whole[rank][1][name]), name
    assert equal(again[0][0], whole[0][1])


@pytest.mark.parametrize("size", [1, 3])
def test_another_number_of_ranks_goes_on_too(size: int) -> None:
    state = with_times(together(2, lambda ranks: driven(ranks, [13]))[0][0])

    def work(ranks: Ranks) -> list[Any]:
        return driven(ranks, [12], state)

    found = [work(Ranks())] if size == 1 else together(size, work)
    assert found[0][0]["counters"]["step"] == 25
    assert len(found[0][0].get("others", [])) == size - 1
    generators = [each["generator"] for each in found[0][0].get("others", [])]
    assert not any(torch.equal(found[0][0]["generator"], each) for each in generators)


def test_a_run_of_one_process_is_shared_from_then_on() -> None:
    """As an older checkpoint, which knows of no other ranks."""
    run = usual_run(100)
    for _ in range(7):
        run.advance()
    state = run.state_dict()
    assert "others" not in state

    def work(ranks: Ranks) -> Any:
        if not ranks.first:
            return follow(ranks)
        own = usual_run(20)
        own.load_state_dict(state)
        share_run(own, ranks, kept=False)
        ended(own)
        own.leave()
        dismiss(ranks, "done")
        return own

    own, word = together(2, work)
    assert word == "done"
    assert own.step == 20
    assert own.ranks.size == 1


# ---- how many are worth it


def test_as_many_processes_as_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    network: Any = torch.nn.Linear(100, 500)  # 50,500 parameters

    def processes(**settings: Any) -> int:
        return ParallelSettings().worthwhile_processes([network], Settings(**settings))

    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert processes(batch_size=25000) == 4
    assert processes(batch_size=2500) == 2
    assert processes(batch_size=2500, largest_batch=4000) == 3
    assert processes(batch_size=2500, largest_batch=4000, max_steps=900) == 2
    assert processes(batch_size=50) == 1
    assert processes(batch_size=2500, max_steps=100) == 1
    assert processes(batch_size=2500, max_steps=math.inf, max_time=5.0) == 1
    assert processes(batch_size=2500, max_steps=math.inf, max_time=60.0) == 2


@pytest.mark.parametrize(("threads", "expected"), [(1, 4), (2, 1)])
def test_threads_share_small_steps_as_well(
    threads: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network: Any = torch.nn.Linear(100, 500)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    settings = Settings(batch_size=1000)
    assert ParallelSettings().processes([network], settings, 4) == expected


def test_members_of_an_ensemble_are_worth_processes() -> None:
    network: Any = torch.nn.Linear(100, 500)
    settings = Settings(batch_size=300)  # of one process each

    def processes(members: int, most: int) -> int:
        return ParallelSettings().processes([network] * members, settings, most)

    assert [processes(n, 4) for n in (1, 2, 3, 4)] == [1, 2, 1, 4]
    assert processes(4, 6) == 2
