"""What a scan is made of: every source gives the same rows; its columns; and what is said of files that are wrong."""

import itertools
import pickle
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
import torch
from pyarrow import parquet
from scan_files import (
    BY_PLACE,
    GROUP,
    ROWS,
    STREAMED,
    InOrder,
    frame,
    in_parquet,
    numbers,
    table,
)
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler

from brenier import DataError
from brenier.datasets import Scan, ScanSettings, scan


def rows_of(found: Scan) -> np.ndarray:
    """All rows, piece by piece."""
    return np.concatenate([found.read(piece) for piece in found.pieces])


@pytest.mark.parametrize("source", BY_PLACE)
def test_every_source_gives_all_rows_in_order(
    tmp_path: Path, source: Callable[[Path], Any]
) -> None:
    found = scan(source(tmp_path), settings=STREAMED)
    assert (found.dim, found.size) == (2, ROWS)
    assert numbers(rows_of(found)) == list(range(ROWS))
    assert len(found.pieces) > 3
    largest = max(piece.rows for piece in found.pieces)
    assert largest <= STREAMED.block_rows(found.row_bytes)


def test_pieces_of_large_row_groups_are_slices(tmp_path: Path) -> None:
    frame()[["u", "v"]].to_parquet(tmp_path / "x.parquet")  # one row group
    found = scan(tmp_path, buffer_rows=80, settings=ScanSettings(least_piece_rows=1))
    assert {piece.rows for piece in found.pieces} == {20}
    assert numbers(rows_of(found)) == list(range(ROWS))


def test_a_scan_is_pickled_by_its_paths(tmp_path: Path) -> None:
    found = scan(in_parquet(tmp_path), settings=STREAMED)
    content = pickle.dumps(found)
    assert len(content) < 4000
    assert numbers(rows_of(pickle.loads(content))) == list(range(ROWS))


def test_sources_are_paths_patterns_folders_and_lists(tmp_path: Path) -> None:
    in_parquet(tmp_path)
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".hidden.parquet").write_text("no table")
    names = [tmp_path / f"{place}.parquet" for place in range(3)]
    for source in (tmp_path, str(tmp_path / "?.parquet"), names, list(map(str, names))):
        assert scan(source).size == ROWS
    deeper = tmp_path / "deeper"
    deeper.mkdir()
    names[2].rename(deeper / "2.parquet")
    assert scan(tmp_path).size == ROWS


def test_columns_are_chosen_in_order(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "x.parquet", row_group_size=GROUP)
    found = scan(tmp_path, columns=["dose", "u"])
    assert (found.columns, found.names) == (("dose", "u"), ("dose", "u"))
    np.testing.assert_array_equal(rows_of(found), frame()[["dose", "u"]].to_numpy())
    numeric = scan(tmp_path, columns="numeric", labels="kind", weight="w")
    assert numeric.columns == ("u", "v", "dose")
    assert numeric.left_out == ()  # the labels are told apart, not left out
    assert scan(tmp_path, columns="numeric").left_out == ("kind",)
    named = scan(tmp_path, columns=["u", "v"], weight="w", covariates=["dose"])
    assert (named.columns, named.weight) == (("u", "v"), "w")
    assert named.covariates == ("dose",)
    np.save(tmp_path / "x.npy", table())
    assert scan(tmp_path / "x.npy", columns=[1]).columns == ("1",)
    assert scan(tmp_path / "x.npy").names is None


@pytest.mark.parametrize(
    ("dtype", "single"),
    [
        ("int8", True),
        ("uint16", True),
        ("int64", False),
        ("bool", True),
        ("float16", True),
        ("float32", True),
        ("float64", False),
    ],
)
def test_numbers_of_all_types_are_taken(
    tmp_path: Path, dtype: str, single: bool
) -> None:
    values = (np.arange(40).reshape(20, 2) % 2).astype(dtype)
    made = pandas.DataFrame(values, columns=["a", "b"])
    made.to_parquet(tmp_path / "x.parquet")
    np.save(tmp_path / "x.npy", values)
    for name in ("x.parquet", "x.npy"):
        found = scan(tmp_path / name)
        assert found.single == single
        np.testing.assert_array_equal(rows_of(found).astype(float), values)


