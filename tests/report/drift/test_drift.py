"""Drift of one table: what is found where the truth is known, and what is said where it cannot be."""

import dataclasses
import json
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest
from report.drift.tables import machine

from brenier import DataError
from brenier.report import Drift, drift
from brenier.report.drift import DRIFT, reading


def one(reference: Any, current: Any, **options: Any) -> Drift:
    """Return the drift of one table, without a map unless asked for."""
    found = drift(reference, current, **{"map_": False, **options})
    assert isinstance(found, Drift)
    return found


REFERENCE = machine(1500, 0)


def check_sound(found: Drift) -> None:
    """Fail unless everything that a result says is finite and in order."""
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["drifted"] is found.drifted
    assert told["verdict"] == found.verdict()
    assert found.verdict() in found.statement()
    assert "nan" not in found.statement()
    for feature in found.features:
        for figure in (feature.displacement, feature.noise_floor):
            assert figure is None or figure >= 0
    known = [each.p_value for each in found.features if each.p_value is not None]
    assert known == sorted(known)


def test_a_shifted_number_is_named_first() -> None:
    found = one(REFERENCE, machine(1200, 1, shift=0.3))
    check_sound(found)
    assert found.drifted
    first = found.features[0]
    assert first.name == "a"
    assert first.kind == "number"
    assert "mean up by" in first.change
    assert first.displacement == pytest.approx(0.3, abs=0.1)
    assert first.displacement is not None
    assert first.noise_floor is not None
    assert first.displacement > 3 * first.noise_floor
    assert found.changed_features == (first,)
    assert found.rows == (1500, 1200)


def test_a_share_that_changed_is_named_first() -> None:
    found = one(REFERENCE, machine(1500, 2, red=0.45))
    check_sound(found)
    first = found.features[0]
    assert (first.name, first.kind) == ("colour", "category")
    assert "from 0.2" in first.change or "from 0.3" in first.change
    assert found.drifted


def test_an_unchanged_table_has_not_drifted() -> None:
    found = one(REFERENCE, machine(1500, 3))
    check_sound(found)
    assert not found.drifted
    assert "no drift is seen" in found.verdict().lower()
    assert {each.name for each in found.features} == set(REFERENCE.columns)


def test_the_order_of_columns_and_the_kind_of_frame_change_nothing() -> None:
    week = machine(400, 1, shift=0.2)
    told = one(REFERENCE, week).to_json()
    assert one(REFERENCE, week[["flag", "c", "colour", "a", "b"]]).to_json() == told
    assert one(REFERENCE, polars.DataFrame(week)).to_json() == told
    assert one(REFERENCE, pyarrow.table(dict(week))).to_json() == told


def test_arrays_are_compared_by_place() -> None:
    rng = np.random.default_rng(0)
    reference, week = rng.normal(size=(400, 3)), rng.normal(size=(300, 3))
    named = pandas.DataFrame(week + np.array([0, 1, 0]), columns=list("abc"))
    found = one(reference, named)
    assert found.features[0].name == "x1"
    with pytest.raises(DataError, match="current: has 2 columns, the reference 3"):
        one(reference, week[:, :2])


def test_columns_that_differ_are_named() -> None:
    week = machine(100, 1).rename(columns={"a": "A"})
    with pytest.raises(DataError, match=r"lacks column 'a' .* has column 'A'"):
        one(REFERENCE, week)
    found = one(REFERENCE, week, columns=["b", "colour"])
    assert {each.name for each in found.features} == {"b", "colour"}
    with pytest.raises(DataError, match="columns: there is no column 'z'"):
        one(REFERENCE, week, columns=["z"])


def test_a_column_of_another_kind_is_named() -> None:
    week = machine(100, 1)
    week["a"] = "low"
    with pytest.raises(
        DataError, match="'a' holds categories, in the reference numbers"
    ):
        one(REFERENCE, week)
    week = machine(100, 1)
    week["colour"] = 1.5
    with pytest.raises(DataError, match="'colour' holds numbers, in the reference cat"):
        one(REFERENCE, week)


