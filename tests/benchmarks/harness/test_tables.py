"""Tables are drawn from rows alone, and show failures."""

from functools import partial
from pathlib import Path

import pytest

from benchmarks.harness import Column, Ledger, Row, Table, always, rows
from benchmarks.harness.machine import ROOT


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger("trial", tmp_path, ("--dims", "2"))


def raiser() -> dict[str, float]:
    raise RuntimeError(f"no luck in {ROOT}/somewhere")


def some_rows(ledger: Ledger) -> list[Row]:
    for seed, error in ((0, 1.0), (1, 2.0), (2, 6.0)):
        ledger.record(
            "d=2", "good", seed, partial(dict, error=error, met=error < 5), dim=2
        )
    ledger.record("d=16", "bad", 0, raiser, dim=16)
    return rows.read(ledger.path)


def test_a_table_is_drawn_from_rows_alone(ledger: Ledger) -> None:
    columns = (
        Column("error", "error", ".2f"),
        Column("worst", "error", ".1f", max),
        Column("met", "met"),
    )
    drawn = Table("t", "trial", columns).draw(some_rows(ledger)).splitlines()
    assert drawn[0] == "| problem | method | seeds | error | worst | met | status |"
    assert drawn[2] == "| d=2 | good | 3 | 2.00 | 6.0 | no | ok |"
    assert (
        drawn[3]
        == "| d=16 | bad | 1 | – | – | – | failed: RuntimeError: no luck in ./somewhere |"
    )
    assert drawn[-1].startswith("*4 rows of `results/trial.jsonl`")


def test_a_group_shows_its_failures(ledger: Ledger) -> None:
    ledger.record("p", "m", 0, lambda: {"error": 1.0})
    ledger.record("p", "m", 1, raiser)
    line = (
        Table("t", "trial", (Column("error", "error"),))
        .draw(rows.read(ledger.path))
        .splitlines()[2]
    )
    assert (
        line
        == "| p | m | 2 | 1 | 1 of 2 ok; failed: RuntimeError: no luck in ./somewhere |"
    )


def test_one_line_per_seed_where_asked(ledger: Ledger) -> None:
    drawn = Table(
        "t",
        "trial",
        (Column("error", "error"),),
        lambda row: row.seed < 2,
        by_seed=True,
    )
    assert len(drawn.draw(some_rows(ledger)).splitlines()) == 2 + 3 + 2


def test_a_short_table_has_fewer_rows_and_columns(ledger: Ledger) -> None:
    columns = Column("error", "error", ".2f"), Column("met", "met")
    table = Table("t", "trial", columns, lambda row: row.seed < 2)
    short = table.short(lambda row: row.method == "good", "met")
    assert (short.name, short.page, table.page) == (
        "t-short",
        "README.md",
        "results/trial.md",
    )
    assert short.draw(some_rows(ledger)).splitlines() == [
        "| [problem](results/trial.md) | method | seeds | met | status |",
        "|---|---|---|---|---|",
        "| d=2 | good | 2 | yes | ok |",
    ]
    assert table.short(always).columns == columns
