"""Fits that are killed or interrupted end as if never stopped, bit for bit; run files of something else are refused."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fits import PAIR, X, Y, quick, same, weights
from pytorch_optimizer import SOAP

from brenier import ModelFileError, OptimalTransport, load
from brenier.training import checkpoint

PROGRAM = """
import sys
import torch
from fits import PAIR, quick
torch.set_num_threads(1)
quick(max_steps=120, checkpoint=sys.argv[1]).fit(*PAIR).save(sys.argv[2])
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Begin, or go on with, a fit in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    arguments = [
        sys.executable,
        "-W",
        "error",
        "-c",
        PROGRAM,
        str(folder / "run"),
        str(folder / "model"),
    ]
    return subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE)


def finish(folder: Path) -> tuple[dict[str, torch.Tensor], list[float]]:
    """Let a fit come to its end: its weights, and the held-out values on its way."""
    process = start(folder)
    fault = process.communicate(timeout=300)[1].decode()
    assert process.returncode == 0, fault
    assert not list((folder / "run").iterdir())
    ot = load(folder / "model")
    assert ot.diagnostics_["selected"] == "network"
    return weights(ot), [row["value"] for row in ot.history_]


def kill(folder: Path, checkpoints: int, delay: float) -> None:
    """Begin a fit and kill it some seconds after it has written so many checkpoints."""
    file, seen = (
        folder / "run" / checkpoint.FILE,
        {file_number(folder / "run" / checkpoint.FILE)},
    )
    process = start(folder)
    while len(seen) <= checkpoints:
        assert process.poll() is None, "finished before it could be killed"
        time.sleep(0.002)
        seen.add(file_number(file))
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert file.exists()
    assert not (folder / "model").exists()


def file_number(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


@pytest.fixture(scope="module")
def never_stopped(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, torch.Tensor], list[float]]:
    return finish(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param([2], id="once", marks=pytest.mark.slow),
        pytest.param([1, 1, 1], id="three times", marks=pytest.mark.slow),
        pytest.param([3], id="late", marks=pytest.mark.slow),
    ],
)
def test_a_killed_fit_ends_as_if_never_stopped(
    kills: list[int],
    never_stopped: tuple[dict[str, torch.Tensor], list[float]],
    tmp_path: Path,
) -> None:
    moments = random.Random(str(kills))
    for checkpoints in kills:
        kill(tmp_path, checkpoints, moments.uniform(0, 0.1))
    end, values = finish(tmp_path)
    assert same(end, never_stopped[0])
    assert values == never_stopped[1]


# ---- interrupted in the same process


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int) -> list[int]:
    """Let optimiser step `at` be interrupted; the list returned counts the steps."""
    steps, original = [0], SOAP.step

    def step(self: SOAP, closure: Any = None) -> Any:
        steps[0] += 1
        if steps[0] == at:
            raise KeyboardInterrupt
        return original(self, closure)

    monkeypatch.setattr(SOAP, "step", step)
    return steps


@pytest.fixture(scope="module")
def whole() -> OptimalTransport:
    ot = quick(max_steps=60).fit(*PAIR)
    assert ot.diagnostics_["selected"] == "network"
    return ot


