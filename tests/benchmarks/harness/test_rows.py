"""Rows are appended whole, and never rewritten."""

import threading
from functools import partial
from pathlib import Path

import pytest

from benchmarks.harness import Ledger, Row, rows


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger("trial", tmp_path, ("--dims", "2"))


def test_rows_are_appended_and_the_last_of_a_key_counts(ledger: Ledger) -> None:
    for error, seed in ((1.0, 0), (2.0, 1), (3.0, 0)):
        ledger.record("p", "m", seed, partial(dict, error=error))
    assert [row.numbers["error"] for row in rows.read(ledger.path)] == [1.0, 2.0, 3.0]
    assert [row.numbers["error"] for row in rows.latest(rows.read(ledger.path))] == [
        3.0,
        2.0,
    ]


def test_rows_of_several_writers_do_not_mix(ledger: Ledger) -> None:
    row = Row("trial", "p", "m", 0, "ok", "", [], {"text": "x" * 5000}, {}, {})

    def write() -> None:
        for _ in range(20):
            rows.append(ledger.path, row)

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert rows.read(ledger.path) == [row] * 80


def test_a_line_that_is_no_row_is_named(ledger: Ledger) -> None:
    ledger.path.write_text('{"benchmark": "trial"}\n')
    with pytest.raises(ValueError, match=r"trial.jsonl, line 1: is not a row"):
        rows.read(ledger.path)
    assert rows.read(ledger.folder / "absent.jsonl") == []


@pytest.mark.parametrize(
    "path", sorted(rows.RESULTS.glob("*.jsonl")), ids=lambda p: p.stem
)
def test_rows_of_earlier_versions_are_read(path: Path) -> None:
    found = rows.read(path)
    assert found
    assert {row.benchmark for row in found} == {path.stem}
    assert {row.status for row in found} <= {
        "ok",
        "unconverged",
        "non-finite",
        "failed",
    }
