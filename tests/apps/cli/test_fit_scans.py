"""`brenier fit` of folders, patterns and files larger than memory."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from apps.cli.samples import SMALL
from console import run
from scan_files import frame

from brenier import load
from brenier.apps.cli import fit_sides, inputs


@pytest.fixture
def folders(here: Path) -> None:
    """Rows of a source in files of their own, and of a target in a folder."""
    for name, shift in (("in", 0.0), ("target", 5.0)):
        Path(name).mkdir()
        made = frame()
        made[["u", "v"]] = np.random.default_rng(0).normal(size=(1000, 2)) + shift
        for place, part in enumerate(np.array_split(np.arange(1000), 2)):
            made.iloc[part].to_parquet(f"{name}/{place}.parquet", row_group_size=100)


def fitted(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    code, out, err = run(capsys, "fit", *arguments, "--out", "model", *SMALL)
    return code, out, err


def test_patterns_and_folders_are_fitted(folders: None, capsys: Any) -> None:
    code, out, err = fitted(capsys, "in/*.parquet", "target", "--columns", "u,v")
    assert (code, err) == (0, "")
    assert "W2 = " in out
    assert load("model").feature_names_in_.tolist() == ["u", "v"]
    page = Path("model/report.md").read_text(encoding="utf-8")
    assert "# Transport map from in/*.parquet to target\n" in page
    assert "in/*.parquet: 1,000 rows in 2 files, 2 features: u, v" in page


def test_columns_that_are_no_numbers_are_left_out_and_told(
    folders: None, capsys: Any
) -> None:
    code, _, err = fitted(capsys, "in", "target", "--weight", "w")
    assert code == 0
    told = "features u, v, dose; left out, since they are no numbers: kind"
    assert f"in: {told}" in err
    assert f"target: {told}" in err
    assert "effective_rows" in load("model").diagnostics_


def test_labels_are_a_column(folders: None, capsys: Any) -> None:
    arguments = ("--labels", "kind", "--columns", "u,v")
    code, out, _ = fitted(capsys, "in", "target", *arguments)
    assert code == 0
    assert set(load("model").labels_ or ()) == {"a", "b"}
    assert "class" in out


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("in/*.arrow", "target"), "in/*.arrow: no file has such a name"),
        (("in", "nowhere"), "nowhere: does not exist"),
        (("in", "target", "--columns", "u,kind"), "column 'kind' of in/0.parquet"),
        (("in", "target", "--columns", "u,x"), "columns: there is no 'x' in in/0"),
        (("in", "target", "--labels", "x"), "labels: there is no 'x' in in/0"),
    ],
)
def test_what_cannot_be_used_is_named(
    folders: None, capsys: Any, arguments: tuple[str, ...], fault: str
) -> None:
    code, _, err = fitted(capsys, *arguments)
    assert code == 2
    assert fault in err
    assert not Path("model").exists()


def test_large_files_are_gone_through_and_small_ones_are_read(
    here: Path, monkeypatch: Any
) -> None:
    frame()[["u", "v"]].to_parquet("x.parquet")
    np.save("x.npy", np.zeros((5, 2)))
    pandas.DataFrame({"a": [1.0]}).to_csv("x.csv")
    names = [Path(f"x.{kind}") for kind in ("parquet", "npy", "csv")]
    assert [fit_sides.is_scanned(name) for name in names] == [False, False, False]
    tiny = dataclasses.replace(inputs.INPUT, max_in_memory=0)
    monkeypatch.setattr(fit_sides, "INPUT", tiny)
    assert [fit_sides.is_scanned(name) for name in names] == [True, True, False]
