"""`brenier evaluate`: the map compared with simpler ones."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest
from apps.cli.samples import Y
from console import run


def test_evaluate_prints_honest_baselines(model: Path, capsys: Any) -> None:
    code, out, err = run(
        capsys, "evaluate", "model", "x.npy", "y.npy", "--out", "judged"
    )
    assert (code, err) == (0, "")
    rows = [
        line
        for line in out.splitlines()
        if line.startswith(("identity", "affine map", "this map", "fresh"))
    ]
    assert len(rows) == 4
    assert Path("judged/report.md").exists()
    pandas.DataFrame(Y[:, ::-1], columns=["weight", "height"]).assign(id=0).to_csv(
        "y.csv", index=False
    )
    code, out, _ = run(capsys, "evaluate", "model", "x.npy", "y.csv", "--json")
    assert code == 0
    scores = json.loads(out)["scores"]
    assert (
        scores["this map"]["energy distance"]
        < scores["identity (source)"]["energy distance"]
    )


def test_evaluate_without_pot_leaves_the_sliced_distance_out(
    model: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ot", None)
    code, out, err = run(capsys, "evaluate", "model", "x.npy", "y.npy")
    assert code == 0
    assert "sliced" not in out
    assert 'pip install "brenier[metrics]"' in err
