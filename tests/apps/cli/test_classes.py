"""Commands with labels: one map per class, from tables and from .npz files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from apps.cli.samples import SMALL
from console import run
from fits import quick

from brenier import load


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_from_files_to_files_and_back(rings: Path, capsys: Any, kind: str) -> None:
    told = ["--labels", "side"]
    code, out, err = run(
        capsys, "fit", f"a.{kind}", f"b.{kind}", "--out", "m", *told, *SMALL
    )
    assert code == 0, err
    assert out.startswith("class")
    assert "Distance within each class" in Path("m/report.md").read_text()
    assert Path("m/scatter.png").stat().st_size > 1000
    assert load("m").labels_ == (("left", "right") if kind == "csv" else (1, 0))
    assert (
        run(capsys, "transport", "m", f"a.{kind}", "moved.csv", *told, "--quiet")[0]
        == 0
    )
    moved = pd.read_csv("moved.csv")
    points = moved[["u", "v"] if kind == "csv" else list(moved.columns[:2])].to_numpy()
    assert (points[:100, 0] > 0.3).all()
    assert (points[100:, 0] < -0.3).all()
    if kind == "csv":
        assert list(moved.columns) == ["u", "v", "side"]
        assert (
            run(
                capsys,
                "transport",
                "m",
                "moved.csv",
                "back.csv",
                *told,
                "--inverse",
                "--quiet",
            )[0]
            == 0
        )
        np.testing.assert_allclose(
            pd.read_csv("back.csv")["u"], pd.read_csv("a.csv")["u"], atol=1e-3
        )


def test_measured_class_by_class(rings: Path, capsys: Any) -> None:
    assert (
        run(capsys, "fit", "a.csv", "b.csv", "--out", "m", "--labels", "side", *SMALL)[
            0
        ]
        == 0
    )
    code, out, err = run(
        capsys, "evaluate", "m", "a.csv", "b.csv", "--labels", "side", "--out", "e"
    )
    assert code == 0, err
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["left", "right", "mean"]
    assert "| mean |" in Path("e/report.md").read_text()
    code, out, _ = run(
        capsys, "evaluate", "m", "a.csv", "b.csv", "--labels", "side", "--json"
    )
    found = json.loads(out)["classes"]
    assert [part["label"] for part in found] == ["left", "right"]
    assert all(abs(part["distance"]["w2"] - 2) < 0.2 for part in found)
    code, out, _ = run(capsys, "info", "m")
    assert code == 0
    assert "left" in out
    assert json.loads(run(capsys, "info", "m", "--json")[1])["labels"] == [
        "left",
        "right",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "fit a.csv b.csv --out n --labels kind",
            "--labels: there is no column 'kind' in a.csv, which has u, v, side",
        ),
        (
            "fit plain.csv b.csv --out n --labels kind",
            "--labels: plain.csv has no header",
        ),
        (
            "fit a.npz b.npz --out n --labels kind",
            "--labels: there is no array 'kind' in a.npz",
        ),
        (
            "fit x.npy x.npy --out n --labels side",
            "--labels: x.npy holds one array and no labels",
        ),
        (
            "fit a.csv b.csv --out n --labels u --columns v",
            "a.csv and b.csv: share no class",
        ),
        (
            "transport m a.csv out.csv",
            "--labels: m was fitted with classes ('left', 'right'); name the column",
        ),
        ("evaluate m a.csv b.csv", "--labels: m was fitted with classes"),
        (
            "transport m odd.csv out.csv --labels side",
            "'up' not among the classes that the map was fitted on",
        ),
    ],
)
def test_faults_are_told(rings: Path, capsys: Any, words: str, message: str) -> None:
    np.save("x.npy", np.zeros((9, 2)))
    np.savetxt("plain.csv", np.ones((9, 2)), delimiter=",")
    frame = pd.read_csv("a.csv")
    frame.assign(side="up").to_csv("odd.csv", index=False)
    assert (
        run(capsys, "fit", "a.csv", "b.csv", "--out", "m", "--labels", "side", *SMALL)[
            0
        ]
        == 0
    )
    code, _, err = run(capsys, *words.split())
    assert code == 2
    assert message in err
    assert not Path("out.csv").exists()


def test_a_model_with_covariates_is_told_of_and_goes_on_in_python(
    tmp_path: Path, capsys: Any
) -> None:
    x, dose = np.random.default_rng(0).normal(size=(200, 2)), np.linspace(0, 2, 200)
    quick(max_steps=2).fit(x, x + dose[:, None], target_covariates=dose).save(
        tmp_path / "m"
    )
    np.save(tmp_path / "x.npy", x)
    code, out, _ = run(capsys, "info", str(tmp_path / "m"))
    assert code == 0
    assert "0 to 2" in out
    assert json.loads(run(capsys, "info", str(tmp_path / "m"), "--json")[1])[
        "covariates"
    ]["high"] == [2.0]
    for words in (
        ["transport", "m", "x.npy", "moved.npy"],
        ["evaluate", "m", "x.npy", "x.npy"],
    ):
        code, _, err = run(
            capsys, words[0], *(str(tmp_path / word) for word in words[1:])
        )
        assert code == 2
        assert "was fitted with covariates" in err
        assert "transform(X, covariates=...)" in err
