"""Tables of numbers and categories, of any container."""

import datetime
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest
import torch

from brenier import DataError
from brenier.datasets import read_mixed

COLUMNS: dict[str, list[Any]] = {
    "number": [1.5, None, 3.0],
    "text": ["x", "y", None],
    "flag": [True, False, None],
    "whole": [1, 2, 3],
    "day": [datetime.date(2020, 1, day) for day in (1, 2, 3)],
    "nothing": [None, None, None],
}
KINDS = {
    "number": "number",
    "text": "category",
    "flag": "category",
    "whole": "number",
    "day": "dates",
    "nothing": "empty",
}


@pytest.mark.parametrize(
    "table",
    [pandas.DataFrame(COLUMNS), polars.DataFrame(COLUMNS), pyarrow.table(COLUMNS)],
    ids=["pandas", "polars", "pyarrow"],
)
def test_a_frame_of_any_kind_reads_the_same(table: Any) -> None:
    found = read_mixed(table, "current")
    assert {column.name: column.kind for column in found.columns} == KINDS
    assert found.rows == 3
    assert found.column("number").missing.tolist() == [False, True, False]
    text = found.column("text")
    assert text.levels == ("x", "y")
    assert text.values.tolist() == [0, 1, -1]
    assert set(found.column("flag").levels) == {"True", "False"}


@pytest.mark.parametrize(
    "table",
    [np.ones((4, 2)), torch.ones(4, 2), [[1, 2.5]] * 4, np.ones((4, 2), dtype=object)],
    ids=["array", "tensor", "lists", "objects"],
)
def test_an_array_has_numbered_columns_of_numbers(table: Any) -> None:
    found = read_mixed(table, "current")
    assert found.names == ("x0", "x1")
    assert not found.named
    assert {column.kind for column in found.columns} == {"number"}


def test_masked_entries_are_missing() -> None:
    values = np.ma.masked_array(np.arange(6.0).reshape(3, 2), np.eye(3, 2, dtype=bool))
    first, second = read_mixed(values, "current").columns
    assert first.kind == second.kind == "number"
    assert first.missing.tolist() == [True, False, False]
    assert second.missing.tolist() == [False, True, False]


def test_numbers_are_not_copied() -> None:
    values = np.random.default_rng(0).normal(size=(10, 2))
    column = read_mixed(values, "current").columns[1]
    assert np.shares_memory(column.values, values)


def test_pandas_categories_and_marks_of_missing_values_are_read() -> None:
    frame = pandas.DataFrame(
        {
            "kind": pandas.Categorical(["b", None, "a"]),
            "count": pandas.array([1, None, 3], dtype="Int64"),
        }
    )
    found = read_mixed(frame, "current")
    kind, count = found.columns
    assert [kind.levels[place] if place >= 0 else None for place in kind.values] == ["b", None, "a"]  # fmt: skip
    assert count.kind == "number"
    assert count.missing.tolist() == [False, True, False]


def test_a_named_column_of_numbers_is_one_of_categories() -> None:
    frame = pandas.DataFrame({"code": [3, 1, 3], "other": [1.0, 2.0, np.nan]})
    code, other = read_mixed(frame, "current", ["code", "other"]).columns
    assert code.levels == ("1", "3")
    assert code.values.tolist() == [1, 0, 1]
    assert other.levels == ("1", "2")
    assert other.values.tolist() == [0, 1, -1]


def test_rows_and_columns_can_be_taken() -> None:
    table = read_mixed(pandas.DataFrame(COLUMNS), "current")
    part = table.take(np.array([2, 0]), "week 1").without("day")
    assert part.argument == "week 1"
    assert part.rows == 2
    assert "day" not in part.names
    assert part.column("whole").values.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (None, "current: .*None"),
        (3, "has shape"),
        ([1, 2, 3], "has shape"),
        ({"a": [1]}, "is a dict"),
        (pandas.DataFrame(), "no columns"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "2 columns called 'a'"),
        (pandas.DataFrame({"a": ["1", "2", "3", "<0.5"]}), "'a' holds '<0.5' in row 3"),
    ],
)
def test_what_is_no_table_is_refused_by_name(table: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        read_mixed(table, "current")


def test_columns_of_odd_things_are_named_as_such() -> None:
    frame = pandas.DataFrame({"a": [[1], [2]], "b": [1j, 2j], "c": [(1,), (2,)]})
    kinds = [column.kind for column in read_mixed(frame, "current").columns]
    assert kinds == ["list objects", "complex numbers", "tuple objects"]