def test_new_categories_are_drift() -> None:
    week = machine(400, 1)
    week.loc[:30, "colour"] = "violet"
    found = one(REFERENCE, week)
    check_sound(found)
    assert found.features[0].name == "colour"
    assert found.drifted
    assert "(new ones)" in found.features[0].current.shares  # type: ignore[union-attr]


def test_names_of_rows_and_dates_are_left_out_by_name() -> None:
    tables = []
    for seed in (0, 1):
        frame = machine(300, seed)
        frame["id"] = [f"unit {row}" for row in range(300)]
        frame["day"] = pandas.date_range("2020-01-01", periods=300)
        tables.append(frame)
    found = one(*tables)
    assert set(found.left_out) == {"id", "day"}
    assert "300 different categories" in found.left_out["id"]
    assert "'day' was not compared" in found.statement()
    with pytest.raises(DataError, match="columns: 'day' holds dates"):
        one(*tables, columns=["a", "day"])


def test_a_constant_column_is_left_out_until_it_changes() -> None:
    reference, same, other = machine(400, 0), machine(400, 1), machine(400, 1)
    for frame in (reference, same, other):
        frame["k"] = 5.0
    found = one(reference, same)
    assert "always 5" in found.left_out["k"]
    other.loc[:50, "k"] = 6.0
    found = one(reference, other)
    check_sound(found)
    assert found.drifted
    assert found.features[0].name == "k"
    assert "51 of 400 rows differ" in found.features[0].change


def test_categories_can_be_left_out_or_named() -> None:
    found = one(REFERENCE, machine(300, 1), categorical="leave out")
    assert {each.name for each in found.features} == {"a", "b", "c"}
    assert set(found.left_out) == {"colour", "flag"}
    reference, week = machine(600, 0), machine(600, 1)
    for frame, share in ((reference, 0.5), (week, 0.8)):
        draw = np.random.default_rng(0).random(len(frame)) < share
        frame["code"] = np.where(draw, 7, 9)
    found = one(reference, week, categorical=["code"])
    assert (found.features[0].name, found.features[0].kind) == ("code", "category")
    assert "'7'" in found.features[0].change or "'9'" in found.features[0].change


def test_rare_categories_are_looked_at_together() -> None:
    rng = np.random.default_rng(0)
    many = [f"town {k}" for k in range(60)]
    shares = 1 / np.arange(1, 61)
    tables = [
        pandas.DataFrame(
            {
                "a": rng.normal(size=3000),
                "town": rng.choice(many, 3000, p=shares / shares.sum()),
            }
        )
        for _ in range(2)
    ]
    found = one(*tables)
    check_sound(found)
    town = next(each for each in found.features if each.name == "town")
    assert len(town.reference.shares) == DRIFT.kept_levels + 1  # type: ignore[union-attr]
    assert any("'town'" in remark for remark in found.remarks)


