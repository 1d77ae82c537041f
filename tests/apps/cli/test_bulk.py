"""`brenier transport` of many files: a folder or a pattern to a folder, resumed, with the exit codes of one file."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from apps.cli.samples import X
from console import run

from brenier import OptimalTransport
from brenier.apps.cli import main


@pytest.fixture
def folder(model: Path) -> list[Path]:
    """Three tables in the folder `in` beside the model."""
    Path("in").mkdir()
    paths = [Path("in") / f"part-{k}.parquet" for k in range(3)]
    for k, path in enumerate(paths):
        frame = pd.DataFrame(X[k * 50 : (k + 1) * 50], columns=["height", "weight"])
        frame.insert(0, "id", np.arange(50 * k, 50 * k + 50))
        frame.to_parquet(path)
    return paths


@pytest.mark.parametrize("source", ["in", "in/", "in/*.parquet"])
def test_a_folder_or_a_pattern_goes_to_a_folder(
    source: str, folder: list[Path], ot: OptimalTransport, capsys: Any
) -> None:
    code, out, err = run(capsys, "transport", "model", source, "out/", "--quiet")
    assert (code, err) == (0, "")
    assert (
        out == "150 rows of 3 files moved, 0 unconverged, 0 invalid; written to out\n"
    )
    written = pd.read_parquet("out")
    assert list(written.columns) == ["id", "height", "weight", "status"]
    np.testing.assert_allclose(
        written[["height", "weight"]].to_numpy(), ot.map_(X[:150]), rtol=1e-12
    )
    code, out, _ = run(capsys, "transport", "model", source, "out/", "--quiet")
    assert "3 of these files had been finished by an earlier run" in out


def test_a_file_goes_to_a_folder_or_by_several_processes_to_a_file(
    folder: list[Path], capsys: Any
) -> None:
    first = str(folder[0])
    Path("there").mkdir()
    assert run(capsys, "transport", "model", first, "there", "--quiet")[0] == 0
    assert list(pd.read_parquet("there/part-0.parquet").columns)[-1] == "status"
    words = ["transport", "model", first, "moved.parquet", "--workers", "1", "--quiet"]
    code, out, _ = run(capsys, *words)
    assert (code, out.startswith("50 rows of 1 file moved")) == (0, True)
    assert list(pd.read_parquet("moved.parquet").columns) == ["id", "height", "weight"]
    run(capsys, *words, "--status", "how")
    assert pd.read_parquet("moved.parquet")["how"].tolist() == ["converged"] * 50


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in", "in"], "error: OUTPUT: in is where in/part-"),
        (["nix/*.csv", "out/"], "error: INPUT: nix/*.csv holds no file"),
        (["in", "out/", "--columns", "height"], "error: --columns: are 1, but"),
        (["in", "out/", "--columns", "height,z"], "there is no column 'z'"),
        (["in", "out/", "--labels", "id"], "error: --labels: the model was fitted wi"),
        (["in", "out/", "--covariates", "id"], "error: --covariates: the model was"),
        (["in", "out/", "--status", "id"], "error: --status: in/part-0.parquet alre"),
        (["in", "out/", "--workers", "0"], "error: --workers: must be a whole number"),
        (["in", "out/", "--interpolate", "nan"], "error: --interpolate: must be"),
        (["in", "out/", "--key", "a"], "error: --key: names an array of one .npz"),
        (["in", "model/model.json"], "error: OUTPUT: model/model.json is a file"),
    ],
)
def test_what_is_wrong_is_named_by_the_words_of_the_command(
    words: list[str], message: str, folder: list[Path], capsys: Any
) -> None:
    code, out, err = run(capsys, "transport", "model", *words, "--quiet")
    assert (code, out) == (2, "")
    assert message in err


def test_another_way_into_the_same_folder_is_refused_unless_restarted(
    folder: list[Path], capsys: Any
) -> None:
    words = ["transport", "model", "in", "out/", "--quiet"]
    assert main(words) == 0
    code, _, err = run(capsys, *words, "--inverse")
    assert code == 2
    assert "written by a run with another inverse" in err
    assert "--restart" in err
    assert main([*words, "--inverse", "--restart"]) == 0


def test_rows_that_cannot_be_moved_are_told_of(folder: list[Path], capsys: Any) -> None:
    frame = pd.read_parquet(folder[1])
    frame.loc[4, "height"] = np.nan
    frame.to_parquet(folder[1])
    words = ["transport", "model", "in", "out/", "--quiet"]
    code, out, err = run(capsys, *words)
    assert (code, ", 1 invalid;" in out) == (0, True)
    assert err.startswith("warning: source: 1 of 150 rows hold NaN")
    code, _, err = run(capsys, *words, "--restart", "--invalid-rows", "error")
    assert code == 2
    assert "part-1.parquet: 1 of 50 rows read hold NaN" in err
    frame["height"] = np.nan
    for path in folder:
        frame.to_parquet(path)
    assert run(capsys, *words, "--restart")[0] == 3  # no row is to be relied on
