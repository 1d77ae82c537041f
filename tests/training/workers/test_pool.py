"""Worker processes start together, or one process goes on alone after one warning; all of them end with the pool."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from brenier.errors import DataWarning
from brenier.training import WorkerError, WorkerPool, serialise
from brenier.training.workers import process

sys.path.insert(0, str(Path(__file__).parent))
from echo import Echo

SLEEP = "import time; time.sleep(100)"
KILLED = -signal.SIGKILL


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Every process that is started; none outlives the test."""
    processes: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def noted(*arguments: Any, **keywords: Any) -> subprocess.Popen[bytes]:
        processes.append(start(*arguments, **keywords))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    yield processes
    for each in processes:
        each.kill()
        each.wait()


def pool(
    handshake: bytes | WorkerError | str = "word",
    patient: bool = True,
    max_wait: float = 60.0,
    processes: int = 3,
) -> WorkerPool:
    """A pool of three processes, two of which are workers, unless told otherwise."""
    if isinstance(handshake, str):
        handshake = serialise(handshake)
    return WorkerPool(processes, Echo, handshake, patient, max_wait)


def ended(started: list[subprocess.Popen[bytes]]) -> list[int | None]:
    return [each.poll() for each in started]


def goes_on_alone(workers: WorkerPool, reason: str) -> None:
    """One warning, at the first use and never again; then there is one process."""
    with pytest.warns(DataWarning) as caught:
        assert workers.workers(2) == []
    (warning,) = caught
    start = "n_jobs: training goes on in one process, since no other could take part: "
    assert str(warning.message).startswith(start)
    assert reason in str(warning.message)
    assert workers.processes == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for count in (2, 1, 0):
            assert workers.workers(count) == []
    assert workers.processes == 1


@pytest.mark.slow
def test_workers_that_start_answer_and_are_stopped_on_exit(
    started: list[subprocess.Popen[bytes]],
) -> None:
    threads = torch.get_num_threads()
    with pool() as workers:
        two = workers.workers(2)
        for worker in two:
            worker.ask("registered", serialise())
        answers = [worker.answer() for worker in two]
        assert answers == [("word", each.pid) for each in started]
        assert workers.workers(1) == two[:1]
        assert workers.workers(0) == []
        assert workers.processes == 3
        assert ended(started) == [None, None]
        torch.set_num_threads(threads + 1)
    assert ended(started) == [KILLED] * 2
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("place", "name", "value", "reason"),
    [
        (sys, "executable", "", "no interpreter that could be started"),
        (sys, "executable", "/nowhere", "No such file"),
        (process, "COMMAND", "raise SystemExit(7)", "exit status 7"),
    ],
    ids=["no interpreter", "no such interpreter", "ends at once"],
)
def test_where_workers_fail_to_start_one_process_goes_on(
    place: Any,
    name: str,
    value: str,
    reason: str,
    started: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, name, value)
    with pool() as workers:
        goes_on_alone(workers, reason)
    assert None not in ended(started)


def test_where_the_second_worker_fails_to_start_the_first_is_stopped(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def one_only(*arguments: Any, **keywords: Any) -> subprocess.Popen[bytes]:
        if started:
            raise OSError("no more processes")
        return start(*arguments, **keywords)

    monkeypatch.setattr(subprocess, "Popen", one_only)
    monkeypatch.setattr(process, "COMMAND", SLEEP)
    with pool() as workers:
        goes_on_alone(workers, "no more processes")
        assert ended(started) == [None]
    assert ended(started) == [KILLED]


@pytest.mark.slow
def test_a_handshake_that_fails_in_the_workers_leaves_one_process(
    started: list[subprocess.Popen[bytes]],
) -> None:
    with pool("fault", processes=2) as workers:
        goes_on_alone(workers, "ValueError: nothing to register")
    assert ended(started) == [KILLED]


def test_without_a_handshake_nothing_is_started(
    started: list[subprocess.Popen[bytes]],
) -> None:
    with pool(WorkerError("cannot be sent")) as workers:
        goes_on_alone(workers, "cannot be sent")
    assert not started


def test_workers_that_take_too_long_are_waited_for_once(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "COMMAND", SLEEP)
    began = time.monotonic()
    with pool(max_wait=0.5) as workers:
        goes_on_alone(workers, "none had started after 0 seconds")
        assert 0.5 <= time.monotonic() - began < 1.4  # two more waits would be longer
        assert ended(started) == [None, None]
    assert ended(started) == [KILLED] * 2


def test_a_pool_that_is_not_patient_goes_alone_until_workers_start(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "COMMAND", SLEEP)
    with warnings.catch_warnings(), pool(patient=False) as workers:
        warnings.simplefilter("error")
        assert workers.workers(2) == []
        assert workers.processes == 3
    assert ended(started) == [KILLED] * 2


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_everything_is_stopped_however_the_context_ends(
    fault: type[BaseException],
    started: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "COMMAND", SLEEP)
    threads = threading.active_count()
    with pytest.raises(fault), pool():
        raise fault
    assert ended(started) == [KILLED] * 2
    assert threading.active_count() == threads
    for each in started:
        assert each.stdin is not None
        assert each.stdout is not None
        assert each.stdin.closed
        assert each.stdout.closed
