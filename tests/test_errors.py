"""Errors: what they are, how they are renamed, and where warnings point."""

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from brenier import DataError
from brenier.datasets import check_finite, read, read_covariates, read_labels
from brenier.datasets.populations import population
from brenier.errors import BrenierError, DataWarning, warn


def test_a_data_error_is_a_value_error_with_a_message() -> None:
    error = DataError("X: is empty; give rows")
    assert isinstance(error, ValueError)
    assert isinstance(error, BrenierError)
    assert str(error) == "X: is empty; give rows"
    assert error.argument is None


def test_an_argument_is_renamed_where_the_message_begins_with_it() -> None:
    error = DataError("X: is sparse; give X.toarray()", argument="X")
    renamed = error.for_argument("cells.npy")
    assert str(renamed) == "cells.npy: is sparse; give X.toarray()"
    assert renamed.argument == "cells.npy"
    assert str(renamed.for_argument("again")) == "again: is sparse; give X.toarray()"
    assert str(error) == "X: is sparse; give X.toarray()"


@pytest.mark.parametrize(
    "error",
    [
        DataError("X: is empty"),
        DataError("the table X: is empty", argument="X"),
        DataError("X2: is empty", argument="X"),
    ],
)
def test_other_messages_stay_as_they_are(error: DataError) -> None:
    assert error.for_argument("cells.npy") is error


def test_a_renamed_error_keeps_cause_and_traceback() -> None:
    cause = TypeError("not numbers")
    with pytest.raises(DataError) as caught:
        raise DataError("X: is no table", argument="X") from cause
    renamed = caught.value.for_argument("cells.npy")
    assert renamed.__cause__ is cause
    assert renamed.__traceback__ is caught.value.__traceback__


@pytest.mark.parametrize("argument", [None, "X"])
def test_errors_survive_pickling(argument: str | None) -> None:
    error = DataError("X: is empty", argument=argument)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is DataError
    assert (str(copy), copy.argument) == ("X: is empty", argument)


NAN = torch.tensor([[np.nan]])


@pytest.mark.parametrize(
    "check",
    [
        lambda: check_finite(NAN, "Z"),
        lambda: read(None, "Z"),  # type: ignore[arg-type]
        lambda: read([1.0], "Z"),
        lambda: read([["a"]], "Z"),
        lambda: read([[1j]], "Z"),
        lambda: read([[1.0], [1.0, 2.0]], "Z"),
        lambda: read(np.ones((0, 2)), "Z"),
        lambda: read(np.ones((2, 0)), "Z"),
        lambda: read(np.ones((2, 2)), "Z", dim=3),
        lambda: read(np.ma.array([[1.0]], mask=[[True]]), "Z"),
        lambda: read(torch.eye(2).to_sparse(), "Z"),
        lambda: read(torch.eye(2) * 1j, "Z"),
        lambda: read_labels("a", "Z", 1),
        lambda: read_covariates("a", "Z", 1),
        lambda: population(lambda n, generator: [[1.0]], "Z"),
    ],
)
def test_faults_of_samples_can_be_renamed(check: Any) -> None:
    with pytest.raises(DataError, match=r"^Z: ") as caught:
        check()
    assert caught.value.argument == "Z"
    assert str(caught.value.for_argument("--to")).startswith("--to: ")


def test_warnings_point_at_the_line_that_called() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warn("few rows", DataWarning)
    assert seen[0].filename == __file__
