"""Labels and covariates: what may be given, and what is wrong with the rest."""

import datetime
import decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from brenier import DataError
from brenier.datasets.conditions import (
    alike_as_text,
    grouped,
    is_single,
    label_numbers,
    label_text,
    labels_named,
    listed,
    read_covariates,
    read_labels,
)


@pytest.mark.parametrize(
    "convert", [list, np.array, torch.tensor, pd.Series, pl.Series, iter]
)
def test_labels_become_types_of_python(convert: Any) -> None:
    labels = read_labels(convert([3, 1, 3]), "labels", 3)
    assert labels == [3, 1, 3]
    assert all(type(label) is int for label in labels)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("abc", "must be a sequence of labels, one per row, got 'abc'"),
        (7, "must be a sequence of labels, one per row, got 7"),
        ([1, 2], "has 2 labels for 3 rows"),
        ([1, None, 2], "the label of row 1 is missing"),
        ([1, 2, float("nan")], "the label of row 2 is missing"),
        ([[1], 2, 3], "the label of row 0 is a list, which is not hashable"),
    ],
)
def test_faults_of_labels_name_their_argument(given: Any, fault: str) -> None:
    with pytest.raises(DataError, match=f"^Y_labels: {fault}") as caught:
        read_labels(given, "Y_labels", 3)
    assert caught.value.argument == "Y_labels"


@pytest.mark.parametrize("given", [[0.5, 2.0, 1.0], np.array([[0.5], [2], [1]])])
def test_covariates_are_rows_of_float64(given: Any) -> None:
    found = read_covariates(given, "c", 3)
    assert found.dtype == torch.float64
    assert found.tolist() == [[0.5], [2.0], [1.0]]


def test_covariates_of_one_row_are_meant_for_all() -> None:
    assert read_covariates([1, 2], "c", 3, 2).tolist() == [[1.0, 2.0]] * 3
    assert read_covariates(4, "c", 2, 1).tolist() == [[4.0], [4.0]]


@pytest.mark.parametrize(
    ("given", "p", "fault"),
    [
        (["a", "b", "c"], None, "are not numbers"),
        ([1.0, 2.0], None, r"have shape \(2, 1\) for 3 rows; give \(3, p\)"),
        (np.ones((3, 2)), 4, r"have shape \(3, 2\) for 3 rows; give \(3, 4\)"),
        ([1.0, np.inf, np.nan], None, "hold NaN or inf, first in row 1"),
    ],
)
def test_faults_of_covariates_name_their_argument(
    given: Any, p: int | None, fault: str
) -> None:
    with pytest.raises(DataError, match=f"^c: {fault}") as caught:
        read_covariates(given, "c", 3, p)
    assert caught.value.argument == "c"


def test_rows_are_grouped_in_the_order_of_first_appearance() -> None:
    assert grouped(["b", "a", "b"]) == {"b": [0, 2], "a": [1]}
    assert list(grouped(["b", "a", "b"])) == ["b", "a"]


def test_one_label_is_told_from_many() -> None:
    assert all(map(is_single, ["a", b"a", 3, ("a", 1), np.array(3), torch.tensor(3)]))
    assert not any(map(is_single, [["a"], np.array([3]), pd.Series(["a"])]))


def test_messages_show_the_first_few_labels() -> None:
    assert listed(["a", 1]) == "'a', 1"
    assert listed(range(7)) == "0, 1, 2, 3, 4 and 2 more"


