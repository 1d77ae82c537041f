"""Objects that hold a matrix and are none: refused at once, with where the matrix is."""

import collections
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch

from brenier import DataError, OptimalTransport
from brenier.datasets import read


class Walked:
    """What has a length and elements; looking at one of them fails the test."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def __len__(self) -> int:
        return 500

    def __getitem__(self, index: Any) -> Any:
        pytest.fail("the container was walked")

    def __iter__(self) -> Iterator[Any]:
        pytest.fail("the container was walked")


TABLE = np.ones((4, 2))
CASES: dict[str, tuple[Any, str]] = {
    "AnnData": (Walked(X=TABLE, obsm={}, shape=(4, 2)), r"X\.X or X\.obsm\[...\]"),
    "backed AnnData": (Walked(obsm={}), r"X\.obsm\[...\]"),
    "MuData": (Walked(mod={}), r"X\.mod\['rna'\]"),
    "SpatialData": (Walked(tables={}), r"X\.tables\['table'\]"),
    "xarray.Dataset": (Walked(data_vars={}, to_numpy=None), r"X\.to_dataframe\(\)"),
    "DataLoader": (Walked(dataset=[], collate_fn=None), r"torch\.cat"),
    "Dataset": (Walked(), r"np\.stack"),
    "a frame of another library": (
        Walked(columns=["a"], to_pandas=None),
        r"X\.to_pandas\(\)",
    ),
    "a frame with values": (Walked(columns=["a"], values=TABLE), r"X\.values"),
    "a lazy frame": (pl.DataFrame(TABLE).lazy(), r"X\.collect\(\)"),
    "sparse": (scipy.sparse.csr_array(TABLE), r"X\.toarray\(\)"),
    "a list of sparse": ([scipy.sparse.csr_array(TABLE)], r"X\[0\]\.toarray\(\)"),
    "a list of them": ([Walked(X=TABLE)] * 2, r"a list of Walked.* X\[0\]\.X"),
    "a dictionary": ({"a": [1.0], "b": [2.0]}, r"pandas\.DataFrame\(X\)"),
    "a set": ({1.0, 2.0}, "its order is by chance"),
    "a generator": ((row for row in TABLE), r"np\.array\(list\(X\)\)"),
    "map": (map(list, TABLE), r"np\.array\(list\(X\)\)"),
    "values of a dictionary": ({"a": 1.0}.values(), "not numbers"),
    "a list of arrays": ([TABLE, TABLE], r"a list of 2 arrays.*np\.concatenate\(X\)"),
    "a list of frames": ([pd.DataFrame(TABLE)] * 2, r"np\.concatenate\(X\)"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_at_once_with_a_remedy(name: str) -> None:
    given, remedy = CASES[name]
    with pytest.raises(DataError, match=f"^X: .*{remedy}") as caught:
        OptimalTransport(max_steps=1).fit(given, TABLE)
    assert caught.value.argument == "X"


@pytest.mark.parametrize(
    "given",
    [
        TABLE.tolist(),
        tuple(map(tuple, TABLE)),
        list(TABLE),
        list(torch.from_numpy(TABLE)),
        collections.deque(TABLE.tolist()),
        memoryview(TABLE),  # type: ignore[arg-type]
        pa.table({"a": [1.0] * 4, "b": [1.0] * 4}),
        pl.DataFrame(TABLE),
        pd.DataFrame(TABLE, columns=["X", "mod"]),
    ],
)
def test_plain_sequences_and_frames_go_on_being_read(given: Any) -> None:
    np.testing.assert_array_equal(read(given, "X").rows(0, 4).numpy(), TABLE)