def test_exact_decimals_are_taken(tmp_path: Path) -> None:
    made = pandas.DataFrame({"a": [Decimal("1.25"), Decimal("-2.50")]})
    made.to_parquet(tmp_path / "x.parquet")
    np.testing.assert_array_equal(rows_of(scan(tmp_path)), [[1.25], [-2.5]])


# ---- datasets of torch


class Dictionaries(Dataset[dict[str, Any]]):
    """Items by name."""

    def __len__(self) -> int:
        return 30

    def __getitem__(self, number: int) -> dict[str, Any]:
        return {"x": np.array([number, number + 0.5]), "kind": "ab"[number % 2]}


def test_entries_of_items_are_named() -> None:
    found = scan(Dictionaries(), columns="x", labels="kind")
    assert found.columns == ("x[0]", "x[1]")
    assert numbers(rows_of(found)) == list(range(30))
    pairs = TensorDataset(torch.from_numpy(table()), torch.arange(1000) % 5)
    found = scan(pairs, labels=1)
    assert (found.columns, found.labels, found.names) == (("0[0]", "0[1]"), "1", None)


def test_a_loader_that_draws_by_its_own_law_keeps_it() -> None:
    sampler = WeightedRandomSampler([0.0, 1.0] * 500, 400)
    data = TensorDataset(torch.from_numpy(table()))
    found = scan(DataLoader(data, batch_size=20, sampler=sampler))
    assert (found.iterable is not None, found.size) == (True, None)