KINDS = ["a", "b", "a"]
COLUMNS: dict[str, Any] = {
    "frame": pd.DataFrame({"kind": KINDS}),
    "array": np.array(KINDS)[:, None],
    "lists": [[kind] for kind in KINDS],
    "arrays": [np.array([kind]) for kind in KINDS],
    "polars": pl.DataFrame({"kind": KINDS}),
    "pyarrow": pa.table({"kind": KINDS}),
    "chunks": pa.chunked_array([KINDS]),
    "series": pd.Series(KINDS, index=[7, 8, 9]),
    "categories": pd.Categorical(KINDS),
    "a column of categories": pd.DataFrame({"kind": pd.Categorical(KINDS)}),
    "text of pyarrow": pd.Series(KINDS, dtype="string[pyarrow]"),
    "scalars": [np.str_(kind) for kind in KINDS],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_labels_in_one_column_are_flattened(name: str) -> None:
    found = read_labels(COLUMNS[name], "labels", 3)
    assert found == KINDS
    assert {type(label) for label in found} == {str}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (pd.DataFrame({"a": KINDS, "b": KINDS}), r"2 columns \('a', 'b'\); give one"),
        (np.array([KINDS, KINDS]).T, r"have shape \(3, 2\); give one label per row"),
        ([["a", "b"]] * 3, r"have shape \(3, 2\); give one label per row"),
        (torch.ones(3, 2), r"have shape \(3, 2\); give one label per row"),
        (set(KINDS), "a set, which has no order"),
        ({"a": 1}, "a dict, which has no order"),
        (pd.Series(["a", None, "b"], dtype="string"), "label of row 1 is missing"),
        (pd.array([1, 2, None], dtype="Int64"), "label of row 2 is missing"),
        (pd.array([True, None, False], dtype="boolean"), "label of row 1 is missing"),
        (
            np.ma.masked_array([1, 2, 3], [True, False, False]),
            "label of row 0 is missing",
        ),
        ([pd.NaT, 1, 2], "label of row 0 is missing"),
        ([1, pd.NA, 2], "label of row 1 is missing"),
        ([1, (2, float("nan")), 3], "label of row 1 is missing"),
    ],
)
def test_labels_that_are_no_column_are_refused(given: Any, fault: str) -> None:
    with pytest.raises(DataError, match=f"^labels: .*{fault}"):
        read_labels(given, "labels", 3)


def test_numbers_of_numpy_and_torch_become_those_of_python() -> None:
    for given in ([np.int64(1), np.int64(2)], list(torch.tensor([1, 2]))):
        found = read_labels(given, "labels", 2)
        assert found == [1, 2]
        assert {type(label) for label in found} == {int}


def test_days_stay_days() -> None:
    day = datetime.datetime(2020, 1, 1)
    for given in (np.array(["2020-01-01"], "M8[ns]"), [np.datetime64(day)]):
        assert read_labels(given, "labels", 1) == [day]


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (1, "1"),
        (np.int64(1), "1"),
        (1.0, "1"),
        (1.5, "1.5"),
        (True, "True"),
        ("01", "01"),
        (b"a", "a"),
        (decimal.Decimal("2.50"), "2.50"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
        (pd.Timestamp("2020-01-02"), "2020-01-02"),
        (pd.Timestamp("2020-01-02 03:04"), "2020-01-02 03:04:00"),
        (None, None),
        (float("nan"), None),
        (float("inf"), "inf"),
        (pd.NaT, None),
    ],
)
def test_labels_read_as_in_a_table_of_text(label: Any, text: str | None) -> None:
    assert label_text(label) == text


def test_labels_that_read_the_same_are_found() -> None:
    assert alike_as_text([2, 1], ["1"]) == (1, "1")
    assert alike_as_text([1, "a"], [1.0, np.int64(1), "a", "b"]) is None
    assert labels_named(["1", "2", "x", None], [1, "2"]) == [1, "2", "x", None]


def test_labels_become_the_numbers_of_their_classes() -> None:
    known = ("b", "a", "c")
    assert label_numbers(["a", "b", "a"], known, "labels", 3) == [1, 0, 1]
    assert label_numbers("c", known, "labels", 2) == [2, 2]
    with pytest.raises(DataError, match=r"labels: 'd' not among .*'b', 'a', 'c'"):
        label_numbers(["a", "d"], known, "labels", 2)
    with pytest.raises(DataError, match="'1' is a str, give the int 1"):
        label_numbers("1", (0, 1), "labels", 2)
