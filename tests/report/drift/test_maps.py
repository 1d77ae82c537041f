"""Maps between two tables: distances, displacements under the map, and the rows that moved."""

import numpy as np
import pandas
import pytest
from report.drift.tables import machine

from brenier.report import Drift, DriftReference, DriftStudy, drift
from brenier.report.drift import DRIFT, maps


@pytest.fixture(scope="module")
def found() -> Drift:
    """What is found where some rows of one column are faulty."""
    reference, week = machine(600, 0), machine(500, 1)
    for frame in (reference, week):
        frame["b"] = 100 + 10 * frame["b"]
    week.loc[:59, "b"] += 40.0
    few = pytest.MonkeyPatch()
    few.setattr(type(DRIFT), "steps", lambda self, columns: 30)
    try:
        each = drift(reference, week, seed=0)
    finally:
        few.undo()
    assert isinstance(each, Drift)
    return each


def test_the_distance_has_an_interval_in_standard_units(found: Drift) -> None:
    assert found.distance is not None
    low, high = found.distance.interval
    assert 0.5 < low < found.distance.w2 < high < 2.5
    assert "standard deviations of the reference" in found.statement()


def test_displacements_are_those_of_the_map(found: Drift) -> None:
    first = found.features[0]
    assert first.name == "b"
    assert first.displacement is not None
    assert first.noise_floor is not None
    assert first.displacement > 5 * first.noise_floor
    for other in found.features[1:]:
        assert other.displacement is not None
        assert other.displacement < first.displacement / 2


def test_the_rows_that_moved_most_are_the_faulty_ones(found: Drift) -> None:
    assert len(found.moved_rows) == DRIFT.moved_rows
    sizes = [each.displacement for each in found.moved_rows]
    assert sizes == sorted(sizes, reverse=True)
    faulty = [each for each in found.moved_rows if each.row < 60]
    assert len(faulty) >= 0.8 * len(found.moved_rows)
    for each in faulty:
        assert next(iter(each.features)) == "b"
        assert each.features["b"] > 1


def test_rows_are_numbered_as_in_the_table_given() -> None:
    reference = pandas.DataFrame(np.random.default_rng(0).normal(size=(400, 2)))
    week = pandas.DataFrame(np.random.default_rng(1).normal(size=(300, 2)))
    week.loc[:99, 0] = np.nan  # these rows are dropped
    week.loc[200:, 1] += 5.0
    each = drift(reference, week, missing="drop", max_time=5)
    assert isinstance(each, Drift)
    assert each.rows == (400, 200)
    assert min(row.row for row in each.moved_rows) >= 200


def test_no_map_is_a_sentence() -> None:
    rng = np.random.default_rng(0)
    many = DRIFT.most_map_columns + 1
    reference, week = rng.normal(size=(2, 600, many))
    each = drift(reference, week, permutations=19, level=0.1)
    assert isinstance(each, Drift)
    assert each.distance is None
    assert any("ask for it with map_=True" in remark for remark in each.remarks)
    reference[:] = 0
    week[:] = 0
    week[:50, 0] = 1
    each = drift(reference[:, :2], week[:, :2], permutations=19, level=0.1)
    assert isinstance(each, Drift)
    assert each.drifted
    assert each.left_out == {"x1": "is always 0, in the reference and now"}
    assert any("no feature varies in the reference" in told for told in each.remarks)


def test_of_many_weeks_only_drifted_ones_have_a_map(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type(DRIFT), "steps", lambda self, columns: 5)
    rng = np.random.default_rng(0)
    shifts = [0.0] * DRIFT.many_tables + [1.0]
    weeks = {str(k): rng.normal(size=(150, 2)) + shift for k, shift in enumerate(shifts)}  # fmt: skip
    found = drift(rng.normal(size=(300, 2)), weeks)
    assert isinstance(found, DriftStudy)
    *same, last = found.weeks
    assert last.distance is not None
    assert same[0].distance is None
    assert any("tables are many" in remark for remark in same[0].remarks)


def test_a_reference_keeps_the_noise_of_its_map(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type(DRIFT), "steps", lambda self, columns: 10)
    reference = DriftReference.fit(machine(300, 0))
    assert reference.mapped is not None
    assert len(reference.mapped.moved) == len(reference.rules)
    monkeypatch.setattr(maps, "OptimalTransport", None)  # no second fit
    assert reference.with_map_noise(maps.MapOptions()) is reference