class Images(Dataset[torch.Tensor]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> torch.Tensor:
        return torch.zeros(1, 3, 3)


class Endless(Dataset[torch.Tensor]):
    def __getitem__(self, number: int) -> torch.Tensor:
        return torch.zeros(2)


class Names(Dataset[str]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, number: int) -> str:
        return "a"


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (Images(), r"Images: a batch of it has shape \(1, 1, 3, 3\)"),
        (Endless(), "Endless: has no length"),
        (TensorDataset(torch.zeros(0, 2)), "TensorDataset: is empty"),
        (InOrder(0), "InOrder: gives no batch"),
        (Names(), "columns: column '0' of Names holds str"),
        (DataLoader(Images(), batch_size=2), "DataLoader of Images: a batch"),
        (
            DataLoader(Names(), batch_size=2, collate_fn=lambda items: 3),
            "DataLoader of Names: a batch of it is int; give tensors",
        ),
        (Dictionaries(), "columns: column 'kind' of Dictionaries holds str"),
    ],
)
def test_items_that_are_no_rows(data: Any, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        scan(data)


# ---- files that are wrong


def write(folder: Path, **columns: Any) -> Path:
    pandas.DataFrame(columns).to_parquet(folder / "x.parquet")
    return folder / "x.parquet"


@pytest.mark.parametrize(
    ("second", "fault"),
    [
        ({"a": [1.0]}, r"1.parquet: has no column 'b', which .*0.parquet has"),
        (
            {"a": [1.0], "b": [1.0], "c": [1.0]},
            r"0.parquet: has no column 'c', which .*1.parquet has",
        ),
        (
            {"a": [1.0], "b": [1]},
            r"1.parquet: column 'b' holds int64, in .*0.parquet double",
        ),
    ],
)
def test_files_of_other_columns(
    tmp_path: Path, second: dict[str, Any], fault: str
) -> None:
    pandas.DataFrame({"a": [1.0], "b": [1.0]}).to_parquet(tmp_path / "0.parquet")
    pandas.DataFrame(second).to_parquet(tmp_path / "1.parquet")
    with pytest.raises(DataError, match=fault):
        scan(tmp_path)
    assert scan(tmp_path, columns=["a"]).size == 2  # that all of them have


@pytest.mark.parametrize(
    ("columns", "asked", "fault"),
    [
        (
            {"a": ["x"]},
            {},
            "columns: column 'a' of .*x.parquet holds .*string, which is no number",
        ),
        (
            {"a": pandas.to_datetime(["2020-01-01"])},
            {},
            "column 'a' of .*holds timestamp",
        ),
        ({"a": [[1.0, 2.0]]}, {}, "column 'a' of .* holds list"),
        (
            {"a": [1.0]},
            {"columns": ["b"]},
            "columns: there is no 'b' in .*x.parquet, which has a",
        ),
        ({"a": [1.0]}, {"weight": "w"}, "weight: there is no 'w'"),
        ({"a": [1.0]}, {"columns": ["a", "a"]}, "name 'a' more than once"),
        ({"a": [1.0]}, {"labels": "a"}, "columns: .* has no column left"),
        (
            {"a": [1.0], "b": [1.0], "c": [1.0]},
            {"labels": "b", "covariates": ["c"]},
            "not both",
        ),
        ({"a": ["x"]}, {"columns": "numeric"}, "no column left"),
        ({"a": [1.0]}, {"buffer_rows": 0}, "buffer_rows: must be a whole number"),
        ({"a": pandas.Series([], dtype=float)}, {}, "x.parquet: has no rows"),
    ],
)
def test_columns_that_cannot_be_used(
    tmp_path: Path, columns: dict[str, Any], asked: dict[str, Any], fault: str
) -> None:
    with pytest.raises(DataError, match=fault):
        scan(write(tmp_path, **columns), **asked)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named_by_file_and_row(
    tmp_path: Path, bad: float
) -> None:
    values = table(200)
    values[150, 1] = bad
    np.save(tmp_path / "x.npy", values)
    made = pyarrow.table(dict(zip("uv", values.T, strict=True)))
    parquet.write_table(made, tmp_path / "x.parquet", row_group_size=64)
    for name, column in (("x.npy", "'1'"), ("x.parquet", "'v'")):
        with pytest.raises(
            DataError, match=f"{name}: .*first is row 150 in column {column}"
        ):
            rows_of(scan(tmp_path / name))


def test_missing_values_are_named_by_file_and_row(tmp_path: Path) -> None:
    values = pandas.array([1.0] * 99 + [None], dtype="Float64")
    pandas.DataFrame({"a": values}).to_parquet(
        tmp_path / "x.parquet", row_group_size=30
    )
    with pytest.raises(DataError, match=r"x.parquet: column 'a' has 1 missing.*row 99"):
        rows_of(scan(tmp_path))


def test_negative_weights_are_named_by_file_and_row(tmp_path: Path) -> None:
    path = write(tmp_path, a=np.ones(9), w=[1.0] * 7 + [-1.0, 1.0])
    with pytest.raises(DataError, match=r"x\.parquet: the weight of row 7 is negative"):
        rows_of(scan(path, weight="w"))


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.parquet").touch()
    (tmp_path / "x.txt").write_text("1 2")
    for name, fault in (
        ("none.parquet", "none.parquet: does not exist"),
        ("*.arrow", r"\*.arrow: no file has such a name"),
        ("empty", "empty: holds no file that ends in .parquet"),
        ("empty.parquet", "empty.parquet: is empty"),
        ("x.txt", "x.txt: is of no known kind"),
    ):
        with pytest.raises(DataError, match=fault):
            scan(tmp_path / name)
    several = tmp_path / "several"
    several.mkdir()
    np.save(several / "x.npy", table())
    write(several, a=[1.0])
    with pytest.raises(DataError, match=r"several kinds \(.npy, .parquet\)"):
        scan(several)
    for source, fault in ((3, "is int"), ([], "is list"), ([3], "holds 3")):
        with pytest.raises(DataError, match=f"source: {fault}"):
            scan(source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["x.parquet", "x.arrow", "x.feather", "x.npy", "x.h5", "x.zarr/zarr.json"]
)
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"PAR1 no such file PAR1" * 50)
    source = path.parent if name.endswith(".json") else path
    with pytest.raises(DataError, match=f"{source.name}: cannot be read"):
        scan(source)


