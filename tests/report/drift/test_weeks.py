"""Several weeks against one reference."""

import dataclasses

import numpy as np
import pandas
import pytest
from report.drift.tables import machine

from brenier import DataError
from brenier.report import Drift, DriftReference, DriftStudy, drift
from brenier.report.drift.weeks import holm

REFERENCE = machine(1000, 0)
WEEKS = {"one": machine(400, 1), "two": machine(400, 2, shift=0.5), "three": machine(1, 3)}  # fmt: skip


def study_of(weeks: dict[str, pandas.DataFrame]) -> DriftStudy:
    """Return what is found of weeks, without maps."""
    found = drift(REFERENCE, weeks, map_=False)
    assert isinstance(found, DriftStudy)
    return found


def test_each_week_is_compared_and_the_p_values_adjusted() -> None:
    study = study_of(WEEKS)
    assert [week.name for week in study.weeks] == ["one", "two", "three"]
    assert [week.drifted for week in study.weeks] == [False, True, False]
    assert study.drifted
    two = study.weeks[1]
    assert two.p_value is not None
    assert two.adjusted_p_value == pytest.approx(2 * two.p_value)  # three says nothing
    assert study.weeks[2].adjusted_p_value is None
    assert "1 of 3 tables drifted: two" in study.verdict()
    assert "of three nothing can be said" in study.verdict()
    assert study.to_json()["weeks"][1]["drifted"] is True
    assert "for all tables together" in two.verdict()


def test_a_column_names_the_weeks() -> None:
    parts = [frame.assign(week=7 + k) for k, frame in enumerate(WEEKS.values())]
    joined = pandas.concat(parts, ignore_index=True)
    order = np.random.default_rng(0).permutation(len(joined))
    found = drift(REFERENCE, joined, by="week", map_=False)
    assert isinstance(found, DriftStudy)
    assert [week.name for week in found.weeks] == ["7", "8", "9"]
    assert [week.rows[1] for week in found.weeks] == [400, 400, 1]
    alone = study_of(WEEKS)
    for week, other in zip(found.weeks, alone.weeks, strict=True):
        assert week.p_value == other.p_value
    shuffled = drift(REFERENCE, joined.iloc[order], by="week", map_=False)
    assert isinstance(shuffled, DriftStudy)
    assert {week.name for week in shuffled.weeks if week.drifted} == {"8"}


def test_the_weeks_column_of_the_reference_is_no_feature() -> None:
    joined = pandas.concat([WEEKS["one"].assign(week=1), WEEKS["two"].assign(week=2)])
    found = drift(REFERENCE.assign(week=0), joined, by="week", map_=False)
    assert isinstance(found, DriftStudy)
    assert [week.drifted for week in found.weeks] == [False, True]
    assert "week" not in [each.name for each in found.weeks[0].features]


def test_the_weeks_column_must_be_there_and_filled() -> None:
    joined = machine(10, 1).assign(week="a")
    with pytest.raises(DataError, match="by: there is no column 'day'"):
        drift(REFERENCE, joined, by="day")
    joined.loc[3, "week"] = None
    with pytest.raises(DataError, match="by: column 'week' is empty in row 3"):
        drift(REFERENCE, joined, by="week")
    with pytest.raises(DataError, match="by: is given, but current holds several"):
        drift(REFERENCE, WEEKS, by="week")
    with pytest.raises(DataError, match="current: holds no table"):
        drift(REFERENCE, {})


def test_a_fault_names_the_week() -> None:
    weeks = {**WEEKS, "two": WEEKS["two"].drop(columns="b")}
    with pytest.raises(DataError, match=r"current\['two'\]: lacks column 'b'"):
        study_of(weeks)


def test_holm_steps_down() -> None:
    week = study_of({"a": WEEKS["one"]}).weeks[0]

    def with_p(p: float | None) -> Drift:
        return dataclasses.replace(week, p_value=p, adjusted_p_value=p)

    found = holm([with_p(p) for p in (0.03, 0.01, None, 0.04, 0.01)])
    assert [each.adjusted_p_value for each in found] == pytest.approx(
        [0.06, 0.04, None, 0.06, 0.04]
    )
    # With no ties, as the textbook has it.
    found = holm([with_p(p) for p in (0.9, 0.001, 0.02)])
    assert [each.adjusted_p_value for each in found] == pytest.approx([0.9, 0.003, 0.04])  # fmt: skip


def test_permutations_are_enough_for_many_weeks() -> None:
    rng = np.random.default_rng(0)
    weeks = {str(k): rng.normal(size=(30, 2)) for k in range(9)}
    weeks["9"] = rng.normal(size=(30, 2)) + 3
    found = drift(rng.normal(size=(60, 2)), weeks, map_=False, permutations=99)
    assert isinstance(found, DriftStudy)
    assert [week.name for week in found.weeks if week.drifted] == ["9"]
    assert any("raised from 99 to 199" in each for each in found.weeks[0].remarks)


def test_a_fitted_reference_says_the_same_as_its_table() -> None:
    reference = DriftReference.fit(REFERENCE, map_=False)
    found = drift(reference, WEEKS, map_=False)
    assert found.to_json() == study_of(WEEKS).to_json()
    with pytest.raises(DataError, match="missing: differs from what the reference"):
        drift(reference, WEEKS, missing="drop")
    with pytest.raises(DataError, match="columns: differs from what the reference"):
        drift(reference, WEEKS, columns=["a"])
