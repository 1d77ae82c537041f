"""Labels and covariates: what may be given, and what is wrong with the rest."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from brenier import DataError
from brenier.datasets.conditions import (
    grouped,
    is_single,
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
