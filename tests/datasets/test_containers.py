"""Samples in, checked; results out, as the same kind."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from brenier import DataError
from brenier.datasets.containers import CheckedSamples, check_finite, is_mapped, read

TABLE = np.arange(12.0).reshape(6, 2)


@pytest.fixture
def mapped(tmp_path: Any) -> np.memmap:
    np.save(tmp_path / "x.npy", TABLE.astype(np.float32))
    return np.load(tmp_path / "x.npy", mmap_mode="r")


@pytest.mark.parametrize(
    ("given", "dtype"),
    [
        (TABLE, torch.float64),
        (TABLE.astype(np.float32), torch.float32),
        (TABLE.astype(">f4"), torch.float32),
        (TABLE.astype(np.int16), torch.int16),
        (TABLE.astype(np.uint8), torch.uint8),
        (TABLE.astype(np.uint32), torch.float64),
        (TABLE.astype(np.longdouble), torch.float64),
        (TABLE.astype(object), torch.float64),
        (TABLE.tolist(), torch.float64),
        (torch.from_numpy(TABLE).half(), torch.float16),
        (pd.DataFrame(TABLE), torch.float64),
        (pl.DataFrame(TABLE), torch.float64),
    ],
)
def test_values_are_a_tensor(given: Any, dtype: torch.dtype) -> None:
    samples = read(given, "X")
    assert samples.values.dtype == dtype
    assert samples.shape == (6, 2)
    np.testing.assert_array_equal(samples.rows(0, 6).double().numpy(), TABLE)
    assert samples.original is given


def test_memory_is_shared_where_it_can_be() -> None:
    values = read(TABLE, "X").values
    assert isinstance(values, torch.Tensor)
    assert values.data_ptr() == TABLE.ctypes.data
    tensor = torch.from_numpy(TABLE)
    assert read(tensor, "X").rows(0, 6).data_ptr() == tensor.data_ptr()


def test_samples_once_read_are_not_read_again() -> None:
    samples = read(TABLE, "X")
    assert read(samples, "x", dim=2) is samples


def test_gradients_do_not_come_in() -> None:
    samples = read(torch.from_numpy(TABLE).requires_grad_(), "X")
    assert not samples.rows(0, 1).requires_grad


@pytest.mark.parametrize(
    ("first", "last", "numbers"),
    [(0, 2, [0, 1]), (4, 6, [4, 5]), (4, 99, [4, 5]), (6, 8, [])],
)
@pytest.mark.parametrize("kind", ["memory", "file"])
def test_rows_are_consecutive(
    kind: str, first: int, last: int, numbers: list[int], mapped: np.memmap
) -> None:
    samples = read(mapped if kind == "file" else TABLE, "X")
    np.testing.assert_array_equal(samples.rows(first, last).numpy(), TABLE[numbers])


def test_mapped_arrays_stay_on_disk(mapped: np.memmap) -> None:
    samples = read(mapped, "X")
    assert samples.values is mapped
    assert is_mapped(samples.values)
    assert not is_mapped(np.asarray(mapped)[:])


def test_mapped_rows_are_checked_when_read_and_counted_from_the_start(
    tmp_path: Any,
) -> None:
    bad = TABLE.copy()
    bad[4, 1] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    samples = read(np.load(tmp_path / "bad.npy", mmap_mode="r"), "X")
    assert samples.rows(0, 3).shape == (3, 2)
    with pytest.raises(
        DataError,
        match=r"^X: contains NaN or inf in 1 of 3 rows read, the first at row 4, column 1",
    ):
        samples.rows(3, 6)


@pytest.mark.parametrize("shape", [(6,), (2, 3, 2)])
def test_mapped_arrays_of_other_shapes_are_refused(
    shape: tuple[int, ...], tmp_path: Any
) -> None:
    np.save(tmp_path / "x.npy", np.zeros(shape))
    with pytest.raises(DataError, match=f"^X: Expected 2D array, got {len(shape)}D"):
        read(np.load(tmp_path / "x.npy", mmap_mode="r"), "X")


@pytest.mark.parametrize(
    ("given", "result"),
    [
        (TABLE, np.float64),
        (TABLE.astype(np.float32), np.float32),
        (TABLE.astype(np.float16), np.float32),
        (TABLE.astype(np.int32), np.float64),
        (TABLE > 3, np.float64),
        (torch.from_numpy(TABLE), torch.float64),
        (torch.from_numpy(TABLE).bfloat16(), torch.float32),
        (torch.from_numpy(TABLE).long(), torch.float64),
    ],
)
@pytest.mark.parametrize("shape", [(6, 2), (6,), (0, 2)])
def test_results_have_the_kind_and_precision_given(
    given: Any, result: Any, shape: tuple[int, ...]
) -> None:
    moved = read(given, "X").restore(torch.ones(shape, dtype=torch.float64))
    assert type(moved) is type(given)
    assert moved.dtype == result
    assert moved.shape == shape


def test_frames_come_back_with_columns_and_index() -> None:
    frame = pd.DataFrame(TABLE, columns=["a", "b"], index=list("uvwxyz"))
    pd.testing.assert_frame_equal(
        read(frame, "X").restore(torch.from_numpy(TABLE)), frame
    )
    assert read(frame, "X").columns == ("a", "b")
    other = pl.DataFrame(TABLE, schema=["a", "b"])
    assert read(other, "X").restore(torch.from_numpy(TABLE)).equals(other)
    assert read(TABLE, "X").columns is None


def test_results_share_no_memory_with_the_samples() -> None:
    given = TABLE.copy()
    samples = read(given, "X")
    samples.restore(samples.rows(0, 6) + 1)[:] = 0
    np.testing.assert_array_equal(given, TABLE)


@pytest.mark.parametrize(
    ("dim", "rows", "message"),
    [(3, 1, "has 2 features, but 3 are expected"), (2, 7, "6 sample")],
)
def test_what_is_expected_is_checked(dim: int, rows: int, message: str) -> None:
    assert isinstance(read(TABLE, "X", dim=2, min_rows=6), CheckedSamples)
    with pytest.raises(DataError, match=f"^X: .*{message}"):
        read(TABLE, "X", dim=dim, min_rows=rows)


@pytest.mark.parametrize("large", [3e38, 1e308])
def test_large_values_whose_sum_overflows_are_finite(large: float) -> None:
    dtype = torch.float32 if large < 1e39 else torch.float64
    check_finite(torch.full((10, 2), large, dtype=dtype), "X")


def test_infinities_that_cancel_are_found() -> None:
    with pytest.raises(DataError, match="2 of 2 rows, the first at row 0, column 1"):
        check_finite(torch.tensor([[0.0, float("inf")], [0.0, -float("inf")]]), "X")


def test_an_empty_table_is_finite() -> None:
    check_finite(torch.empty(0, 2), "X")
