"""Processes that are killed at any moment lose nothing, and what they leave behind is gone after the next save."""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fits import PAIR, X, Y, quick, same, weights

from brenier import OptimalTransport, Run, load
from brenier.apps.cli import main
from brenier.estimators import loading
from brenier.training import checkpoint

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="forks, so that a thousand processes start at once"
)

LOG = logging.getLogger(__name__)


def killed_after(seconds: float, work: Callable[[], None]) -> bool:
    """Let a process of its own work, kill it, and say whether it was still at it."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(seconds)
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def estimators() -> list[OptimalTransport]:
    return [quick(max_steps=2, random_state=i).fit(X[:60], Y[:60]) for i in range(2)]


@pytest.fixture(scope="module")
def runs() -> list[Run[Any]]:
    """A run at two of its steps."""
    found: list[Run[Any]] = []

    def note(folder: object, run: Run[Any], *_: object) -> None:
        found.append(run)

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(checkpoint, "save_run", note)
        for seed in range(2):
            quick(max_steps=1, random_state=seed, checkpoint="none").fit(X[:60], Y[:60])
    return found[::2]


@pytest.mark.parametrize(
    ("kills", "seed"),
    [(25, 0), pytest.param(1_000, 1, marks=pytest.mark.slow)],
    ids=["short", "full"],
)
def test_models_and_runs_outlive_those_who_write_them(
    kills: int,
    seed: int,
    estimators: list[OptimalTransport],
    runs: list[Run[Any]],
    tmp_path: Path,
) -> None:
    model, folder = tmp_path / "model", tmp_path / "run"

    def write(i: int) -> None:
        estimators[i % 2].save(model)
        checkpoint.save_run(folder, runs[i % 2], f"mark {i % 2}", seed=i % 2)

    def write_for_ever() -> None:
        i = 0
        while True:
            write(i := i + 1)

    write(0)
    moments, left, began = random.Random(seed), 0, time.perf_counter()
    known = [weights(ot) for ot in estimators]
    for i in range(kills):
        assert killed_after(moments.uniform(0, 0.03), write_for_ever)
        found = weights(load(model))
        assert any(same(found, one) for one in known), "neither the old nor the new"
        state = checkpoint.read_run(folder)
        assert state is not None
        assert state["fingerprint"] == f"mark {state['seed']}"
        left += len(names(model)) + len(names(folder)) - 3
        write(i)
        assert len(names(model)) == 2, names(model)
        assert names(folder) == [checkpoint.FILE]
    seconds = time.perf_counter() - began
    LOG.info(f"{kills} kills, {left} files left and removed, {seconds:.0f} s")


@pytest.mark.parametrize("seconds", [0.3, pytest.param(5.0, marks=pytest.mark.slow)])
def test_two_processes_may_save_into_one_folder(
    seconds: float, estimators: list[OptimalTransport], tmp_path: Path
) -> None:
    known = [weights(ot) for ot in estimators]
    context = multiprocessing.get_context("fork")
    until, ended = time.time() + seconds, context.Event()

    def save(i: int) -> None:
        while not ended.is_set():
            estimators[i].save(tmp_path / "model")

    estimators[0].save(tmp_path / "model")
    processes = [context.Process(target=save, args=(i,)) for i in (0, 1, 1)]
    for process in processes:
        process.start()
    read = 0
    try:
        while time.time() < until or read < 5:  # however slow the machine is
            found = weights(load(tmp_path / "model"))
            assert any(same(found, one) for one in known)
            read += 1
    finally:
        ended.set()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert any(same(weights(load(tmp_path / "model")), one) for one in known)
    assert len(names(tmp_path / "model")) == 2


def test_without_locks_no_other_model_is_removed(
    estimators: list[OptimalTransport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows: what another process is about to name is left to it."""
    from brenier import atomic

    monkeypatch.setattr(atomic, "fcntl", None)
    estimators[0].save(tmp_path)
    other = tmp_path / f"weights-{'a' * 16}-{'b' * 8}.safetensors"
    other.write_bytes(b"of a save under way")
    for i in (1, 0, 0):
        estimators[i].save(tmp_path)
        assert same(weights(load(tmp_path)), weights(estimators[i]))
    assert other.exists()
    assert len(names(tmp_path)) == 3
    monkeypatch.undo()
    estimators[0].save(tmp_path)
    assert len(names(tmp_path)) == 2