def test_a_file_that_is_damaged_later_is_named(tmp_path: Path) -> None:
    found = scan(in_parquet(tmp_path), settings=STREAMED)
    (tmp_path / "1.parquet").write_bytes(b"lost")
    with pytest.raises(DataError, match=r"1.parquet: cannot be read"):
        rows_of(found)


def test_arrays_that_are_no_tables(tmp_path: Path) -> None:
    import h5py
    import zarr

    np.save(tmp_path / "x.npy", np.zeros(5))
    np.save(tmp_path / "y.npy", np.array([["a"]]))
    group = zarr.open_group(tmp_path / "x.zarr", mode="w")
    group.create_array("rows", shape=(5, 2), dtype="float32")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["b"] = np.zeros((5, 2)), np.zeros((5, 2))
    for name, fault in (
        ("x.npy", r"x.npy: has shape \(5,\)"),
        ("y.npy", "y.npy: holds <U1, which is no number"),
        ("x.zarr", "is a zarr group that holds rows"),
        ("x.h5", "key: .*x.h5 holds a, b; name the dataset"),
    ):
        with pytest.raises(DataError, match=fault):
            scan(tmp_path / name)
    assert scan(tmp_path / "x.zarr" / "rows").size == 5
    assert scan(tmp_path / "x.h5", key="b").size == 5


@pytest.mark.parametrize(
    ("library", "name", "extra"),
    [
        ("pyarrow", "x.parquet", "files"),
        ("h5py", "x.h5", "scans"),
        ("zarr", "x.zarr", "scans"),
    ],
)
def test_a_missing_library_is_named(
    tmp_path: Path, monkeypatch: Any, library: str, name: str, extra: str
) -> None:
    path = tmp_path / name
    if name.endswith(".zarr"):
        path.mkdir()
        (path / "zarr.json").write_text("{}")
    else:
        path.write_text("anything")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(DataError, match=rf'{library}.*pip install "brenier\[{extra}\]'):
        scan(path)


# ---- shards


@pytest.mark.parametrize("source", BY_PLACE)
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_shards_are_even_and_make_up_the_scan(
    tmp_path: Path, source: Callable[[Path], Any], ranks: int
) -> None:
    found = scan(source(tmp_path), settings=STREAMED)
    if "feather" in str(source):  # one record batch
        if ranks > 1:
            with pytest.raises(DataError, match="one would get no rows"):
                found.shard(0, ranks)
        return
    shards = [pickle.loads(pickle.dumps(found.shard(k, ranks))) for k in range(ranks)]
    rows = [numbers(rows_of(shard)) for shard in shards]
    assert sorted(itertools.chain(*rows)) == list(range(ROWS))
    assert [len(own) for own in rows] == [shard.size for shard in shards]
    sizes = list(map(len, rows))
    assert max(sizes) - min(sizes) <= GROUP * (1 if ranks < 5 else 2)
    again = [shards[0].shard(k, 2) for k in range(2)]
    parts = (numbers(rows_of(one)) for one in again)
    assert sorted(itertools.chain(*parts)) == sorted(rows[0])


def test_a_process_without_rows_is_named(tmp_path: Path) -> None:
    found = scan(in_parquet(tmp_path))
    with pytest.raises(DataError, match="row groups for 40 processes"):
        found.shard(3, 40)
    with pytest.raises(DataError, match="rank: is 2 of 2"):
        found.shard(2, 2)
    with pytest.raises(DataError, match="InOrder: comes in an order of its own"):
        scan(InOrder()).shard(0, 2)
