"""Processes of this machine take part in a fit, or one goes on alone after one warning; all end with it."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
import torch.distributed as dist
from fits import PAIR, X, Y, quick, same, weights

from brenier import DataWarning, DenseICNN, OptimalTransport, Potential, Run
from brenier.estimators.validation import check_jobs
from brenier.training import LocalRanks, RankError, RankSettings
from brenier.training.joint import local
from brenier.transport.costs import Power

SLEEP = "import time; time.sleep(100)"
KILLED = -signal.SIGKILL


def shared_fit(potential: Any = "free", **parameters: Any) -> OptimalTransport:
    """An estimator whose small steps are shared by two processes."""
    told = {"process_work": 1, **parameters.pop("settings", {})}
    return quick(potential, **{"settings": told, "n_jobs": 2, **parameters})


@pytest.fixture
def started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Every process that is started; afterwards all have ended, and no folder is left."""
    processes: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def noted(*arguments: Any, **keywords: Any) -> subprocess.Popen[bytes]:
        processes.append(start(*arguments, **keywords))
        return processes[-1]

    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(subprocess, "Popen", noted)
    threads = torch.get_num_threads()
    yield processes
    left = [each for each in processes if each.poll() is None]
    for each in left:
        each.kill()
        each.wait()
    assert not left
    assert not any(folder.glob("brenier-*"))
    assert torch.get_num_threads() == threads


def ended(started: list[subprocess.Popen[bytes]]) -> list[int | None]:
    return [each.poll() for each in started]


def test_negative_jobs_are_counted_back_from_all_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    asked = (None, 1, 5, -1, -2, -3, -4)
    assert [check_jobs(n) for n in asked] == [None, 1, 5, 3, 2, 1, 1]


# ---- none can start


@pytest.mark.parametrize(
    ("place", "name", "value", "reason"),
    [
        (sys, "executable", "", "no interpreter that could be started"),
        (sys, "executable", "/nowhere", "No such file"),
        (local, "COMMAND", "raise SystemExit(7)", "rank 1 ended with exit status 7"),
    ],
    ids=["no interpreter", "no such interpreter", "ends at once"],
)
def test_where_none_can_start_one_process_trains(
    place: Any,
    name: str,
    value: str,
    reason: str,
    started: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place, name, value)
    with pytest.warns(DataWarning) as caught:
        ot = shared_fit(max_steps=2).fit(X, Y)
    (warning,) = caught
    assert str(warning.message).startswith(
        "n_jobs: training goes on in one process, since no other could take part: "
    )
    assert reason in str(warning.message)
    assert ot.diagnostics_["processes"] == 1
    assert same(weights(ot), weights(quick(max_steps=2).fit(X, Y)))
    assert None not in ended(started)