def test_a_reader_waits_for_a_model_that_is_being_replaced(
    estimators: list[OptimalTransport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brenier.transport.maps import storage

    estimators[0].save(tmp_path)
    original, calls = storage.read_shapes, [0]

    def replaced_meanwhile(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == 1:
            estimators[1].save(tmp_path)
        return original(*arguments)

    monkeypatch.setattr(storage, "read_shapes", replaced_meanwhile)
    assert same(weights(load(tmp_path)), weights(estimators[1]))
    assert calls == [2]


# ---- between the end of a fit and its save


def no_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    def step(run: Run[Any]) -> None:
        raise AssertionError("a step was taken")

    monkeypatch.setattr(Run, "advance", step)


def test_a_run_that_has_ended_is_kept_until_it_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, model = tmp_path / "run", tmp_path / "model"
    whole = quick(max_steps=60, checkpoint=str(folder)).fit(*PAIR)
    assert [checkpoint.is_finished(path) for path in folder.iterdir()] == [True]
    with monkeypatch.context() as patch:
        no_steps(patch)
        again = quick(max_steps=60, checkpoint=str(folder)).fit(*PAIR)
    assert same(weights(again), weights(whole))
    values = [row["value"] for row in whole.history_]
    assert [row["value"] for row in again.history_] == values
    assert again.map_.distance() == whole.map_.distance()
    again.save(model)
    assert names(folder) == []
    whole.save(model)


def test_an_estimator_that_is_fitted_again_starts_anew(tmp_path: Path) -> None:
    ot = quick(checkpoint=str(tmp_path), random_state=None, max_steps=2)
    first = weights(ot.fit(X, Y))
    assert not same(first, weights(ot.fit(X, Y)))
    assert len(names(tmp_path)) == 1


@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_run_that_has_ended_gives_way_to_other_samples(
    seed: int | None, tmp_path: Path
) -> None:
    quick(checkpoint=str(tmp_path), max_steps=2).fit(X, Y)
    ot = quick(checkpoint=str(tmp_path), max_steps=2, random_state=seed).fit(X, Y + 1)
    assert [row["step"] for row in ot.history_] == [0, 2]
    if seed is not None:
        other = quick(max_steps=2, random_state=seed).fit(X, Y + 1)
        assert same(weights(ot), weights(other))
    assert len(names(tmp_path)) == 1


def test_a_warm_start_is_no_other_run(tmp_path: Path) -> None:
    ot = quick(max_steps=2).fit(X, Y).set_params(warm_start=True)
    straight = weights(ot.fit(X, Y))
    ot = quick(max_steps=2, checkpoint=str(tmp_path)).fit(X, Y)
    other = quick(max_steps=2, checkpoint=str(tmp_path), warm_start=True)
    other.map_ = ot.map_
    assert same(weights(other.fit(X, Y)), straight)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of a small fit in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", PAIR[0])
    np.save("y.npy", PAIR[1])
    small = ["--max-steps", "40", "--batch-size", "64", "--quiet"]
    return ["fit", "x.npy", "y.npy", "--out", "m", *small]


@pytest.mark.slow
def test_a_command_that_could_not_save_saves_the_next_time(
    pair: list[str], capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "m/model.json")

    with monkeypatch.context() as patch:
        patch.setattr(OptimalTransport, "save", full)
        assert main(pair) == 2
    told = capsys.readouterr().err
    assert "No space left on device; the run is kept in m/unfinished" in told
    assert "'m/model.json'" in told
    assert "brenier fit x.npy y.npy" in told
    other = ["x.npy" if word == "y.npy" else word for word in pair]
    assert main(other) == 2
    assert "other samples or settings" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        no_steps(patch)
        assert main(pair) == 0
    assert "Resuming" in capsys.readouterr().err
    assert not Path("m/unfinished").exists()
    assert main([*pair[:4], "straight", *pair[5:]]) == 0
    assert same(weights(load("m")), weights(load("straight")))


@pytest.mark.parametrize(("kills", "seed"), [(2, 0), (60, 1)], ids=["short", "full"])
@pytest.mark.slow
def test_commands_that_are_killed_come_to_the_same_end(
    kills: int, seed: int, pair: list[str]
) -> None:
    began = time.perf_counter()
    assert main([*pair[:4], "straight", *pair[5:]]) == 0
    needed = time.perf_counter() - began
    straight = weights(load("straight"))
    moments, done = random.Random(seed), 0
    while done < kills:
        killed = killed_after(moments.uniform(0, needed), lambda: os._exit(main(pair)))
        done += killed
        if Path("m/model.json").exists():
            assert same(weights(load("m")), straight)
        if not killed:
            found = set(names(Path("m")))
            assert not [name for name in found if name.endswith(".tmp")]
            assert len([name for name in found if name.startswith("weights")]) == 1
            assert "unfinished" not in found
    assert main(pair) == 0
    assert same(weights(load("m")), straight)
    assert not [name for name in names(Path("m")) if name.endswith(".tmp")]
    assert loading.load("m").n_features_in_ == 2
    assert torch.get_num_threads() == 1
