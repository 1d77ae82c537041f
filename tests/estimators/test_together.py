"""Processes that a launcher started fit together: what they hold is compared, brought together, or stays apart."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fits import PAIR, quick, same, weights
from ranked import outcomes

from brenier import DataError, DataWarning, OptimalTransport
from brenier.estimators import sharded, sides
from brenier.estimators import together as engine
from brenier.training import RankError, Ranks, place_of_process

X, Y = PAIR[0][:400], PAIR[1][:400]
OWN = threading.local()


class HeldByThread(threading.local):
    """What `HeldParts` is to a process."""

    def __init__(self) -> None:
        self.ranks, self.held = Ranks(), dict[str, Any]()


@pytest.fixture(autouse=True)
def threads_as_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every thread of `together` is a process that a launcher started."""
    held = HeldByThread()
    monkeypatch.setattr(sharded, "HELD", held)
    monkeypatch.setattr(engine, "HELD", held)
    monkeypatch.setattr(sides, "launched", lambda waiting: OWN.ranks)
    monkeypatch.setattr(sides, "follows", lambda alone=False: OWN.ranks.rank > 0)


Given = tuple[Any, Any, dict[str, Any]]


def fitted(
    size: int, given: Callable[[int], Given], steps: int = 6
) -> list[OptimalTransport | BaseException]:
    """What a fit gives on every rank."""

    def work(ranks: Ranks) -> OptimalTransport:
        OWN.ranks = ranks
        x, y, beside = given(ranks.rank)
        return quick(max_steps=steps, n_jobs=None).fit(x, y, **beside)

    return outcomes(size, work)


def alike(found: list[Any]) -> OptimalTransport:
    """All ranks have the same map; return it."""
    first, *others = found
    for each in found:
        if isinstance(each, BaseException):
            raise each
    assert first.diagnostics_["processes"] == len(found)
    for other in others:
        assert same(weights(other), weights(first))
        assert repr(other.history_) == repr(first.history_)  # with nan
        assert other.n_features_in_ == first.n_features_in_ == 2
    return first


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.arange(400) % 2


@pytest.mark.parametrize("kind", ["plain", "weights", "labels", "covariates"])
def test_the_same_samples_are_taken_once_and_parts_brought_together(
    kind: str, labels: np.ndarray
) -> None:
    of_rows = {
        "plain": {},
        "weights": {"source_weight": 1.0 + labels, "target_weight": 2.0 - labels},
        "labels": {"source_labels": labels, "target_labels": labels},
        "covariates": {
            "source_covariates": np.linspace(0, 1, 400),
            "target_covariates": np.linspace(0, 1, 400),
        },
    }[kind]
    cut = [slice(0, 150), slice(150, 400)]

    def part(rank: int) -> Given:
        own = cut[rank]
        return X[own], Y[own], {name: rows[own] for name, rows in of_rows.items()}

    whole = alike(fitted(2, lambda rank: (X, Y, of_rows)))
    parts = alike(fitted(2, part))
    assert same(weights(whole), weights(parts))
    assert whole.history_[-1]["value"] == parts.history_[-1]["value"]
    assert whole.n_features_in_ == 2


@pytest.mark.filterwarnings("ignore:the map of the network is wrong")
def test_names_of_columns_are_kept() -> None:
    x, y = (pd.DataFrame(side, columns=["a", "b"]) for side in (X, Y))
    found = fitted(2, lambda rank: (x[rank::2], y[rank::2], {}))
    alike(found)
    for each in found:
        assert isinstance(each, OptimalTransport)
        assert list(each.feature_names_in_) == ["a", "b"]


def test_streams_are_drawn_by_every_rank() -> None:
    drawn: list[int] = [0, 0, 0]

    def given(rank: int) -> Given:
        def source(n: int, generator: torch.Generator) -> torch.Tensor:
            drawn[rank] += n
            return torch.randn(n, 2, generator=generator)

        return (
            source,
            lambda n, generator: torch.randn(n, 2, generator=generator) + 2,
            {},
        )

    ot = alike(fitted(3, given, steps=20))
    assert min(drawn) > 20 * 128 / 4
    np.testing.assert_allclose(ot.transform(X), X + 2, atol=0.5)


@pytest.mark.filterwarnings(
    "ignore:the map of the network is wrong", "ignore:the fitted map is wrong"
)
def test_large_parts_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    few = engine.TogetherSettings(gathered_numbers=100)
    monkeypatch.setattr(engine, "TOGETHER", few)
    found = fitted(2, lambda rank: (X[rank::2], Y[rank::2], {}))
    alike(found)
    again = fitted(2, lambda rank: (X[rank::2], Y[rank::2], {}))
    assert same(weights(alike(found)), weights(alike(again)))


