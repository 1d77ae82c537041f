"""Which columns of a table are features, and which cells are in the way."""

import datetime
import decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brenier import DataError
from brenier.datasets import label_column_of, read_samples
from brenier.datasets.cells import stray_cell

ROWS = np.random.default_rng(1).normal(size=(40, 2)).round(4)


def table(tmp_path: Path, cells: list[str], name: str = "zinc") -> Path:
    """A table with a column of numbers and one of these cells."""
    path = tmp_path / "x.csv"
    rows = [f'{u},"{cell}"' for u, cell in zip(ROWS[:, 0], cells, strict=True)]
    path.write_text("\n".join([f"lead,{name}", *rows]) + "\n")
    return path


STRAYS = ["<0.5", "n.d.", "1,5", "-", "?", "1.0e", "3 kg", "12%", "1 000", "$5", "x"]


@pytest.mark.parametrize("stray", STRAYS)
def test_a_cell_among_numbers_is_named_with_its_line(
    stray: str, tmp_path: Path
) -> None:
    cells = [str(value) for value in ROWS[:, 1]]
    cells[7] = stray
    path = table(tmp_path, cells)
    with pytest.raises(DataError) as caught:
        read_samples(path)
    assert f"{path}: column 'zinc' holds {stray!r} in line 9" in str(caught.value)
    assert "--columns" in str(caught.value)
    with pytest.raises(DataError, match=r"columns: 'zinc' in .* in line 9"):
        read_samples(path, columns=["lead", "zinc"])
    assert read_samples(path, columns=["lead"]).values.shape == (40, 1)


@pytest.mark.parametrize("stray", ["n.d.", "-", "<0.5"])
def test_many_cells_of_one_word_are_strays_too(stray: str, tmp_path: Path) -> None:
    numbers = [str(value) for value in ROWS[:, 1]]
    cells = [stray if row % 4 else number for row, number in enumerate(numbers)]
    with pytest.raises(DataError, match="and 29 others that are no numbers"):
        read_samples(table(tmp_path, cells))


@pytest.mark.parametrize(
    "cells",
    [
        ["red", "blue"],
        ["2024-01-05", "2024-01-06"],
        ["05.01.2024", "06.01.2024"],
        ["12:30", "13:45"],
        ["A12", "B7"],
        ["1-2", "3-4"],
        ["192.168.0.1", "10.0.0.1"],
        ["", "kind"],
        ["12 High Street", "7 Low Road"],
    ],
)
def test_text_is_left_out_and_told(cells: list[str], tmp_path: Path) -> None:
    found = read_samples(table(tmp_path, cells * 20))
    assert found.columns == ("lead",)
    assert found.left_out == (("zinc", "text"),)


def test_every_reason_is_told(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [1, 2]})
    frame["when"] = pd.date_range("2020", periods=2)
    frame["day"] = [datetime.date(2020, 1, 1)] * 2
    frame["long"] = pd.to_timedelta([1, 2], unit="D")
    frame["none"] = pd.array([None, None], dtype="Float64")
    frame["price"] = [decimal.Decimal("1.5"), decimal.Decimal("2.5")]
    frame["kind"] = pd.Categorical(["u", "v"])
    frame.to_parquet(tmp_path / "x.parquet")
    found = read_samples(tmp_path / "x.parquet", labels="kind")
    assert found.columns == ("a", "b", "price")
    assert dict(found.left_out) == {
        "when": "dates",
        "day": "dates",
        "long": "durations",
        "none": "all empty",
        "kind": "the labels",
    }


def test_strays_of_parquet_files_are_named_by_row(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": ROWS[:, 0], "b": ["1.5"] * 39 + ["<5"]})
    frame.to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="column 'b' holds '<5' in row 39"):
        read_samples(tmp_path / "x.parquet")


def test_names_are_kept_as_written_and_once(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b,b\n1,2,3\n")
    with pytest.raises(DataError, match="2 columns called 'b'"):
        read_samples(path)
    with pytest.raises(DataError, match=r"columns: .* 2 columns called 'b'"):
        read_samples(path, columns=["b"])
    assert read_samples(path, columns=["a"]).columns == ("a",)
    path.write_text("Unnamed: 1, a.1 ,1\n1,2,3\n")
    assert read_samples(path).columns == ("Unnamed: 1", " a.1 ", "1")


def test_labels_are_text_exactly_as_written(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    words = ["None", "NA", "nan", "null", "1", "01", "1.0", "True", " a", ""]
    path.write_text("\n".join(["a,k", *[f"1,{word}" for word in words]]) + "\n")
    assert label_column_of(path, "k") == [*words[:-1], None]


def test_labels_of_parquet_files_read_as_in_csv_files(tmp_path: Path) -> None:
    stamps = pd.to_datetime(["2020-01-01", "2020-01-01 12:30"], format="mixed")
    frame = pd.DataFrame(
        {
            "whole": [1, 2],
            "gap": [1.0, None],
            "flag": [True, False],
            "text": ["None", "01"],
            "when": stamps,
            "kind": pd.Categorical(["u", "v"]),
            "real": [0.5, 2.0],
        }
    )
    frame.to_parquet(tmp_path / "x.parquet")
    frame.to_csv(tmp_path / "x.csv", index=False)
    expected = {
        "whole": ["1", "2"],
        "gap": ["1", None],
        "flag": ["True", "False"],
        "text": ["None", "01"],
        "when": ["2020-01-01", "2020-01-01 12:30:00"],
        "kind": ["u", "v"],
        "real": ["0.5", "2"],
    }
    for name, labels in expected.items():
        assert label_column_of(tmp_path / "x.parquet", name) == labels
    for name in ("whole", "flag", "text", "kind"):
        assert label_column_of(tmp_path / "x.csv", name) == expected[name]


def test_no_cell_is_a_stray_in_a_column_of_numbers_or_of_nothing() -> None:
    assert stray_cell(["1", "2.5", "-3e4", "nan", None, ""]) is None
    assert stray_cell([]) is None
    assert stray_cell([None, ""]) is None
    assert stray_cell(["1,5", "2"], ",") is None
