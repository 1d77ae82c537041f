"""Tables are drawn between their markers, and nothing else changes."""

from pathlib import Path

import pytest

from benchmarks.harness import Column, Ledger, Table, always
from benchmarks.harness.pages import fill, show, update


def test_tables_go_between_their_markers(tmp_path: Path) -> None:
    table = Table("t", "trial", (Column("error", "error"),))
    tables = table, table.short(always, "error")
    pages = [tmp_path / each.page for each in tables]
    (tmp_path / "results").mkdir()
    for page, each in zip(pages, tables, strict=True):
        page.write_text(
            f"above\n<!-- table:{each.name} -->\nold\n<!-- /table -->\nbelow\n"
        )
    update(tables, tmp_path, tmp_path)
    assert all("No rows yet" in page.read_text() for page in pages)
    Ledger("trial", tmp_path).record("p", "m", 0, lambda: {"error": 1.0})
    for _ in range(2):  # drawing twice changes nothing
        update(tables, tmp_path, tmp_path)
    for page, each in zip(pages, tables, strict=True):
        text = page.read_text()
        assert text.startswith(f"above\n<!-- table:{each.name} -->\n\n| ")
        assert "problem" in text.splitlines()[3]
        assert text.endswith("<!-- /table -->\nbelow\n")
        assert "old" not in text


def test_a_table_without_markers_is_named() -> None:
    with pytest.raises(ValueError, match=r"table:t: its markers occur 0 times"):
        fill("", {"t": ""})


def test_a_run_elsewhere_shows_its_tables_and_changes_no_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table("t", "trial", (Column("error", "error"),))
    Ledger("trial", tmp_path).record("p", "m", 0, lambda: {"error": 1.0})
    show((table, table.short()), tmp_path)
    assert capsys.readouterr().out.count("| problem |") == 1
