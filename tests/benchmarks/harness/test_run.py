"""Problems, methods and seeds become rows."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.harness import (
    Arguments,
    Benchmark,
    Choice,
    Column,
    Flags,
    Ledger,
    Table,
    rows,
)

PREPARED: list[tuple[int, int]] = []
FINISHED: list[Path] = []
BROKEN: set[str] = set()


def problems(flags: Flags) -> Iterator[Choice]:
    for dim in flags.dims:
        yield Choice(f"d={dim}", dim, {"dim": dim})


def methods(flags: Flags, dim: int) -> Iterator[Choice]:
    yield Choice("half", 0.5, {"fresh": flags.points})
    if dim > 2:
        yield Choice("double", 2.0)


@contextlib.contextmanager
def prepare(dim: int, seed: int, flags: Flags) -> Iterator[float]:
    PREPARED.append((dim, seed))
    yield float(dim)


def measure(dim: float, factor: float, seed: int, flags: Flags) -> dict[str, Any]:
    if factor == 2.0 and "double" in BROKEN:
        raise RuntimeError("no luck")
    return {"error": factor * dim + seed}


def finish(ledger: Ledger) -> None:
    FINISHED.append(ledger.folder)


BENCHMARK = Benchmark(
    "trial",
    "A trial.",
    problems,
    methods,
    measure,
    (Table("t", "trial", (Column("error", "error"),)),),
    Arguments(dims=(2, 4), fixed={"points": 7}),
    prepare,
    finish,
)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    for known in (PREPARED, FINISHED, BROKEN):
        known.clear()
    threads = str(torch.get_num_threads())

    def call(*flags: str) -> list[rows.Row]:
        BENCHMARK.main([*flags, "--out", str(tmp_path), "--threads", threads])
        return rows.read(tmp_path / "trial.jsonl")

    return call


def test_there_is_a_row_for_every_problem_seed_and_method(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run("--seeds", "0", "1")
    keys = [(row.problem, row.method, row.seed) for row in found]
    assert keys == [
        ("d=2", "half", 0),
        ("d=2", "half", 1),
        ("d=4", "half", 0),
        ("d=4", "double", 0),
        ("d=4", "half", 1),
        ("d=4", "double", 1),
    ]
    assert [row.numbers["error"] for row in found] == [1.0, 2.0, 2.0, 8.0, 3.0, 9.0]
    assert found[0].settings == {"dim": 2, "fresh": 7}
    assert found[3].settings == {"dim": 4}
    assert str(tmp_path) not in found[0].provenance["command"]
    assert PREPARED == [(2, 0), (2, 1), (4, 0), (4, 1)]
    assert [tmp_path] == FINISHED
    assert "| d=4 | double | 2 | 8.5 | ok |" in capsys.readouterr().out


def test_what_is_there_is_left_and_what_failed_is_repeated(run: Any) -> None:
    BROKEN.add("double")
    assert [row.status for row in run("--dims", "4")] == ["ok", "failed"]
    BROKEN.clear()
    PREPARED.clear()
    found = run("--missing")
    assert [(row.problem, row.method, row.status) for row in found[2:]] == [
        ("d=2", "half", "ok"),
        ("d=4", "double", "ok"),
    ]
    assert len(run("--missing")) == 4
    assert PREPARED == [(2, 0), (4, 0)]
