"""Every table has a place, and agrees with the rows."""

import shutil
from pathlib import Path

import pytest

from benchmarks import tables
from benchmarks.harness.pages import BENCHMARKS, update

EVERY = tables.every()
PAGES = ["README.md", *(f"results/{benchmark.name}.md" for benchmark in EVERY)]


def test_every_benchmark_is_listed() -> None:
    files = [
        path.relative_to(BENCHMARKS)
        for path in BENCHMARKS.rglob("*.py")
        if "\nBENCHMARK = Benchmark(" in path.read_text()
    ]
    names = [".".join(path.with_suffix("").parts) for path in files]
    assert sorted(names) == sorted(tables.MODULES)


def test_every_benchmark_has_a_short_table_and_a_page() -> None:
    names = [table.name for benchmark in EVERY for table in benchmark.tables]
    assert len(names) == len(set(names))
    for benchmark in EVERY:
        assert {table.page for table in benchmark.tables} == {
            "README.md",
            f"results/{benchmark.name}.md",
        }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the pages, drawn again."""
    root = tmp_path_factory.mktemp("pages")
    (root / "results").mkdir()
    for page in PAGES:
        shutil.copy(BENCHMARKS / page, root / page)
    update([table for benchmark in EVERY for table in benchmark.tables], root=root)
    return root


@pytest.mark.parametrize("page", PAGES)
def test_pages_agree_with_the_rows(page: str, drawn: Path) -> None:
    found = (BENCHMARKS / page).read_text()
    assert (drawn / page).read_text() == found, "run `python -m benchmarks.tables`"
    tables_on_page = [
        table.name
        for benchmark in EVERY
        for table in benchmark.tables
        if table.page == page
    ]
    assert found.count("<!-- table:") == len(tables_on_page)


def test_the_readme_is_short() -> None:
    text = (BENCHMARKS / "README.md").read_text()
    assert len(text.splitlines()) < 720
