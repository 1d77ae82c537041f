"""Mistakes that people make: the message names the remedy."""

import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fits import X, Y, quick
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brenier import DataError, DataWarning, OptimalTransport

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros(len(X), dtype=int),
        np.array(["a", "b"] * (len(X) // 2)),
        ["a", "b"] * (len(X) // 2),
        [0, 1] * (len(X) // 2),
        pd.Series([0, 1] * (len(X) // 2)),
        Y[:, 0],
    ],
)
def test_one_label_per_row_is_no_target(labels: Any) -> None:
    told = r"^Y: Expected 2D array, got 1D .*Give the target samples.*source_labels="
    with pytest.raises(DataError, match=told):
        quick().fit(X, labels)
    with pytest.raises(DataError, match=told):
        make_pipeline(StandardScaler(), quick()).fit_transform(X, labels)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"Xs": X, "Xt": Y}, "^Xs: is called X here"),
        ({"X": X, "Xt": Y}, "^Xt: is called Y here"),
        ({"X": X, "y": Y}, "^y: is called Y"),
        ({"X": X, "Y": Y, "ys": [1]}, "^ys: is called source_labels here"),
        ({"X": X, "Y": Y, "labels": [1]}, "^labels: is called source_labels and"),
    ],
)
def test_arguments_of_other_libraries_are_told_of(
    given: dict[str, Any], told: str
) -> None:
    with pytest.raises(DataError, match=told):
        quick().fit(**given)


def test_other_arguments_are_what_they_were() -> None:
    names = list(inspect.signature(OptimalTransport.fit).parameters)
    assert names[:3] == ["self", "X", "Y"]
    with pytest.raises(TypeError, match="unexpected keyword argument 'sample_weights'"):
        quick().fit(X, Y, sample_weights=[1])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'Y'"):
        quick().fit(X)  # type: ignore[call-arg]
    with pytest.raises(DataError, match=r"^Y: .*got None"):
        quick().fit(X, None)  # type: ignore[arg-type]


def test_columns_that_are_samples_are_told_of() -> None:
    with pytest.raises(DataError, match=r"both have 2 rows.*give X\.T and Y\.T"):
        quick().fit(X.T, Y.T)
    wide = RNG.normal(size=(2, 3, 100))
    with pytest.warns(DataWarning, match=r"3 rows and 100 features.*X\.T and Y\.T"):
        quick(max_steps=1).fit(wide[0], wide[1])
