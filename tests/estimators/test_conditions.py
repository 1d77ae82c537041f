"""Labels and covariates as `fit` and all other methods are given them: checked, asked for, saved."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from fits import quick
from problems import normal

from brenier import DataError, DataWarning, load
from brenier.datasets import labelled, read_labels, ring_classes

N = 400


def rings(name: str, rows: int = N) -> tuple[torch.Tensor, torch.Tensor, list[Any]]:
    """Samples of a toy."""
    return labelled(ring_classes(name), rows, torch.Generator().manual_seed(0))


# ---- labels of every kind


@pytest.mark.parametrize(
    "convert", [list, np.array, lambda v: pd.Series(v, index=range(9, 9 + len(v)))]
)
def test_labels_of_every_kind(convert: Callable[[list[Any]], Any]) -> None:
    assert read_labels(convert(["a", "b", "a"]), "labels", 3) == ["a", "b", "a"]
    assert read_labels(convert([3, 1, 3]), "labels", 3) == [3, 1, 3]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("abc", "labels: must be a sequence of labels, one per row"),
        (["a", "b"], "labels: has 2 labels for 3 rows"),
        (["a", None, "b"], "labels: the label of row 1 is missing"),
        ([1.0, 2.0, float("nan")], "labels: the label of row 2 is missing"),
        (
            [[1, 2], [2, 3], [3, 4]],
            "labels: have shape (3, 2); give one label per row",
        ),
    ],
)
def test_bad_labels_are_named(labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read_labels(labels, "labels", 3)


# ---- what fits are given


def test_classes_of_one_side_are_left_out_with_a_warning() -> None:
    x, z, labels = rings("horizontal swap")
    more = torch.cat([x, x[:5] + 9])
    with pytest.warns(DataWarning, match="only one side has 'new'"):
        ot = quick().fit(
            more, z, source_labels=[*labels, *["new"] * 5], target_labels=labels
        )
    assert ot.labels_ == ("left", "right")
    with pytest.raises(
        DataError,
        match="labels: 'new' not among the classes that the map was fitted on",
    ):
        ot.transform(x, "new")


def test_warm_start_needs_the_same_classes() -> None:
    x, z, labels = rings("horizontal swap")
    ot = quick(warm_start=True).fit(x, z, source_labels=labels, target_labels=labels)
    ot.fit(x, z, source_labels=labels, target_labels=labels)
    with pytest.raises(
        DataError,
        match="warm_start: the map to go on from was fitted with other labels",
    ):
        ot.fit(x, z)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (
            {"source_labels": ["a"] * N, "target_labels": ["b"] * N},
            "share no class ('a' and 'b')",
        ),
        (
            {"source_labels": ["a"] * 3, "target_labels": ["a"] * N},
            "source_labels: has 3 labels",
        ),
        (
            {"source_labels": ["a"] * N, "source_covariates": np.ones(N)},
            "give labels or covariates, not both",
        ),
        (
            {"source_covariates": np.ones(N), "target_covariates": np.zeros(N)},
            "their ranges do not overlap",
        ),
        (
            {"source_covariates": np.ones(3), "target_covariates": np.zeros(N)},
            "source_covariates: have shape (3, 1)",
        ),
        ({"target_covariates": ["x"] * N}, "target_covariates: are not numbers"),
        (
            {"target_covariates": [np.nan] * N},
            "target_covariates: hold NaN or inf, first in row 0",
        ),
        (
            {"source_covariates": np.ones((N, 2)), "target_covariates": np.ones(N)},
            "target_covariates: has 1 columns",
        ),
    ],
)
def test_bad_conditions_are_named(told: dict[str, Any], message: str) -> None:
    x = normal(N, 2)
    with pytest.raises(DataError, match=re.escape(message)):
        quick().fit(x, x + 1, **told)


def test_streams_have_no_labels() -> None:
    def draw(n: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, 2, generator=generator)

    with pytest.raises(
        DataError, match="X: a function that draws samples has no labels"
    ):
        quick().fit(draw, draw, source_labels=[1], target_labels=[1])
    with pytest.raises(
        DataError, match="X: with covariates samples must be a table in memory"
    ):
        quick().fit(draw, draw, source_covariates=[1], target_covariates=[1])


def test_conditions_are_asked_for_and_refused() -> None:
    x, z, labels = rings("horizontal swap")
    ot = quick().fit(x, z, source_labels=labels, target_labels=labels)
    with pytest.raises(DataError, match="labels: the map was fitted with labels"):
        ot.transform(x)
    with pytest.raises(
        DataError,
        match="covariates: the map was fitted without covariates; give labels",
    ):
        ot.transform(x, covariates=1.0)
    with pytest.raises(
        DataError, match="labels: the map was fitted without labels; leave them out"
    ):
        quick().fit(x, z).transform(x, labels)
    score = ot.score(x, z, labels, labels)
    assert abs(score - 2) < 0.3  # half of 2 squared


def test_frames_with_labels_come_back_as_frames() -> None:
    x, z, labels = rings("horizontal swap")
    frame = pd.DataFrame(x.numpy(), columns=["u", "v"])
    ot = quick().fit(
        frame,
        pd.DataFrame(z.numpy(), columns=["u", "v"]),
        source_labels=labels,
        target_labels=labels,
    )
    moved = ot.transform(frame, pd.Series(labels))
    assert list(moved.columns) == ["u", "v"]
    np.testing.assert_array_equal(
        quick().fit_transform(
            frame,
            pd.DataFrame(z.numpy(), columns=["u", "v"]),
            source_labels=labels,
            target_labels=labels,
        ),
        moved,
    )


def test_saved_and_loaded(tmp_path: Path) -> None:
    x, z, labels = rings("horizontal swap")
    coded: list[Any] = [(label, 1) if label == "left" else 7 for label in labels]
    ot = quick().fit(x, z, source_labels=coded, target_labels=coded)
    ot.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.labels_ == (("left", 1), 7)
    assert torch.equal(again.transform(x, coded), ot.transform(x, coded))
    assert again.distance(7) == ot.distance(7)


def test_labels_that_cannot_be_saved(tmp_path: Path) -> None:
    x, z, labels = rings("horizontal swap")
    odd = [frozenset([label]) for label in labels]
    with pytest.warns(DataWarning, match="is a frozenset, which cannot be saved"):
        ot = quick().fit(x, z, source_labels=odd, target_labels=odd)
    with pytest.raises(DataError, match="is a frozenset, which cannot be saved"):
        ot.save(tmp_path / "model")


# ---- types, columns, and covariates that tell nothing


@pytest.mark.parametrize("text", [str, lambda label: f"{label}"])
def test_labels_that_differ_in_type_only_are_told_of(text: Any) -> None:
    x, numbers = normal(40, 2), [1, 2] * 20
    words = [text(label) for label in numbers]
    with pytest.raises(
        DataError, match=r"the source has 1 \(int\) and the target '1' \(str\)"
    ):
        quick().fit(x, x, source_labels=numbers, target_labels=words)
    ot = quick(max_steps=1)
    ot.fit(x, x, source_labels=np.array(numbers), target_labels=[1.0, 2.0] * 20)
    assert ot.labels_ == (1, 2)
    with pytest.raises(DataError, match="'1' is a str, give the int 1"):
        ot.transform(x, words)


def test_columns_of_labels_are_flattened_everywhere() -> None:
    x, kinds = normal(40, 2), np.array(["a", "b"] * 20)
    frame = pd.DataFrame({"kind": kinds})
    ot = quick(max_steps=1)
    ot.fit(x, x + 1, source_labels=frame, target_labels=kinds[:, None])
    np.testing.assert_array_equal(ot.transform(x, frame), ot.transform(x, kinds))


def test_dates_as_labels_are_warned_of_before_training(tmp_path: Path) -> None:
    x, days = normal(40, 2), pd.date_range("2020", periods=2).repeat(20)
    with pytest.warns(DataWarning, match=r"Timestamp.*the fitted map cannot be saved"):
        ot = quick(max_steps=1).fit(x, x, source_labels=days, target_labels=days)
    with pytest.raises(DataError, match="cannot be saved"):
        ot.save(tmp_path / "m")
