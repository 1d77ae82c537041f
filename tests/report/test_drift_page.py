"""The page of drift: what it shows of one table, of several, of many features, and of hardly any row."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brenier.report import (
    DRIFT_PAGE,
    Drift,
    DriftStudy,
    drift,
    drift_report,
    drifted_weeks,
    feature_rows,
    said_of_weeks,
    surely_changed,
    week_rows,
)

LONG = "temperature of the second bearing | degrees"


def table(
    seed: int, rows: int = 200, shift: float = 0.0, columns: int = 3
) -> pd.DataFrame:
    """Numbers, the first of which may be shifted, and a category."""
    rng = np.random.default_rng(seed)
    names = [LONG, *(f"x{k}" for k in range(1, columns))]
    frame = pd.DataFrame(rng.normal(size=(rows, columns)), columns=names)
    frame[LONG] += shift
    return frame.assign(kind=rng.choice(["red", "blue", "$x$"], rows))


REFERENCE = table(0)


def compared(current: pd.DataFrame | dict[str, pd.DataFrame]) -> Drift | DriftStudy:
    """What a quick comparison finds."""
    return drift(REFERENCE, current, map_=False, permutations=99)


def headings(page: Path) -> list[str]:
    """The headings of a page."""
    return re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE)


def pictures(page: Path) -> list[str]:
    """The pictures that a page shows, all of which are there."""
    found = re.findall(r"!\[.*?\]\((.*?)\)", page.read_text())
    assert all((page.parent / name).exists() for name in found)
    return found


def test_the_page_of_a_table_that_drifted(tmp_path: Path) -> None:
    found = compared(table(1, shift=1.0))
    assert isinstance(found, Drift)
    page = drift_report(tmp_path / "page", "Drift", found)
    assert headings(page) == [
        "Verdict",
        "Features",
        "What was compared",
        "What the test can and cannot say",
    ]
    assert pictures(page) == ["displacements.png", "distributions.png"]
    text = page.read_text()
    assert f"## Verdict\n\n{found.verdict()}\n" in text
    moved = [line for line in text.splitlines() if "| moved |" in line]
    assert moved[0].startswith("| temperature of the second bearing \\| degrees | ")


def test_a_map_adds_distance_and_rows(tmp_path: Path) -> None:
    found = drift(REFERENCE, table(1, shift=1.0), permutations=99, max_time=2)
    assert isinstance(found, Drift)
    assert found.distance is not None
    page = drift_report(tmp_path, "Drift", found)
    assert "Rows that moved most" in headings(page)
    text = page.read_text()
    assert f"W2 = {found.distance.w2:.3g}, 95 % interval " in text
    shown = text.split("## Rows that moved most")[1].split("##")[0]
    numbers = re.findall(r"^\| (\d+) \|", shown, re.MULTILINE)
    assert numbers == [
        str(each.row) for each in found.moved_rows[: DRIFT_PAGE.max_rows]
    ]


def test_the_page_of_several_weeks(tmp_path: Path) -> None:
    weeks = {f"w{k}": table(k + 1, shift=float(k % 4 == 3)) for k in range(8)}
    found = compared(weeks)
    assert isinstance(found, DriftStudy)
    assert drifted_weeks(found.weeks) == [3, 7]
    page = drift_report(tmp_path, "Drift", found)
    assert headings(page)[:4] == ["Verdict", "Weeks", "Features: w3", "Features: w7"]
    assert pictures(page) == [
        "weeks.png",
        *("week-4-displacements.png", "week-4-distributions.png"),
        *("week-8-displacements.png", "week-8-distributions.png"),
    ]
    header, rows = week_rows(found.weeks)
    assert "W2" not in header
    assert [row[0] for row in rows if "DRIFT" in row] == ["w3", "w7"]


def test_of_many_drifted_weeks_the_surest_have_a_section(tmp_path: Path) -> None:
    weeks = {f"w{k}": table(k + 1, rows=60, shift=1.5) for k in range(9)}
    found = compared(weeks)
    assert isinstance(found, DriftStudy)
    page = drift_report(tmp_path, "Drift", found)
    most = DRIFT_PAGE.max_weeks
    sections = [each for each in headings(page) if each.startswith("Features")]
    assert len(sections) == most
    assert f"Below are the {most} of the 9 drifted weeks" in page.read_text()


def test_of_many_features_the_first_are_shown(tmp_path: Path) -> None:
    first, second = table(0, columns=70), table(1, columns=70)
    found = drift(first, second, map_=False, permutations=99)
    assert isinstance(found, Drift)
    text = drift_report(tmp_path, "Drift", found).read_text()
    assert f"{71 - DRIFT_PAGE.max_features} more features moved less" in text
    assert len(feature_rows(found, 10)[1]) == 10


@pytest.mark.parametrize("rows", [1, 2])
def test_a_week_of_hardly_any_row_has_a_page(rows: int, tmp_path: Path) -> None:
    page = drift_report(tmp_path, "Drift", compared(table(1, rows=rows)))
    assert pictures(page)[0] == "displacements.png"
    assert ("Nothing can be said" in page.read_text()) == (rows == 1)


def test_no_feature_is_marked_where_no_drift_is_seen() -> None:
    found = compared(table(1, shift=1.0))
    assert isinstance(found, Drift)
    assert [each.name for each in surely_changed(found)][:1] == [LONG]
    unsure = Drift(**{**vars(found), "adjusted_p_value": 0.3})
    assert surely_changed(unsure) == ()
    assert not [row for row in feature_rows(unsure, 9)[1] if "moved" in row]


def test_what_is_said_of_all_weeks_is_said_once() -> None:
    weeks = {f"w{k}": table(k + 1, rows=1 if k else 80) for k in range(7)}
    found = compared(weeks)
    assert isinstance(found, DriftStudy)
    lines = said_of_weeks(found.weeks)
    (few,) = [line for line in lines if line.startswith("6 of 7 weeks, such as w1: ")]
    assert "row" in few
    assert len(set(lines)) == len(lines) < 4
