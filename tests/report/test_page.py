"""Pages: which sections are on them, and that nothing half-written stays."""

from pathlib import Path

import pytest

from brenier.report.fit import distance_section, settings_section
from brenier.report.page import Section, write_report


def test_empty_sections_are_left_out(tmp_path: Path) -> None:
    sections = [
        Section("A", "a"),
        Section("B", ""),
        distance_section(None),
        settings_section({}),
    ]
    write_report(tmp_path / "page.md", "T", sections)
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == "# T\n\n## A\n\na\n"


def test_a_page_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.md"
    write_report(path, "Old", [])

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_report(path, "New", [])
    assert path.read_text(encoding="utf-8") == "# Old\n"
    assert list(tmp_path.iterdir()) == [path]