@pytest.mark.parametrize("at", [2, 21, 33, 60])
def test_an_interrupted_fit_goes_on(
    at: int, whole: OptimalTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ot = quick(max_steps=60, checkpoint=str(tmp_path))
    steps = interrupt(monkeypatch, at)
    with pytest.raises(KeyboardInterrupt):
        ot.fit(*PAIR)
    assert not hasattr(ot, "map_")
    assert (tmp_path / checkpoint.FILE).exists()
    ot.fit(*PAIR)
    written = max(row["step"] for row in whole.history_ if row["step"] < at - 1) + 1
    assert steps[0] - at == 60 - written
    assert same(weights(ot), weights(whole))
    assert [row["value"] for row in ot.history_] == [
        row["value"] for row in whole.history_
    ]
    ot.save(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_samplers_go_on_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def source(n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, 2, generator=generator)

    few = {"held_out_rows": 200, "coordinate_rows": 2000}
    endless = quick(max_steps=30, settings=few).fit(source, PAIR[1])
    ot = quick(max_steps=30, settings=few, checkpoint=str(tmp_path))
    interrupt(monkeypatch, 25)
    with pytest.raises(KeyboardInterrupt):
        ot.fit(source, PAIR[1])
    assert same(weights(ot.fit(source, PAIR[1])), weights(endless))


def test_an_interrupted_second_fit_leaves_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ot = quick(checkpoint=str(tmp_path)).fit(X, Y)
    before = weights(ot)
    interrupt(monkeypatch, 10)
    with pytest.raises(KeyboardInterrupt):
        ot.fit(np.hstack([X, X]), np.hstack([Y, Y]))
    assert same(weights(ot), before)
    assert ot.n_features_in_ == 2
    assert ot.transform(X).shape == X.shape


# ---- run files of something else


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The run file of an interrupted `quick().fit(X, Y)`."""
    folder = tmp_path_factory.mktemp("unfinished")
    with pytest.MonkeyPatch.context() as monkeypatch:
        interrupt(monkeypatch, 10)
        with pytest.raises(KeyboardInterrupt):
            quick(checkpoint=str(folder)).fit(X, Y)
    return (folder / checkpoint.FILE).read_bytes()


def altered(
    content: bytes, folder: Path, change: Callable[[dict[str, Any]], Any]
) -> bytes:
    """The run file with something changed, written as torch does."""
    (folder / "changed").write_bytes(content)
    state = torch.load(folder / "changed", weights_only=True)
    torch.save(change(state), folder / "changed")
    return (folder / "changed").read_bytes()


DAMAGE: dict[str, Callable[[bytes, Path], bytes]] = {
    "empty": lambda content, folder: b"",
    "short": lambda content, folder: content[:100],
    "half": lambda content, folder: content[: len(content) // 2],
    "nearly whole": lambda content, folder: content[:-1],
    "text": lambda content, folder: b"not a run",
    "other object": lambda content, folder: altered(
        content, folder, lambda state: [1, 2]
    ),
    "no seed": lambda content, folder: altered(
        content, folder, lambda state: {**state, "seed": None}
    ),
    "no run": lambda content, folder: altered(
        content, folder, lambda state: {"seed": 1, "fingerprint": "a"}
    ),
    "hollow run": lambda content, folder: altered(
        content, folder, lambda state: {**state, "run": {}}
    ),
    "no weights": lambda content, folder: altered(
        content,
        folder,
        lambda state: {**state, "run": {**state["run"], "model": {}}},
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_file_is_refused(
    damage: str, unfinished: bytes, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    content = DAMAGE[damage](unfinished, tmp_path)
    (folder / checkpoint.FILE).write_bytes(content)
    ot = quick(checkpoint=str(folder))
    with pytest.raises(ModelFileError, match=r"run\.pt: .*delete"):
        ot.fit(X, Y)
    assert (folder / checkpoint.FILE).read_bytes() == content
    assert not hasattr(ot, "map_")


OTHER: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "X": (X + 0.1 * X**2, Y, {}),
    "rows of X": (X[::-1], Y, {}),
    "Y": (X, Y[:-1], {}),
    "features": (np.hstack([X, X]), np.hstack([Y, Y]), {}),
    **{
        f"{name} = {value}": (X, Y, {name: value})
        for name, value in {
            "random_state": 1,
            "potential": "convex",
            "start": "identity",
            "scale": [1.0, 2.0],
            "tol": 1e-2,
            "max_steps": 21,
            "batch_size": 64,
            "learning_rate": 2e-2,
            "optimizer": torch.optim.SGD,
            "patience": 3,
            "dtype": "float64",
            "settings": {"ema_decay": 0.9},
        }.items()
    },
}


@pytest.mark.parametrize("other", OTHER)
def test_a_run_of_other_samples_or_settings_is_refused(
    other: str, unfinished: bytes, tmp_path: Path
) -> None:
    (tmp_path / checkpoint.FILE).write_bytes(unfinished)
    source, target, parameters = OTHER[other]
    with pytest.raises(
        ModelFileError,
        match=r"started with (other samples or settings|another `random_state`).*delete",
    ):
        quick(checkpoint=str(tmp_path), **parameters).fit(source, target)
    assert (tmp_path / checkpoint.FILE).read_bytes() == unfinished
    quick(checkpoint=str(tmp_path)).fit(X, Y).save(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_without_a_given_seed_the_run_brings_its_own(
    unfinished: bytes, tmp_path: Path
) -> None:
    (tmp_path / checkpoint.FILE).write_bytes(unfinished)
    ot = quick(checkpoint=str(tmp_path), random_state=None).fit(X, Y)
    assert same(weights(ot), weights(quick().fit(X, Y)))