@pytest.mark.filterwarnings(
    "ignore:the map of the network is wrong", "ignore:the fitted map is wrong"
)
def test_uneven_parts_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    few = engine.TogetherSettings(gathered_numbers=100)
    monkeypatch.setattr(engine, "TOGETHER", few)
    told: list[tuple[str, type]] = []
    monkeypatch.setattr(engine, "warn", lambda *words: told.append(words))
    cut = [slice(0, 100), slice(100, 400)]
    alike(fitted(2, lambda rank: (X[cut[rank]], Y[cut[rank]], {})))
    assert all(kind is DataWarning for _, kind in told)
    assert told[0][0].startswith("X: the processes hold between 100 and 300 rows")


# ---- what does not fit together


def with_nan(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows[3, 1] = np.nan
    return rows


LABELS = np.arange(400) % 2
TABLE = pd.DataFrame(X, columns=["a", "b"])
TARGET = pd.DataFrame(Y, columns=["a", "b"])
UNLIKE: dict[str, tuple[Given, Given, str]] = {
    "features": (
        (X, Y, {}),
        (np.c_[X, X], np.c_[Y, Y], {}),
        r"X: rank 1 has 4 features, rank 0 has 2",
    ),
    "columns": (
        (TABLE, TARGET, {}),
        (TABLE.set_axis(["a", "c"], axis=1), TARGET.set_axis(["a", "c"], axis=1), {}),
        r"X: rank 1 has other columns than rank 0 .*b.*c",
    ),
    "order": (
        (TABLE, TARGET, {}),
        (TABLE[["b", "a"]], TARGET[["b", "a"]], {}),
        r"X: rank 1 has other columns than rank 0 \(another order\)",
    ),
    "labels": (
        (X, Y, {"source_labels": LABELS, "target_labels": LABELS}),
        (X, Y, {}),
        r"X: rank 1 has nothing beside its rows, rank 0 'labels'",
    ),
    "not a number": (
        (X, Y, {}),
        (with_nan(X), Y, {}),
        r"rank 1: X.*3",
    ),
    "an empty part": ((X, Y, {}), (X[:0], Y, {}), r"rank 1: X"),
    "no data": ((X, Y, {}), (None, None, {}), r"rank 1: X"),
    "labels of another length": (
        (X, Y, {"source_labels": LABELS, "target_labels": LABELS}),
        (X, Y, {"source_labels": LABELS[:7], "target_labels": LABELS}),
        r"rank 1|source_labels",
    ),
    "a stream and rows": (
        (X, Y, {}),
        (lambda n, generator: torch.randn(n, 2, generator=generator), Y, {}),
        r"X: rank 1 has samples of type drawn",
    ),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_what_does_not_fit_together_is_named_on_every_rank(name: str) -> None:
    first, other, match = UNLIKE[name]
    found = fitted(2, lambda rank: other if rank else first)
    words = [str(error) for error in found]
    assert all(isinstance(error, DataError) for error in found), words
    assert words[0] == words[1]
    with pytest.raises(DataError, match=match):
        raise found[0]  # type: ignore[misc]


def test_dtypes_that_differ_are_named() -> None:
    a: Any = (
        torch.tensor(X, dtype=torch.float32),
        torch.tensor(Y, dtype=torch.float32),
        {},
    )
    b: Any = (torch.tensor(X), torch.tensor(Y), {})
    found = fitted(2, lambda rank: b if rank else a)
    kinds = {type(each) for each in found}
    assert len(kinds) == 1
    if DataError in kinds:
        assert "type" in str(found[0])


def test_a_fault_before_training_is_the_same_on_every_rank() -> None:
    def work(ranks: Ranks) -> OptimalTransport:
        OWN.ranks = ranks
        return quick(n_jobs=None, cost="nonsense").fit(X, Y)

    found = outcomes(3, work)
    assert len({str(error) for error in found}) == 1
    assert all(isinstance(error, Exception) for error in found)
    assert not any(isinstance(error, RankError | TimeoutError) for error in found)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_fault_in_training_is_named_on_every_rank(
    lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brenier import Run

    advance = Run.advance

    def fails(run: Run[Any]) -> None:
        advance(run)
        if run.step == 3 and run.ranks.rank == lost:
            raise ZeroDivisionError("of rank")

    monkeypatch.setattr(Run, "advance", fails)
    found = fitted(3, lambda rank: (X, Y, {}))
    assert isinstance(found[lost], ZeroDivisionError)
    for error in found[:lost] + found[lost + 1 :]:
        assert isinstance(error, RankError)
        assert error.reason == f"rank {lost}: ZeroDivisionError: of rank"


def test_a_stream_that_fails_is_named_on_every_rank() -> None:
    def given(rank: int) -> Given:
        def source(n: int, generator: torch.Generator) -> torch.Tensor:
            rows = torch.randn(n, 2, generator=generator)
            if rank == 1:
                rows[0, 0] = float("nan")
            return rows

        return source, source, {}

    found = fitted(2, given)
    for error in found:
        assert isinstance(error, DataError | RankError), error
        assert "rank 1" in str(error) or "X" in str(error)


# ---- processes


SCRIPT = """
import sys, traceback
import numpy as np
from fits import PAIR, quick, weights
import torch, os
rank = int(os.environ["RANK"])
x, y = PAIR
try:
    if sys.argv[2] == "nan" and rank == 1:
        x = x.copy(); x[0, 0] = np.nan
    ot = quick(max_steps=10, n_jobs=None).fit(x[rank::2], y[rank::2])
    told = f"{ot.diagnostics_['processes']} {sum(float(w.double().sum()) for w in weights(ot).values())!r}"
except Exception as error:
    told = f"{type(error).__name__} {error}"
open(f"{sys.argv[1]}/{rank}", "w").write(told)
"""


def environment() -> dict[str, str]:
    paths = [str(Path(__file__).parents[1]), *sys.path]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": "1",
    }


def torchrun(folder: Path, what: str) -> list[str]:
    """What both ranks tell of a fit under torch's launcher."""
    script = folder / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    told = folder / "told"
    told.mkdir()
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words = [*command, "--nproc-per-node", "2", str(script), str(told), what]
    done = subprocess.run(
        words, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [(told / str(rank)).read_text(encoding="utf-8") for rank in (0, 1)]


def test_under_a_launcher(tmp_path: Path) -> None:
    first, second = torchrun(tmp_path, "plain")
    assert first == second
    assert first.startswith("2 ")


@pytest.mark.slow
def test_a_fault_under_a_launcher(tmp_path: Path) -> None:
    first, second = torchrun(tmp_path, "nan")
    assert first == second
    assert first.startswith("DataError rank 1: X")


@pytest.mark.slow
def test_a_port_in_use_is_named_on_the_first_rank_and_none_hangs(
    tmp_path: Path,
) -> None:
    script = (
        "import sys\nfrom brenier.training import launched, RankSettings\n"
        "try:\n    launched(RankSettings(start_seconds=5))\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", script],
                env={
                    **environment(),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": port,
                    "RANK": str(rank),
                    "WORLD_SIZE": "2",
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for rank in (0, 1)
        ]
        first, second = (each.communicate(timeout=200)[0] for each in processes)
    assert first.startswith("RankError")
    assert f"port {port} of the first rank is in use" in first
    assert second.startswith("RankError")
    assert port in second


# ---- where a process stands


LAUNCHER = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
SLURM = {
    "SLURM_PROCID": "5",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_ID": "12345",
}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, None),
        ({"RANK": "0", "WORLD_SIZE": "1"}, None),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"SLURM_PROCID": "0"}, None),
        (
            {**LAUNCHER, "MASTER_ADDR": "host", "MASTER_PORT": "1234"},
            (3, 4, 1, "host", 1234),
        ),
        (LAUNCHER, (3, 4, 1, "127.0.0.1", 29500)),
        (
            {**SLURM, "SLURM_STEP_NODELIST": "node[07-12,14]"},
            (5, 8, 1, "node07", 29845),
        ),
        ({**SLURM, "SLURM_NODELIST": "a1,b2"}, (5, 8, 1, "a1", 29845)),
        ({**SLURM, "SLURM_STEP_NODELIST": "n[3-4]-ib"}, (5, 8, 1, "n3-ib", 29845)),
        ({**SLURM, "SLURM_STEP_NODELIST": "one"}, (5, 8, 1, "one", 29845)),
        (
            {**SLURM, "MASTER_ADDR": "host", "MASTER_PORT": "99"},
            (5, 8, 1, "host", 99),
        ),
        (SLURM, (5, 8, 1, "127.0.0.1", 29845)),
    ],
)
def test_launchers_and_slurm_say_where_a_process_stands(
    said: dict[str, str],
    expected: tuple[Any, ...] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM", "MASTER")) or name in LAUNCHER:
            monkeypatch.delenv(name)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    place = place_of_process()
    if place is None:
        assert expected is None
    else:
        found = (place.rank, place.size, place.local, place.address, place.port)
        assert found == expected


def test_variables_that_are_no_numbers_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", "first")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RankError, match=r"variables are no numbers .*first"):
        place_of_process()
