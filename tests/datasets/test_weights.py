"""Weights in any container, what is wrong with them, and populations that are drawn from in proportion."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from brenier.datasets import Rows, population, read_weights, with_weights
from brenier.errors import DataError, DataWarning

TABLE = torch.arange(20.0).double()[:, None]
GIVEN = np.linspace(0.5, 2.0, 20)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def weighted(values: Any) -> Rows:
    found = with_weights(Rows(TABLE, "X"), values, "source_weight")
    assert isinstance(found, Rows)
    return found


@pytest.mark.parametrize(
    "container",
    [
        GIVEN,
        GIVEN.astype(np.float32).astype(float),
        GIVEN.tolist(),
        torch.from_numpy(GIVEN),
        pd.Series(GIVEN, index=range(20, 0, -1)),
        pd.DataFrame({"w": GIVEN}),
        GIVEN[:, None],
    ],
)
def test_weights_come_in_any_container(container: Any) -> None:
    found = read_weights(container, "source_weight", 20)
    assert found is not None
    np.testing.assert_allclose(found, GIVEN / 2, rtol=1e-6)


@pytest.mark.parametrize("value", [1, 0.3, 7, 1e-300])
def test_equal_weights_are_none(value: float) -> None:
    assert read_weights([value] * 20, "source_weight", 20) is None
    rows = Rows(TABLE, "X")
    assert with_weights(rows, [value] * 20, "source_weight") is rows


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        (GIVEN[:-1], r"has shape \(19,\) for 20 rows"),
        (np.ones((20, 2)), r"has shape \(20, 2\)"),
        (3.0, r"has shape \(\)"),
        (np.r_[-1.0, GIVEN[1:]], r"row 0 is negative \(-1; 1 of 20"),
        (np.r_[GIVEN[:-1], np.nan], "row 19 is NaN or infinite"),
        (np.r_[GIVEN[:-1], np.inf], "row 19 is NaN or infinite"),
        (np.zeros(20), "is zero in all 20 rows"),
        (["a"] * 20, "not numbers"),
        ("weight", "not numbers"),
        (np.eye(20)[0], "a positive weight in 1 of 20 rows"),
        ([None, *GIVEN[1:]], "row 0 is NaN"),
    ],
)
def test_bad_weights_are_named(values: Any, fault: str) -> None:
    with pytest.raises(DataError, match=f"^source_weight: .*{fault}") as caught:
        weighted(values)
    assert caught.value.argument == "source_weight"


def test_samplers_take_no_weights() -> None:
    stream, _ = population(lambda n, g: torch.randn(n, 1, generator=g), "X")
    with pytest.raises(DataError, match=r"^source_weight: X is a function"):
        with_weights(stream, GIVEN, "source_weight")


def test_rows_of_weight_zero_are_left_out() -> None:
    values = np.where(np.arange(20) % 2, GIVEN, 0)
    with pytest.warns(DataWarning, match=r"^source_weight: 10 of 20 rows have weight"):
        found = weighted(values)
    assert found.size == 10
    assert found.sample_distinct(99, seeded())[:, 0].tolist() == list(range(1, 20, 2))
    with pytest.warns(DataWarning, match="weight zero"):
        level = weighted(np.arange(20) % 2)
    assert level.weights is None


def test_few_effective_rows_are_told_of() -> None:
    values = np.full(20, 1e-6)
    values[:2] = 1
    with pytest.warns(DataWarning, match=r"20 rows are worth 2\.0 of equal weights"):
        weighted(values)


def test_batches_and_splits_follow_the_weights() -> None:
    rows = weighted(GIVEN)
    drawn = rows.sample(40_000, seeded())[:, 0].long().bincount(minlength=20)
    np.testing.assert_allclose(drawn / 40_000, GIVEN / GIVEN.sum(), atol=0.005)
    rest, parts = rows.split((5, 5), seeded())
    for part in (*parts, rest.sample_weighted(99, seeded())):
        own = GIVEN[part.rows[:, 0].long().numpy()]
        np.testing.assert_allclose(part.weights / GIVEN.mean() ** -1, own)
    held = torch.cat([part.rows for part in parts])
    assert not torch.isin(rest.sample(1000, seeded()), held).any()
    assert rows.effective == pytest.approx(GIVEN.sum() ** 2 / (GIVEN**2).sum())


def test_rows_of_a_file_follow_the_weights(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", TABLE.numpy())
    mapped, _ = population(np.load(tmp_path / "x.npy", mmap_mode="r"), "X")
    found = with_weights(mapped, GIVEN, "source_weight")
    assert torch.equal(found.sample(50, seeded()), weighted(GIVEN).sample(50, seeded()))
