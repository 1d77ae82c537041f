"""Tables through a map: the features are moved, everything else stays."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas
from apps.cli.samples import X
from console import run

from brenier import OptimalTransport
from brenier.apps.cli import main


def test_other_columns_of_a_csv_file_stay_letter_by_letter(
    model: Path, table: pandas.DataFrame, ot: OptimalTransport
) -> None:
    assert main(["transport", "model", "people.csv", "o.csv"]) == 0
    moved = pandas.read_csv("o.csv", dtype=str, keep_default_na=False)
    assert list(moved) == list(table)
    others = ["id", "city, country", "when"]
    pandas.testing.assert_frame_equal(moved[others], table[others], check_dtype=False)
    np.testing.assert_allclose(
        moved[["height", "weight"]].astype(float), ot.map_(X[:5])
    )


def test_other_columns_of_a_parquet_file_keep_their_types(
    model: Path, capsys: Any
) -> None:
    frame = pandas.DataFrame(
        {
            "when": pandas.date_range("2024", periods=3),
            "weight": [1, 2, 3],
            "height": [0.0] * 3,
        }
    )
    frame.index = pandas.Index(["a", "b", "c"], name="who")
    frame.to_parquet("people.parquet")
    assert main(["transport", "model", "people.parquet", "o.parquet"]) == 0
    moved = pandas.read_parquet("o.parquet")
    pandas.testing.assert_frame_equal(moved[["when"]], frame[["when"]])
    assert list(moved) == list(frame)
    capsys.readouterr()
    _, _, err = run(capsys, "transport", "model", "people.parquet", "o.npy")
    assert err == "note: o.npy holds features only; left out: when\n"


def test_a_table_without_header_stays_one(model: Path, ot: OptimalTransport) -> None:
    Path("bare.csv").write_text("1,2\n3,4\n")
    assert main(["transport", "model", "bare.csv", "o.csv"]) == 0
    moved = np.loadtxt("o.csv", delimiter=",")
    np.testing.assert_allclose(moved, ot.map_(np.array([[1.0, 2.0], [3.0, 4.0]])))


def test_columns_may_be_renamed(
    model: Path, table: pandas.DataFrame, ot: OptimalTransport
) -> None:
    table.rename(columns={"height": "h, cm", "weight": "w"}).to_csv(
        "people.csv", index=False
    )
    assert (
        main(["transport", "model", "people.csv", "o.csv", "--columns", '"h, cm",w'])
        == 0
    )
    np.testing.assert_allclose(pandas.read_csv("o.csv")[["h, cm", "w"]], ot.map_(X[:5]))
