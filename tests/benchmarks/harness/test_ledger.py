"""Whatever is measured becomes a row."""

import math
import warnings
from functools import partial
from pathlib import Path

import pytest

from benchmarks.harness import Ledger, rows
from benchmarks.harness.ledger import Measure
from benchmarks.harness.machine import ROOT


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger("trial", tmp_path, ("--dims", "2"))


def raiser() -> dict[str, float]:
    raise RuntimeError(f"no luck in {ROOT}/somewhere")


def test_a_row_carries_numbers_settings_and_provenance(ledger: Ledger) -> None:
    ledger.record("p", "m", 3, lambda: {"error": 0.5, "selected": "network"}, dim=2)
    (row,) = rows.read(ledger.path)
    assert (row.benchmark, row.problem, row.method, row.seed, row.status) == (
        "trial",
        "p",
        "m",
        3,
        "ok",
    )
    assert row.numbers == {"error": 0.5, "selected": "network"}
    assert row.settings == {"dim": 2}
    told = {
        "date",
        "commit",
        "command",
        "python",
        "torch",
        "numpy",
        "brenier",
        "processor",
        "cores",
        "threads",
    }
    told |= {"memory_gib", "wall_seconds", "peak_memory_mib"}
    assert told <= row.provenance.keys()
    assert row.provenance["command"] == "python -m benchmarks.trial --dims 2"
    assert row.provenance["peak_memory_mib"] > 10


@pytest.mark.parametrize(
    ("measure", "status", "message"),
    [
        (raiser, "failed", "RuntimeError: no luck in ./somewhere"),
        (lambda: {"error": math.nan, "w2": 1.0}, "non-finite", "not finite: error"),
        (
            lambda: {"error": 0.1, "unconverged": 7},
            "unconverged",
            "7 inner problems did not converge",
        ),
    ],
)
def test_failures_are_rows(ledger: Ledger, measure, status: str, message: str) -> None:
    row = ledger.record("p", "m", 0, measure)
    assert (row.status, row.message) == (status, message)
    assert rows.read(ledger.path) == [row]
    assert "NaN" not in ledger.path.read_text()


def test_warnings_are_kept_once_each(ledger: Ledger) -> None:
    def measure() -> dict[str, float]:
        for _ in range(2):
            warnings.warn("careful", UserWarning, stacklevel=1)
        return {}

    assert ledger.record("p", "m", 0, measure).warnings == ["careful"]


def test_a_failed_measurement_is_repeated_and_every_attempt_is_a_row(
    tmp_path: Path,
) -> None:
    ledger = Ledger("trial", tmp_path, retries=3)
    measures: list[Measure] = [raiser, raiser, partial(dict, error=1.0), raiser]
    attempts = iter(measures)
    row = ledger.record("p", "m", 0, lambda: next(attempts)())
    assert row.status == "ok"
    assert [row.status for row in rows.read(ledger.path)] == ["failed", "failed", "ok"]


def test_only_rows_that_are_missing_or_failed_are_wanted(tmp_path: Path) -> None:
    first = Ledger("trial", tmp_path)
    first.record("p", "good", 0, partial(dict, error=1.0))
    first.record("p", "unconverged", 0, partial(dict, unconverged=1))
    first.record("p", "repaired", 0, raiser)
    first.record("p", "repaired", 0, partial(dict, error=1.0))
    first.record("p", "broken", 0, partial(dict, error=1.0))
    first.record("p", "broken", 0, raiser)
    methods = ("good", "unconverged", "repaired", "broken", "new")
    assert all(first.wants("p", method, 0) for method in methods)
    second = Ledger("trial", tmp_path, missing=True)
    wanted = [method for method in methods if second.wants("p", method, 0)]
    assert wanted == ["broken", "new"]
    assert second.wants("p", "good", 1)
