"""Entries that are no numbers: the message names the column, the first row and the value."""

import datetime
import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from brenier import DataError
from brenier.datasets import read, read_covariates

N = 4
BASE = pd.DataFrame(np.ones((N, 3)), columns=["a", "b", "c"])
DAY = datetime.date(2020, 1, 1)
# name: (a column, the row of its first odd entry, how that is shown)
COLUMNS: dict[str, tuple[Any, int, str]] = {
    "text": (["u", "v", "u", "v"], 0, "'u'"),
    "one text": ([1.0, 2.0, "2.5", 3.0], 2, "'2.5'"),
    "dates": (pd.date_range("2020", periods=N), 0, "Timestamp('2020-01-01"),
    "zones": (pd.date_range("2020", periods=N, tz="UTC"), 0, "Timestamp('2020-01-01"),
    "days": ([DAY] * N, 0, "datetime.date(2020, 1, 1)"),
    "durations": (pd.to_timedelta([1, 2, 3, 4], unit="D"), 0, "Timedelta("),
    "periods": (pd.period_range("2020", periods=N), 0, "Period("),
    "missing": (pd.array([1, None, 2, 3], dtype="Int64"), 1, "<NA>"),
    "missing text": (pd.array(["a", None, "b", "c"], dtype="string"), 0, "'a'"),
    "categories": (pd.Categorical(["u", "v", "u", "v"]), 0, "'u'"),
    "lists": ([[1], [2], [3], [4]], 0, "[1]"),
    "objects": ([1.0, {}, 2.0, 3.0], 1, "{}"),
    "flags as objects": (
        pd.Series([True, False, True, False], dtype=object),
        0,
        "True",
    ),
    "complex": ([1j, 2, 3, 4], 0, "1j"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_frames_are_named(name: str) -> None:
    column, row, value = COLUMNS[name]
    frame = BASE.assign(station=column)
    told = re.escape(f"column 'station', row {row}: {value}")
    with pytest.raises(DataError, match=f"^X: .*{told}"):
        read(frame, "X")
    with pytest.raises(DataError, match=f"^c: .*{told}"):
        read_covariates(frame, "c", N)


@pytest.mark.parametrize(
    "column",
    [
        ["u", "v", "u", "v"],
        [DAY] * N,
        [datetime.timedelta(1)] * N,
        [datetime.time(1)] * N,
        [[1], [2], [3], [4]],
    ],
)
@pytest.mark.parametrize("make", [pl.DataFrame, pa.table])
def test_so_are_those_of_polars_and_pyarrow(make: Any, column: list[Any]) -> None:
    frame = make({"a": [1.0] * N, "station": column})
    with pytest.raises(DataError, match=r"^X: .*column 'station', row 0: "):
        read(frame, "X")


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (np.array([[1, "x"], [2, 3]], dtype=object), "row 0, column 1: 'x' is a str"),
        (np.array([["1", "2"]]), "row 0, column 0: '1' is a str"),
        (np.zeros((2, 2), "M8[D]"), "row 0, column 0: 1970-01-01 is a datetime64"),
        (np.array([[True], [False]], dtype=object), "True is a bool"),
        (np.array([[np.timedelta64(1, "D")]], dtype=object), "timedelta"),
    ],
)
def test_entries_of_arrays_are_named_by_place(given: Any, place: str) -> None:
    with pytest.raises(DataError, match=re.escape(place)):
        read(given, "X")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (
            pd.DataFrame(np.ones((2, 3)), columns=["M", "M", "A"]),
            "2 columns called 'M'",
        ),
        (pd.DataFrame(np.ones((2, 2)), columns=[1, 1]), "2 columns called 1"),
        (
            pd.DataFrame(
                np.ones((2, 2)),
                columns=pd.MultiIndex.from_tuples([("M", 1), ("M", 1)]),
            ),
            "2 columns called ('M', 1)",
        ),
        (pa.table([[1.0], [2.0]], names=["M", "M"]), "2 columns called 'M'"),
    ],
)
def test_columns_of_one_name_are_refused(given: Any, names: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"X: has {names}")):
        read(given, "X")


def test_columns_of_several_levels_are_read() -> None:
    names = pd.MultiIndex.from_tuples([("M", 1), ("M", 2)])
    assert read(pd.DataFrame(np.ones((2, 2)), columns=names), "X").shape == (2, 2)


DATES: dict[str, Any] = {
    "index": pd.date_range("2020", periods=N),
    "series": pd.Series(pd.date_range("2020", periods=N), name="when"),
    "array": np.array(["2020"] * N, dtype="M8[D]"),
    "durations": np.array([1] * N, dtype="m8[s]"),
    "days": [DAY] * N,
    "times": [datetime.datetime(2020, 1, 1)] * N,
    "stamps": [pd.Timestamp("2020")] * N,
    "scalars": [np.datetime64("2020")] * N,
    "periods": pd.period_range("2020", periods=N),
    "polars": pl.Series([DAY] * N),
    "text": ["1"] * N,
    "flags as objects": pd.Series([True, False] * 2, dtype=object),
    "complex": np.ones(N) * 1j,
    "dictionary": {"dose": [1.0] * N},
    "no columns": np.ones((N, 0)),
}


@pytest.mark.parametrize("name", DATES)
def test_covariates_are_as_strict_as_features(name: str) -> None:
    with pytest.raises(DataError, match=r"^c: ") as caught:
        read_covariates(DATES[name], "c", N)
    assert caught.value.argument == "c"


@pytest.mark.parametrize("given", [DAY, np.datetime64("2020"), pd.Timestamp("2020")])
def test_a_date_is_no_covariate_of_all_rows(given: Any) -> None:
    with pytest.raises(DataError, match=r"^c: are not numbers"):
        read_covariates(given, "c", N, 1)
