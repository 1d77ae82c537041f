"""Files of samples: what is written is read back, and what cannot be read is told by name."""

import builtins
import os
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from brenier.datasets import read_samples, write_samples
from brenier.errors import DataError

KINDS = (".npy", ".npz", ".csv", ".parquet")


@pytest.fixture
def values():
    return np.random.default_rng(0).standard_normal((20, 3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_written_is_read_back(kind, dtype, values, tmp_path):
    path = tmp_path / f"samples{kind}"
    write_samples(path, values.astype(dtype), columns=["a", "b", "c"])
    read = read_samples(path)
    np.testing.assert_allclose(
        np.asarray(read.values, dtype), values.astype(dtype), rtol=1e-15
    )
    assert read.columns == (("a", "b", "c") if kind in (".csv", ".parquet") else None)
    assert read.path == path
    assert os.listdir(tmp_path) == [path.name]
    assert kind == ".csv" or read.values.dtype == dtype


def test_tensors_and_lists_are_written_and_names_made_up(tmp_path):
    path = tmp_path / "samples.CSV"
    write_samples(path, torch.ones(2, 2))
    assert read_samples(str(path)).columns == ("x0", "x1")
    write_samples(path, [[1, 2]])
    assert read_samples(path).values.tolist() == [[1.0, 2.0]]


def test_npy_is_mapped_unless_told_otherwise(values, tmp_path):
    path = tmp_path / "samples.npy"
    write_samples(path, values)
    assert isinstance(read_samples(path).values, np.memmap)
    assert not isinstance(read_samples(path, mmap=False).values, np.memmap)
    np.save(path, values.astype(">f8"))
    assert read_samples(path).values.dtype.isnative


def test_npz_takes_a_key_where_it_must(values, tmp_path):
    path = tmp_path / "samples.npz"
    np.savez(
        path,
        train=values,
        test=values[:5],
        names=np.array(["a", "b"]),
        things=np.array([None]),
    )
    assert read_samples(path, key="test").values.shape == (5, 3)
    with pytest.raises(DataError, match="holds train, test, names, things"):
        read_samples(path)
    with pytest.raises(DataError, match=r"no array 'x'.*train, test"):
        read_samples(path, key="x")
    with pytest.raises(DataError, match="not real numbers"):
        read_samples(path, key="names")
    with pytest.raises(DataError, match="cannot be read"):
        read_samples(path, key="things")


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_tables_give_numeric_columns_or_those_asked_for(kind, tmp_path):
    path = tmp_path / f"table{kind}"
    frame = pl.DataFrame(
        {"a": [1, 2], "label": ["u", "v"], "b": [0.5, None], "flag": [True, False]}
    )
    frame.write_csv(path) if kind == ".csv" else frame.write_parquet(path)
    read = read_samples(path)
    assert read.columns == ("a", "b", "flag")
    np.testing.assert_array_equal(read.values, [[1, 0.5, 1], [2, np.nan, 0]])
    assert read_samples(path, columns=["b", "a"]).values[0].tolist() == [0.5, 1.0]
    assert read_samples(path, columns="a").values.shape == (2, 1)
    with pytest.raises(DataError, match=r"no 'c' in .* which has a, label, b, flag"):
        read_samples(path, columns=["a", "c"])
    with pytest.raises(DataError, match=r"'label' in .* holds"):
        read_samples(path, columns=["label"])
    frame.select("label").write_csv(path) if kind == ".csv" else frame.select(
        "label"
    ).write_parquet(path)
    with pytest.raises(DataError, match=r"none of its columns is numeric \(label\)"):
        read_samples(path)


def test_nullable_columns_become_nan(tmp_path):
    pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}).to_parquet(
        tmp_path / "t.parquet"
    )
    np.testing.assert_array_equal(
        read_samples(tmp_path / "t.parquet").values, [[1], [np.nan]]
    )


@pytest.mark.parametrize(
    ("text", "columns", "first"),
    [
        ("1.5,2\n3,4\n", None, [1.5, 2]),
        ("1.5,1.5\n3,4\n", None, [1.5, 1.5]),
        ("1.5,\n3,4\n", None, [1.5, np.nan]),
        ("a,b\n3,4\n", ("a", "b"), [3, 4]),
        ("0,1\n3,4\n", ("0", "1"), [3, 4]),  # as pandas writes a frame without names
        (",0,1\n7,3,4\n", ("0", "1"), [3, 4]),  # and its index
        (",a,b\n7,3,4\n", ("a", "b"), [3, 4]),
    ],
)
def test_headers_and_indices_of_csv_files(text, columns, first, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(text)
    read = read_samples(path)
    assert read.columns == columns
    np.testing.assert_array_equal(read.values[0], first)


def damaged(kind, content, tmp_path):
    path = tmp_path / f"damaged{kind}"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "content",
    [b"\x93NUMPY\x01", b"PK\x03\x04 no archive", b"\xff\xfe\x00garbage\x00\n\x01"],
)
def test_damaged_files_are_named(kind, content, tmp_path):
    with pytest.raises(
        DataError, match=rf"damaged\{kind}: (cannot be read as|none of its columns)"
    ):
        read_samples(damaged(kind, content, tmp_path))


