"""Functions of rows batch by batch: the same as at once, in bounded memory, and what overflows is named."""

import re

import numpy as np
import pytest
import torch
from problems import normal
from torch import Tensor

from brenier import DataError
from brenier.datasets import read
from brenier.transport.maps.batched import in_batches

X = normal(50, 3)
CPU = torch.device("cpu")


def doubled(rows: Tensor, place: slice) -> Tensor:
    """Twice the rows."""
    assert place.stop - place.start == len(rows)
    return 2 * rows


@pytest.mark.parametrize("batch_size", [1, 7, 50, 8192])
def test_batches_change_nothing(batch_size: int) -> None:
    found = in_batches(doubled, read(X, "x"), batch_size, CPU, torch.float32)
    assert torch.equal(found, 2 * X)


def test_a_function_is_told_where_its_rows_are() -> None:
    seen = list[slice]()

    def places(rows: Tensor, place: slice) -> Tensor:
        seen.append(place)
        assert torch.equal(rows, X[place])
        assert rows.dtype == torch.float64
        return rows.sum(-1)

    found = in_batches(places, read(X.numpy(), "x"), 20, CPU, torch.float32)
    assert seen == [slice(0, 20), slice(20, 40), slice(40, 50)]
    torch.testing.assert_close(found, X.sum(-1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_type_is_as_asked_for(dtype: torch.dtype) -> None:
    found = in_batches(doubled, read(X, "x"), 7, CPU, torch.float32, dtype)
    assert found.dtype == dtype


def test_no_rows_still_tell_the_shape() -> None:
    nothing = read(np.zeros((0, 3)), "x", min_rows=0)
    assert in_batches(doubled, nothing, 7, CPU, torch.float32).shape == (0, 3)


def test_results_carry_no_graph() -> None:
    weight = torch.ones(3, dtype=torch.float64, requires_grad=True)
    found = in_batches(
        lambda rows, _: rows * weight, read(X, "x"), 7, CPU, torch.float32
    )
    assert not found.requires_grad


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("batch_size", [1, 8, 100])
def test_rows_that_overflow_are_counted_and_the_first_named(
    batch_size: int, value: float
) -> None:
    bad = torch.tensor([12, 30, 49])

    def spoilt(rows: Tensor, place: slice) -> Tensor:
        found = X.clone()
        found[bad, 1] = value
        return found[place]

    message = "x: 3 of 50 rows, the first row 12, lie so far from the training data that float32 overflows"
    with pytest.raises(DataError, match=re.escape(message)):
        in_batches(spoilt, read(X, "x"), batch_size, CPU, torch.float32)