class TestMissingValues:
    """The three policies."""

    reference, week = machine(600, 0), machine(500, 1)
    reference.loc[:9, "a"] = np.nan
    week.loc[5:104, "b"] = np.nan
    week.loc[100:109, "colour"] = None

    def test_an_error_names_column_and_row(self) -> None:
        with pytest.raises(DataError, match=r"reference: column 'a' has 10 .* row 0"):
            one(self.reference, self.week)
        with pytest.raises(DataError, match=r"current: column 'b' has 100 .* row 5 "):
            one(machine(600, 0), self.week)

    def test_rows_are_dropped_and_counted(self) -> None:
        found = one(self.reference, self.week, missing="drop")
        check_sound(found)
        assert found.missing == (10, 105)
        assert found.rows == (590, 395)
        assert "105 current" in found.statement()

    def test_gaps_are_filled_and_are_a_feature(self) -> None:
        found = one(self.reference, self.week, missing="fill")
        check_sound(found)
        assert found.rows == (600, 500)
        assert found.features[0].name == "missing: b"
        assert "always 'present'" in found.features[0].change
        assert "missing: c" not in [each.name for each in found.features]

    def test_a_week_without_any_whole_row_is_no_error(self) -> None:
        week = machine(50, 1)
        week["a"] = np.nan
        found = one(self.reference, week, missing="drop")
        check_sound(found)
        assert found.p_value is None
        assert found.missing == (10, 50)
        assert "nothing can be said" in found.verdict().lower()
        filled = one(self.reference, week, missing="fill")
        check_sound(filled)
        assert filled.drifted
        assert "missing: a" in [each.name for each in filled.changed_features]


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
@pytest.mark.parametrize("map_", [True, False])
def test_a_week_of_few_rows_gets_an_answer(rows: int, map_: bool) -> None:
    found = one(REFERENCE, machine(1500, 1).iloc[:rows], map_=map_)
    check_sound(found)
    assert found.rows == (1500, rows)
    assert found.distance is None
    if rows < 2:
        assert found.p_value is None
        assert not found.drifted
        assert found.remarks
    if map_ and rows:
        assert any("No map was fitted" in remark for remark in found.remarks)


def test_fewer_rows_than_features_get_an_answer() -> None:
    rng = np.random.default_rng(0)
    check_sound(one(rng.normal(size=(20, 40)), rng.normal(size=(10, 40)), map_=True))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"level": 0}, "level: is 0"),
        ({"level": "high"}, "level: is 'high'"),
        ({"missing": "guess"}, "missing: is 'guess'"),
        ({"map_": "maybe"}, "map_: is 'maybe'"),
        ({"max_time": -1}, "max_time: is -1"),
        ({"columns": []}, "columns: is empty"),
        ({"categorical": ["z"]}, "categorical: there is no column 'z'"),
        ({"permutations": 0}, "permutations"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(
    options: dict[str, Any], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        one(REFERENCE, machine(100, 1), **options)


def test_infinite_numbers_are_named() -> None:
    week = machine(100, 1)
    week.loc[17, "b"] = np.inf
    with pytest.raises(DataError, match="column 'b' holds inf in row 17"):
        one(REFERENCE, week)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e90])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_unit_of_a_column_changes_nothing(scale: float, dtype: str) -> None:
    if dtype == "float32":
        scale = min(max(scale, 1e-30), 1e30)
    rng = np.random.default_rng(0)
    reference, week = rng.normal(size=(2, 100, 2))
    plain = one(reference, week)
    told = one((scale * reference).astype(dtype), (scale * week).astype(dtype))
    check_sound(told)
    assert told.p_value == plain.p_value
    sizes = [each.displacement for each in plain.features]
    assert [each.displacement for each in told.features] == pytest.approx(sizes, rel=1e-4)  # fmt: skip


def test_wild_rows_do_not_hide_a_shift() -> None:
    reference, week = machine(1500, 0), machine(1500, 1, shift=0.3)
    reference.loc[3, "a"] = 1e9
    found = one(reference, week)
    check_sound(found)
    assert found.features[0].name == "a"
    assert any("Wild rows" in remark for remark in found.remarks)


def test_results_follow_from_the_seed() -> None:
    week = machine(300, 1, shift=0.1)
    assert one(REFERENCE, week, seed=3).to_json() == one(REFERENCE, week, seed=3).to_json()  # fmt: skip
    assert one(REFERENCE, week, seed=3).test != one(REFERENCE, week, seed=4).test


def test_many_rows_are_drawn_from(monkeypatch: pytest.MonkeyPatch) -> None:
    few = dataclasses.replace(DRIFT, sample_rows=500)
    monkeypatch.setattr(reading, "DRIFT", few)
    found = one(REFERENCE, machine(900, 1, shift=0.5))
    check_sound(found)
    assert found.rows == (1500, 900)
    assert found.test is not None
    assert found.test.rows == (500, 500)
    assert any("500 of 1,500" in remark for remark in found.remarks)
