"""Reports: what is on the page, that its figures are there, and that nothing half-written stays."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from brenier import DataWarning, OptimalTransport
from brenier.report import fit as report
from brenier.report import page, tables
from brenier.report.page import Section
from brenier.transport.maps import round_trip

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 3)), np.sinh(RNG.normal(size=(250, 3)))


@pytest.fixture(scope="module")
def ot() -> OptimalTransport:
    """A fitted map."""
    return OptimalTransport("convex", max_steps=20, batch_size=64, random_state=0).fit(
        X, Y
    )


def test_report_of_a_fit(ot: OptimalTransport, tmp_path: Path) -> None:
    page = report.fit_report(
        tmp_path / "new",
        "A | title",
        ot,
        torch.tensor(X),
        torch.tensor(Y),
        [Section("More", "Said.")],
    )
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# A | title\n\n## Distance\n\n* W2 = ")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == [
        "Distance",
        "Round trip",
        "More",
        "Training",
        "Settings",
        "Figures",
    ]
    assert "| potential | convex |" in text
    assert "0 of 300 rows unconverged" in text
    figures = re.findall(r"!\[.+\]\((\S+)\)", text)
    assert len(figures) == 4
    assert {path.name for path in page.parent.iterdir()} == {"report.md", *figures}


def test_report_without_matplotlib_has_no_figures_and_says_so(
    ot: OptimalTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.warns(DataWarning, match=r"brenier\[plots\]"):
        page = report.fit_report(
            tmp_path, "Title", ot, torch.tensor(X), torch.tensor(Y)
        )
    assert "Figures" not in page.read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


def test_round_trip_is_relative_to_the_spread(ot: OptimalTransport) -> None:
    trip = round_trip(ot.map_, torch.tensor(X))
    assert trip.errors.shape == (300,)
    assert np.median(trip.errors) == pytest.approx(
        ot.diagnostics_["round_trip"], abs=1e-4
    )
    assert trip.statement().endswith("0 of 300 rows unconverged.")


def test_training_excerpt_holds_the_first_and_the_last_row() -> None:
    history = [
        {
            "step": float(i),
            "seconds": i / 10,
            "value": -float(i),
            "train_value": float("nan"),
            "setbacks": 0,
        }
        for i in range(100)
    ]
    body = report.training_section(history, "budget").body
    steps = [int(step) for step in re.findall(r"^\| (\d+) \|", body, re.MULTILINE)]
    assert steps[0] == 0
    assert steps[-1] == 99
    assert len(steps) == report.EXCERPT
    assert "nan" not in body
    assert report.training_section([], "").body == ""


def test_empty_sections_are_left_out(tmp_path: Path) -> None:
    sections = [
        Section("A", "a"),
        Section("B", ""),
        report.distance_section(None),
        report.settings_section({}),
    ]
    page.write_report(tmp_path / "page.md", "T", sections)
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == "# T\n\n## A\n\na\n"


def test_a_page_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "page.md"
    page.write_report(path, "Old", [])

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        page.write_report(path, "New", [])
    assert path.read_text(encoding="utf-8") == "# Old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_tables_of_either_kind() -> None:
    rows = [["a|b", 1, 0.123456, None], ["c", True, float("nan"), "x"]]
    markdown = tables.markdown_table(["name", "n", "value", "text"], rows).splitlines()
    assert markdown[0] == "| name | n | value | text |"
    assert markdown[2] == "| a\\|b | 1 | 0.1235 | – |"
    plain = tables.text_table(["name", "n", "value", "text"], rows).splitlines()
    assert len({len(line) for line in plain}) == 1
    assert plain[2].split() == ["c", "True", "–", "x"]
