"""Several processes find the J, the gradient and the inner solutions that one finds, and nobody is left behind."""

import io
import math
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import pytest
import torch
from fits import PAIR, quick, same, weights
from problems import POTENTIALS, mean, normal
from torch import Tensor

from brenier import (
    BFGS,
    BrenierError,
    Conditional,
    DataWarning,
    DenseICNN,
    DualObjective,
    DualValue,
    OptimalTransport,
    Potential,
    Settings,
)
from brenier.estimators.validation import check_jobs
from brenier.solve import Method, Status
from brenier.training import serialise
from brenier.training.workers import process
from brenier.training.workers.worker import serve
from brenier.transport.dual import Batch, ParallelDual, ParallelSettings, StartSettings
from brenier.transport.dual.objective import SolverOptions, sequential
from brenier.transport.dual.worker import DualWorker

DIM = 3


class OfANotebook(Potential):
    """A potential as a user may define it: in no module that other processes could import."""

    dim = 2

    def __init__(self) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.slope


class Scaled(Potential):
    """A potential of one number, and of another that it does not use."""

    dim = DIM

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.idle = (
            torch.nn.Parameter(torch.tensor(0.3, dtype=torch.float64)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * torch.linalg.vecdot(x, x)


class Picky(BFGS):
    """A method of a notebook."""


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """These classes are of `__main__`, as in a notebook."""
    for defined in (OfANotebook, Picky):
        monkeypatch.setattr(defined, "__module__", "__main__")
        monkeypatch.setattr(
            sys.modules["__main__"], defined.__name__, defined, raising=False
        )


SHARED = ParallelSettings(process_work=1)  # steps of a few rows are shared too


def shared_fit(potential: Any = "free", **parameters: Any) -> OptimalTransport:
    """An estimator whose small steps are shared."""
    return quick(potential, settings={"process_work": 1}, **parameters)


def team(processes: int, potential: Potential) -> ParallelDual:
    """Processes that share small steps."""
    return ParallelDual(processes, [potential], BFGS(), patient=True, settings=SHARED)


def options(method: Method | None = None) -> SolverOptions:
    """How inner problems are solved."""
    return SolverOptions(method or BFGS(), 1e-3, 10, 1, StartSettings())


@pytest.fixture(scope="module")
def three() -> Iterator[ParallelDual]:
    """Three processes; two of them take seconds to start."""
    with team(3, POTENTIALS["free celu"](DIM)) as started:
        yield started


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that a test starts."""
    processes: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            processes.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    return processes


def found(
    objective: DualObjective,
    potential: Potential,
    points: tuple[Tensor, Tensor],
    **options: Any,
) -> DualValue:
    """J and, in the parameters, its gradient."""
    potential.zero_grad()
    value = objective(potential, *points, **options)
    value.loss.backward()
    return value


def agree(
    evaluator: ParallelDual,
    potential: Potential,
    n: int = 50,
    m: int = 41,
    **options: Any,
) -> None:
    """One process and several find the same, row by row."""
    dtype = next(potential.parameters()).dtype
    points = (
        normal(n, potential.dim, seed=1, dtype=dtype),
        2 * normal(m, potential.dim, seed=2, dtype=dtype),
    )
    near: Any = (
        {"rtol": 1e-9, "atol": 1e-9}
        if dtype == torch.float64
        else {"rtol": 1e-4, "atol": 1e-4}
    )
    expected = found(DualObjective(tol=1e-3), potential, points, **options)
    gradients = [parameter.grad for parameter in potential.parameters()]
    value = found(
        DualObjective(tol=1e-3, evaluator=evaluator), potential, points, **options
    )
    for name in ("loss", "source", "target"):
        torch.testing.assert_close(
            getattr(value, name), getattr(expected, name), **near
        )
    torch.testing.assert_close(value.solution.point, expected.solution.point, **near)
    assert torch.equal(value.solution.status, expected.solution.status)
    assert (
        0 <= value.solution.evaluations - expected.solution.evaluations <= m
    )  # some starts in several processes
    for parameter, gradient in zip(potential.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, **near)


@pytest.mark.parametrize("name", POTENTIALS)
def test_several_processes_find_what_one_finds(name: str, three: ParallelDual) -> None:
    agree(three, POTENTIALS[name](DIM))


def test_with_first_iterates_and_weights_too(three: ParallelDual) -> None:
    potential, start = POTENTIALS["convex celu"](DIM), normal(7, DIM, seed=3)

    def uneven(points: Tensor) -> Tensor:
        return torch.softmax(points[:, 0], 0)

    agree(three, potential, start=start, tol=1e-2, weights=(uneven, uneven))


def test_with_conditions_and_in_single_precision(three: ParallelDual) -> None:
    agree(three, Conditional(DenseICNN(DIM, (8, 8)), 2))


def test_parameters_may_be_numbers_and_idle(three: ParallelDual) -> None:
    potential = Scaled()
    points = normal(50, DIM, seed=1), normal(50, DIM, seed=2)
    found(DualObjective(evaluator=three), potential, points)
    shared, idle = potential.scale.grad, potential.idle.grad
    found(DualObjective(), potential, points)
    torch.testing.assert_close(shared, potential.scale.grad)
    assert idle is None or float(idle) == 0


def test_weights_that_changed_are_told(three: ParallelDual) -> None:
    potential = POTENTIALS["free tanh"](DIM)
    for _ in range(2):
        agree(three, potential)
        with torch.no_grad():
            for parameter in potential.parameters():
                parameter.mul_(0.5)


def test_more_rows_than_candidates(three: ParallelDual) -> None:
    agree(three, POTENTIALS["free celu"](DIM), n=1500, m=10)


def test_rows_may_be_left_and_are_told_apart(three: ParallelDual) -> None:
    potential = POTENTIALS["free celu"](DIM)
    x, z = normal(60, DIM, seed=1), 3 * normal(60, DIM, seed=2)
    value = found(
        DualObjective(tol=1e-6, evaluator=three), potential, (x, z), skip_fraction=0.2
    )
    left = value.solution.status == Status.DEFERRED
    assert 0 < int(left.sum()) <= 3 * 0.2 * 20
    point = value.solution.point[~left]
    residual = torch.linalg.vector_norm(
        point - z[~left] + potential.gradient(point), dim=-1
    )
    assert float(residual.detach().max()) <= 1e-6


def test_evaluation_needs_no_gradient(three: ParallelDual) -> None:
    potential = POTENTIALS["free celu"](DIM).requires_grad_(False)
    x, z = normal(50, DIM, seed=1), normal(50, DIM, seed=2)
    with torch.no_grad():
        shared, alone = (
            DualObjective(evaluator=way)(potential, x, z) for way in (three, sequential)
        )
    torch.testing.assert_close(shared.loss, alone.loss, rtol=1e-12, atol=1e-12)
    assert not shared.loss.requires_grad


def test_few_rows_are_not_shared(
    three: ParallelDual, monkeypatch: pytest.MonkeyPatch
) -> None:
    potential = POTENTIALS["quadratic"](DIM)  # of 12 parameters
    monkeypatch.setattr(three, "_shared", lambda *_: pytest.fail("was shared"))
    monkeypatch.setattr(three, "_settings", ParallelSettings(process_work=12 * 50))
    few, enough = (Batch(potential, normal(n, DIM), normal(n, DIM)) for n in (99, 100))
    list(three([few], 1, options()))
    with pytest.raises(pytest.fail.Exception, match="was shared"):
        list(three([enough], 1, options()))


@pytest.mark.slow
def test_a_fit_is_the_same_every_time_and_near_that_of_one_process(
    started: list[subprocess.Popen[bytes]],
) -> None:
    threads, history = torch.get_num_threads(), []
    for jobs in (2, 2, 1):
        ot = shared_fit(mean_of_two, n_jobs=jobs, max_steps=40).fit(*PAIR)
        assert torch.get_num_threads() == threads
        history.append((weights(ot), ot.history_[-1]["value"]))
    assert [process.poll() for process in started] == [-signal.SIGKILL] * 2
    assert same(history[0][0], history[1][0])
    assert history[2][1] == pytest.approx(history[0][1], abs=0.02)
    assert history[2][1] != history[0][1]  # or else nothing was shared


def test_negative_jobs_are_counted_back_from_all_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    asked = (None, 1, 5, -1, -2, -3, -4)
    assert [check_jobs(n) for n in asked] == [None, 1, 5, 3, 2, 1, 1]


def mean_of_two(dim: int, generator: torch.Generator) -> Potential:
    """A mean of two networks, which starts away from the identity."""
    return mean(dim, size=0.1).float()


@pytest.mark.filterwarnings("ignore:max_time. .* training steps fitted")
def test_a_fit_limited_by_time_does_not_wait_for_workers(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "COMMAND", "import time; time.sleep(100)")
    ot = shared_fit(max_steps=None, max_time=1.5, n_jobs=3).fit(*PAIR)
    assert ot.diagnostics_["steps"] > 0
    assert [process.poll() for process in started] == [-signal.SIGKILL] * 2


def test_workers_are_not_waited_for_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "COMMAND", "import time; time.sleep(100)")
    settings = {"process_work": 1, "max_worker_wait": 0.1}
    ot = quick(n_jobs=2, max_steps=2, settings=settings)
    with pytest.warns(
        DataWarning, match=r"^n_jobs: .* none had started after 0 seconds"
    ):
        ot.fit(*PAIR)


@pytest.mark.slow
@pytest.mark.usefixtures("notebook")
def test_a_potential_of_a_notebook_is_trained_by_one_process() -> None:
    def new(dim: int, generator: torch.Generator) -> Potential:
        return OfANotebook()

    with pytest.warns(
        DataWarning,
        match=r"^n_jobs: training goes on in one process, since no other .*OfANotebook",
    ):
        shared = shared_fit(new, n_jobs=2, max_steps=5).fit(*PAIR)
    alone = quick(new, n_jobs=1, max_steps=5).fit(*PAIR)
    assert same(weights(shared), weights(alone))


@pytest.mark.parametrize(
    ("place", "name", "value", "reason"),
    [(sys, "executable", "", "no interpreter"), (sys, "executable", "/nowhere", "No such file"),
     (process, "COMMAND", "raise SystemExit(7)", "exit status 7")],
)  # fmt: skip
def test_where_no_worker_can_start_one_process_trains(
    place: Any, name: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, value)
    with pytest.warns(DataWarning, match=f"^n_jobs: .*{reason}"):
        shared_fit(n_jobs=2, max_steps=2).fit(*PAIR)


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_a_worker_that_is_lost_is_named_and_one_that_is_interrupted_goes_on(
    signal_number: int,
) -> None:
    potential = POTENTIALS["free celu"](DIM)
    with team(2, potential) as two:
        agree(two, potential)
        (worker,) = two.pool.workers(1)
        worker._process.send_signal(signal_number)
        if signal_number == signal.SIGINT:
            agree(two, potential)
            return
        worker._process.wait()
        with pytest.raises(
            BrenierError,
            match=r"was lost: it ended with exit status -9\. Fit with n_jobs=1",
        ):
            agree(two, potential)


@pytest.mark.slow
@pytest.mark.usefixtures("notebook")
def test_what_goes_wrong_in_a_worker_is_told() -> None:
    rows, potential = normal(50, DIM), POTENTIALS["quadratic"](DIM)
    with (
        team(2, potential) as two,
        pytest.raises(BrenierError, match=r"was lost: Traceback(.|\n)*Picky"),
    ):
        list(two([Batch(potential, rows, rows)], 1, options(Picky())))


def test_requests_are_answered_until_they_end() -> None:
    asked, answers = io.BytesIO(), io.BytesIO()
    for name, *arguments in (
        ("register", {0: POTENTIALS["quadratic"](DIM)}),
        ("source", 1, [], False, None),
    ):
        pickle.dump((name, serialise(*arguments)), asked)
    asked.seek(0)
    serve(DualWorker(), asked, answers)
    answers.seek(0)
    assert pickle.load(answers) == (True, None)
    good, trouble = pickle.load(answers)
    assert not good
    assert "KeyError: 1" in trouble


@pytest.mark.slow
def test_a_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    script = (
        tmp_path / "script.py"
    )  # without a guard about `__main__`, which starting workers does not need
    script.write_text(
        "import os, torch\nfrom brenier import BFGS, Quadratic\nfrom brenier.transport.dual import ParallelDual\n"
        "two = ParallelDual(2, [Quadratic(2)], BFGS(), patient=True)\ntwo.__enter__()\n"
        "(worker,) = two.pool.workers(1)\n"
        "print(worker._process.pid, two.pool._lost, flush=True)\nos._exit(1)\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False
    )
    worker = int(done.stdout)  # and no reason why it would be lost
    for _ in range(100):
        if not Path(f"/proc/{worker}").exists():
            return
        time.sleep(0.1)
    pytest.fail("the worker outlived the process that started it")


def test_as_many_processes_as_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    network = torch.nn.Linear(100, 500)  # 50,500 parameters
    task: Any = SimpleNamespace(members=lambda: [network])

    def processes(**settings: Any) -> int:
        return ParallelSettings().worthwhile_processes(task, Settings(**settings))

    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert processes(batch_size=1000) == 4
    assert processes(batch_size=500) == 2
    assert processes(batch_size=500, largest_batch=800) == 3
    assert processes(batch_size=500, largest_batch=800, max_steps=900) == 2
    assert processes(batch_size=10) == 1
    assert processes(batch_size=500, max_steps=100) == 1
    assert processes(batch_size=500, max_steps=math.inf, max_time=5.0) == 1
    assert processes(batch_size=500, max_steps=math.inf, max_time=60.0) == 2
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert processes(batch_size=1000) == 1