def test_where_the_second_fails_to_start_the_first_is_stopped(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def one_only(*arguments: Any, **keywords: Any) -> subprocess.Popen[bytes]:
        if started:
            raise OSError("no more processes")
        return start(*arguments, **keywords)

    monkeypatch.setattr(subprocess, "Popen", one_only)
    monkeypatch.setattr(local, "COMMAND", SLEEP)
    with pytest.warns(DataWarning, match="no more processes"):
        shared_fit(max_steps=2, n_jobs=3).fit(X, Y)
    assert ended(started) == [KILLED]


def test_they_are_not_waited_for_without_end(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "COMMAND", SLEEP)
    settings = {"start_seconds": 0.3}
    with pytest.warns(
        DataWarning, match=r"^n_jobs: .* not all had started after 0\.3 seconds"
    ):
        shared_fit(max_steps=2, settings=settings).fit(X, Y)
    assert ended(started) == [KILLED]


@pytest.mark.filterwarnings("ignore:max_time. .* training steps fitted")
def test_a_fit_limited_by_time_does_not_wait_for_them(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "COMMAND", SLEEP)
    ot = shared_fit(max_steps=None, max_time=1.5, n_jobs=3).fit(*PAIR)
    assert ot.diagnostics_["steps"] > 0
    assert ended(started) == [KILLED] * 2


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_everything_is_stopped_however_the_context_ends(
    fault: type[BaseException],
    started: list[subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "COMMAND", SLEEP)
    with pytest.raises(fault), LocalRanks(3):
        raise fault
    assert ended(started) == [KILLED] * 2


def test_one_process_starts_none(started: list[subprocess.Popen[bytes]]) -> None:
    with LocalRanks(1) as alone:
        assert alone.size == 1
    assert not started


# ---- whole fits


def test_a_fit_by_two_processes(started: list[subprocess.Popen[bytes]]) -> None:
    """With a group of torch's own, which the user made, beside it."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        ot = shared_fit(max_steps=20).fit(*PAIR)
        assert dist.is_initialized()
        assert dist.get_world_size() == 1
    finally:
        dist.destroy_process_group()
    assert ot.diagnostics_["processes"] == 2
    assert ended(started) == [KILLED]
    alone = quick(max_steps=20).fit(*PAIR)
    assert ot.history_[-1]["value"] == pytest.approx(
        alone.history_[-1]["value"], abs=0.05
    )
    assert not same(weights(ot), weights(alone))  # or else nothing was shared


class Stretched:
    """A cost of a user's own, of no module that others could import."""

    def __init__(self, power: float) -> None:
        self.power = power


def closure_potential(width: int) -> Callable[..., Potential]:
    def new(dim: int, generator: torch.Generator) -> Potential:
        return DenseICNN(dim, (width, width), generator=generator)

    return new


def drawn(shift: float) -> Callable[..., torch.Tensor]:
    return lambda n, generator: torch.randn(n, 2, generator=generator) + shift


LABELS = np.arange(1000) % 2
ONES = np.exp(np.linspace(-1, 1, 1000))
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "ensemble": ({"n_networks": 2}, {}),
    "labels": ({}, {"source_labels": LABELS, "target_labels": LABELS}),
    "covariates": ({}, {"source_covariates": ONES, "target_covariates": ONES}),
    "weights": ({}, {"source_weight": ONES, "target_weight": ONES}),
    "cost": ({"cost": Power(1.5)}, {}),
    "closure": ({"potential": closure_potential(8)}, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_fit_is_the_same_every_time_and_near_that_of_one_process(
    name: str, started: list[subprocess.Popen[bytes]]
) -> None:
    parameters, beside = CASES[name]
    told = {"max_steps": 60, **parameters}
    first, second = (shared_fit(**told).fit(*PAIR, **beside) for _ in range(2))
    alone = quick(**told).fit(*PAIR, **beside)
    assert ended(started) == [KILLED] * 2
    assert first.diagnostics_["processes"] == second.diagnostics_["processes"] == 2
    assert same(weights(first), weights(second))
    values = [ot.history_[-1]["value"] for ot in (first, second, alone)]
    assert values[0] == values[1] != values[2]
    error = alone.history_[-1]["standard_error"]
    assert values[0] == pytest.approx(values[2], abs=4 * error)


@pytest.mark.slow
def test_streams_and_mapped_rows_are_drawn_by_all(
    started: list[subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    streamed = shared_fit(max_steps=40).fit(drawn(0.0), drawn(1.0))
    assert streamed.diagnostics_["processes"] == 2
    np.save(tmp_path / "x.npy", PAIR[0])
    np.save(tmp_path / "y.npy", PAIR[1])
    mapped = [np.load(tmp_path / f"{side}.npy", mmap_mode="r") for side in "xy"]
    first, second = (shared_fit(max_steps=40).fit(*mapped) for _ in range(2))
    assert same(weights(first), weights(second))


def test_what_cannot_be_sent_is_warned_of(
    started: list[subprocess.Popen[bytes]],
) -> None:
    lock = threading.Lock()

    def source(n: int, generator: torch.Generator) -> torch.Tensor:
        with lock:
            return torch.randn(n, 2, generator=generator)

    with pytest.warns(DataWarning, match=r"^n_jobs: .*cannot pickle .*lock"):
        ot = shared_fit(max_steps=5).fit(source, drawn(1.0))
    assert ot.diagnostics_["processes"] == 1
    assert ended(started) == [KILLED]


@pytest.mark.slow
def test_two_fits_in_two_threads_at_once(
    started: list[subprocess.Popen[bytes]],
) -> None:
    found: list[Any] = [None, None]

    def fit(k: int) -> None:
        found[k] = weights(shared_fit(max_steps=20, random_state=k).fit(*PAIR))

    threads = [threading.Thread(target=fit, args=(k,)) for k in (0, 1)]
    with warnings.catch_warnings():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for k in (0, 1):
        straight = shared_fit(max_steps=20, random_state=k).fit(*PAIR)
        assert same(found[k], weights(straight))


# ---- lost on the way


def at_step(
    step: int, act: Callable[[Run[Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Run.advance

    def advance_and_act(run: Run[Any]) -> None:
        advance(run)
        if run.step == step:
            act(run)

    monkeypatch.setattr(Run, "advance", advance_and_act)


@pytest.mark.slow
def test_a_process_that_is_lost_is_named_and_the_run_goes_on_to_the_bit(
    started: list[subprocess.Popen[bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: dict[str, Any] = {"max_steps": 150, "checkpoint": str(tmp_path / "run")}
    whole = weights(shared_fit(max_steps=150).fit(*PAIR))
    with monkeypatch.context() as patch:
        at_step(120, lambda _: started[-1].kill(), patch)
        with pytest.raises(
            RankError,
            match=r"was lost: rank 1 ended with exit status -9\. Fit again with the same",
        ):
            shared_fit(**told).fit(*PAIR)
    assert same(weights(shared_fit(**told).fit(*PAIR)), whole)


@pytest.mark.slow
def test_a_process_that_is_stopped_is_given_up_in_time(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(5, lambda _: started[-1].send_signal(signal.SIGSTOP), monkeypatch)
    with pytest.raises(
        RankError, match=r"another rank than 0 did not answer for 3 seconds"
    ):
        shared_fit(max_steps=50, settings={"answer_seconds": 3.0}).fit(*PAIR)
    assert ended(started) == [KILLED]


@pytest.mark.slow
def test_an_interruption_of_a_child_is_not_heeded(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(5, lambda _: started[-1].send_signal(signal.SIGINT), monkeypatch)
    ot = shared_fit(max_steps=20).fit(*PAIR)
    assert ot.diagnostics_["processes"] == 2


# The first rank dies while it trains, and while it concludes, so that others are idle.
DYING = """
import os, signal, sys, time
from fits import PAIR, quick
from brenier import Run
from brenier.training import LocalRanks

advance, named, leave = Run.advance, sys.argv[1], Run.leave

def told(run):
    advance(run)
    if run.step == 3:
        print("training", flush=True)
        if named == "training":
            os.kill(os.getpid(), signal.SIGKILL)

def idle(run):
    leave(run)
    if named == "idle":
        os.kill(os.getpid(), signal.SIGKILL)

start = LocalRanks._start

def noted(self):
    start(self)
    print(*(child.pid for child in self._children), flush=True)
    if named == "starting":
        os.kill(os.getpid(), signal.SIGKILL)

Run.advance, Run.leave, LocalRanks._start = told, idle, noted
quick(n_jobs=3, settings={"process_work": 1}).fit(*PAIR)
"""


def alive(process: int) -> bool:
    """Whether a process goes on."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("moment", ["starting", "training", "idle"])
def test_children_end_with_the_first_rank(moment: str) -> None:
    paths = [str(Path(__file__).parents[2]), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        [sys.executable, "-c", DYING, moment],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == KILLED
    first, *others = done.stdout.split("\n")
    assert ("training" in others) == (moment != "starting")
    children = [int(word) for word in first.split()]
    assert len(children) == 2
    until = time.monotonic() + 60  # of a machine that has much else to do
    while time.monotonic() < until and any(map(alive, children)):
        time.sleep(0.1)
    assert not any(map(alive, children))


def test_settings_of_ranks_are_those_of_the_estimator() -> None:
    settings: Any = shared_fit(settings={"answer_seconds": 3.0}).settings
    assert settings["answer_seconds"] == 3.0
    assert RankSettings().answer_seconds == 600
    assert math.isfinite(RankSettings().idle_seconds)