@pytest.mark.parametrize("kind", [".npy", ".npz", ".parquet"])
def test_truncated_files_are_named(kind, values, tmp_path):
    path = tmp_path / f"samples{kind}"
    write_samples(path, values)
    cut = damaged(kind, path.read_bytes()[: path.stat().st_size * 2 // 3], tmp_path)
    with pytest.raises(DataError, match="cannot be read as"):
        read_samples(cut)
    if kind == ".npy":
        with pytest.raises(DataError, match="cannot be read as"):
            read_samples(cut, mmap=False)


def test_a_damaged_array_in_an_intact_archive_is_named(values, tmp_path):
    path = tmp_path / "samples.npz"
    write_samples(path, values)
    content = bytearray(path.read_bytes())
    content[300] ^= 255
    with pytest.raises(DataError, match="cannot be read as"):
        read_samples(damaged(".npz", bytes(content), tmp_path))


def test_files_of_another_kind_are_named(values, tmp_path):
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "b.npz", values)
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    with pytest.raises(DataError, match=r"it is a \.npy file"):
        read_samples(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"magic string is not correct"):
        read_samples(tmp_path / "b.npy")


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("code from a file was run",))


@pytest.mark.parametrize("mmap", [True, False])
def test_objects_are_never_unpickled(mmap, tmp_path):
    np.save(tmp_path / "a.npy", np.array([[Trap()]], dtype=object))
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Trap()))
    for name in ("a.npy", "b.npy"):
        with pytest.raises(DataError, match="plain numbers"):
            read_samples(tmp_path / name, mmap=mmap)


def test_rows_longer_than_the_header_are_refused(tmp_path):
    with pytest.raises(DataError, match="more fields than the header"):
        read_samples(damaged(".csv", b"a,b\n1,2,3\n4,5,6\n", tmp_path))


@pytest.mark.parametrize("kind", KINDS)
def test_paths_that_hold_no_samples_are_named(kind, tmp_path):
    folder = tmp_path / f"folder{kind}"
    folder.mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read_samples(folder)
    with pytest.raises(DataError, match="is a folder"):
        write_samples(folder, np.ones((1, 1)))
    with pytest.raises(DataError, match="does not exist"):
        read_samples(tmp_path / f"none{kind}")
    with pytest.raises(DataError, match="is empty"):
        read_samples(damaged(kind, b"", tmp_path))
    with pytest.raises(DataError, match="create it first"):
        write_samples(tmp_path / "none" / f"a{kind}", np.ones((1, 1)))


@pytest.mark.parametrize(
    "array",
    [
        np.ones(3),
        np.ones((2, 2, 2)),
        np.ones((0, 3)),
        np.array([["a"]]),
        np.ones((1, 1), complex),
    ],
)
def test_arrays_that_are_not_samples_are_named(array, tmp_path):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=r"a\.npy: (has shape|holds|cannot be read)"):
        read_samples(tmp_path / "a.npy")
    with pytest.raises(DataError, match=r"values: (has shape|holds)"):
        write_samples(tmp_path / "b.npy", array)


def test_arguments_that_do_not_belong_are_named(values, tmp_path):
    write_samples(tmp_path / "a.npy", values)
    with pytest.raises(DataError, match="columns: were given"):
        read_samples(tmp_path / "a.npy", columns=["a"])
    with pytest.raises(DataError, match="key: was given"):
        read_samples(tmp_path / "a.npy", key="a")
    with pytest.raises(DataError, match=r"ends in .npy, .npz, .csv, .parquet"):
        read_samples(tmp_path / "a.pkl")
    for columns in (["a"], ["a", "a", "b"]):
        with pytest.raises(DataError, match="columns: are"):
            write_samples(tmp_path / "b.csv", values, columns=columns)
    write_samples(tmp_path / "b.csv", values)
    with pytest.raises(DataError, match="no samples"):
        read_samples(tmp_path / "b.csv", columns=[])


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_write_leaves_the_old_file_alone(kind, values, tmp_path, monkeypatch):
    path = tmp_path / f"samples{kind}"
    write_samples(path, values)

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_samples(path, values + 1)
    assert os.listdir(tmp_path) == [path.name]
    np.testing.assert_array_equal(read_samples(path).values, values)


@pytest.mark.parametrize(
    ("kind", "missing"), [(".csv", "pandas"), (".parquet", "pyarrow")]
)
def test_without_an_extra_it_is_named(kind, missing, values, tmp_path, monkeypatch):
    path = tmp_path / f"samples{kind}"
    write_samples(path, values)
    importing = builtins.__import__

    def without(name, *rest):
        if name == missing:
            raise ImportError(f"No module named '{missing}'", name=missing)
        return importing(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for use in (lambda: read_samples(path), lambda: write_samples(path, values)):
        with pytest.raises(DataError, match=rf"{missing}.*brenier\[files\]"):
            use()
