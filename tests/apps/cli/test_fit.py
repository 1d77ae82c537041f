"""`brenier fit`: what is written, and how an interrupted run is resumed."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from apps.cli.samples import SMALL, X, Y
from console import run
from fits import PAIR

from brenier import OptimalTransport, load
from brenier.apps.cli import main
from brenier.apps.cli.fit import _print_outcome


def test_fit_writes_a_model_and_a_report(here: Path, capsys: Any) -> None:
    code, out, err = run(
        capsys,
        "fit",
        "x.npy",
        "y.npy",
        "--out",
        "deep/model",
        *SMALL,
        "--potential",
        "convex",
    )
    assert (code, err) == (0, "")
    assert "W2 = " in out
    assert "deep/model/report.md" in out
    fitted = load("deep/model")
    assert fitted.get_params()["potential"] == "convex"
    assert fitted.get_params()["checkpoint"] is None
    names = {path.name for path in Path("deep/model").iterdir()}
    assert {
        "model.json",
        "report.md",
        "loss.png",
        "inner.png",
        "scatter.png",
        "round-trip.png",
    } < names
    assert "unfinished" not in names


def test_rows_are_kept_or_not(here: Path, capsys: Any) -> None:
    np.save("a.npy", PAIR[0])
    np.save("b.npy", PAIR[1])
    command = ["fit", "a.npy", "b.npy", "--max-steps", "60", "--batch-size", "128"]
    for told, rows in (([], 800), (["--no-rows"], 0)):
        code, out, _ = run(capsys, *command, "--quiet", "--out", f"m{rows}", *told)
        assert code == 0
        assert re.search(r"spread; \S+ % of the rows do not come back; ", out)
        _, out, _ = run(capsys, "info", f"m{rows}")
        assert re.search(rf"source rows +{rows or 'none'}", out)
        _, out, _ = run(capsys, "info", f"m{rows}", "--json")
        assert json.loads(out)["start_rows"] == rows
    assert load("m0").keep_rows is False


@pytest.mark.parametrize(
    ("selected", "told"),
    [
        *(("affine", True), ("identity", True)),
        *(("network", False), ("plan", False), ("network and plan", False)),
    ],
)
def test_only_a_start_is_said_to_be_no_better(
    selected: str, told: bool, capsys: Any
) -> None:
    ot = OptimalTransport(max_steps=2, random_state=0).fit(X, Y)
    ot.diagnostics_["selected"] = selected
    _print_outcome(ot, Path("model"))
    out = capsys.readouterr().out
    assert (f"certainly better than the map it started from: {selected}" in out) == told


def test_fit_takes_columns_of_tables_in_any_order(
    here: Path, table: pandas.DataFrame, capsys: Any
) -> None:
    pandas.DataFrame(X, columns=["height", "weight"]).assign(id=range(300)).to_csv(
        "x.csv", index=False
    )
    pandas.DataFrame(Y[:, ::-1], columns=["weight", "height"]).to_parquet("y.parquet")
    code, _, err = run(capsys, "fit", "x.csv", "y.parquet", "--out", "m", *SMALL)
    assert code == 2
    assert "y.parquet: its numeric columns differ from those of x.csv (id)" in err
    code, _, _ = run(
        capsys,
        "fit",
        "x.csv",
        "y.parquet",
        "--out",
        "m",
        "--columns",
        "height,weight",
        *SMALL,
    )
    assert code == 0
    assert list(load("m").feature_names_in_) == ["height", "weight"]


def test_interrupted_before_the_first_step(
    here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(OptimalTransport, "fit", interrupted)
    code, out, err = run(capsys, "fit", "x.npy", "y.npy", "--out", "m", *SMALL)
    assert (code, out) == (130, "")
    assert err.strip() == "Interrupted before the first step: nothing was saved."
    assert not Path("m").exists()


@pytest.fixture
def unfinished(here: Path) -> str:
    """A run that was interrupted by SIGINT in a process of its own; the command that resumes it."""
    words = [
        "fit",
        "x.npy",
        "y.npy",
        "--out",
        "m",
        "--max-steps",
        "250",
        "--batch-size",
        "64",
        "--restart",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "brenier", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # ignored where tests run in the background
    )
    began = time.monotonic()
    while (
        not Path("m/unfinished/run.pt").exists()
        and process.poll() is None
        and time.monotonic() - began < 60
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert "Traceback" not in err
    told = err.splitlines()[-1]
    assert told.startswith("Interrupted; the run is kept at step ")
    assert Path("m/unfinished/run.pt").exists()
    assert not Path("m/model.json").exists()
    return told.partition("goes on with: ")[2]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_keeps_the_run_and_the_command_told_resumes_it(
    unfinished: str, here: Path, capsys: Any
) -> None:
    assert unfinished.startswith("python -m brenier fit x.npy y.npy ")
    words = shlex.split(unfinished)[3:]
    assert "--restart" not in words
    code, _, err = run(capsys, *words, "--potential", "residual")
    assert code == 2
    assert "other samples or settings" in err
    assert "--restart" in err
    code, _, err = run(capsys, *words, "--resume", "--quiet")
    assert code == 0
    assert err.startswith("Resuming the unfinished run in m/unfinished at step ")
    assert not Path("m/unfinished").exists()
    resumed = load("m").transform(X)
    assert main([*words[:4], "straight", *words[5:], "--quiet"]) == 0
    np.testing.assert_array_equal(resumed, load("straight").transform(X))


def test_a_damaged_run_is_discarded_on_request_only(here: Path, capsys: Any) -> None:
    Path("m/unfinished").mkdir(parents=True)
    Path("m/unfinished/run.pt").write_bytes(b"nothing")
    code, _, err = run(capsys, "fit", "x.npy", "y.npy", "--out", "m", *SMALL)
    assert code == 2
    assert "run.pt" in err
    assert "--restart" in err
    assert main(["fit", "x.npy", "y.npy", "--out", "m", *SMALL, "--restart"]) == 0


def test_several_networks_on_the_command_line(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, side in zip(("x.npy", "z.npy"), PAIR, strict=True):
        np.save(name, side)
    small = ["--max-steps", "60", "--batch-size", "128", "--quiet"]
    code, _, err = run(
        capsys, "fit", "x.npy", "z.npy", "--out", "m", "--n-networks", "2", *small
    )
    assert code == 0, err
    assert "| n_networks | 2 |" in Path("m/report.md").read_text()
    assert "mean of 2 DenseICNN" in run(capsys, "info", "m")[1]
    assert (
        len(json.loads(run(capsys, "info", "m", "--json")[1])["potential"]["mean"]) == 2
    )


def weighted_tables() -> None:
    """Write two tables with a column of weights each, and one archive."""
    pandas.DataFrame({"a": X[:, 0], "b": X[:, 1], "w": np.arange(len(X)) % 3}).to_csv(
        "x.csv", index=False
    )
    pandas.DataFrame({"b": Y[:, 1], "a": Y[:, 0], "v": 1.0}).to_csv(
        "y.csv", index=False
    )
    pandas.DataFrame({"b": Y[:, 1], "a": Y[:, 0], "w": 2.0}).to_csv(
        "z.csv", index=False
    )
    np.savez("x.npz", rows=X, w=np.arange(len(X)) % 3)


@pytest.mark.parametrize(
    "told",
    [
        ["x.csv", "y.csv", "--source-weight", "w", "--target-weight", "v"],
        ["x.csv", "z.csv", "--weight", "w"],
        ["x.npz", "y.npy", "--source-weight", "w"],
    ],
)
def test_columns_are_weights(told: list[str], here: Path, capsys: Any) -> None:
    weighted_tables()
    code, out, err = run(capsys, "fit", *told, "--out", "model", *SMALL)
    assert code == 0, err
    assert "rows have weight zero and are left out" in err
    assert "By their weights the source rows are worth" in out
    assert "By their weights" in Path("model/report.md").read_text()
    ot = load("model")
    assert ot.map_.dim == X.shape[1]
    assert list(ot.diagnostics_["effective_rows"]) == ["source"]
    code, out, _ = run(capsys, "evaluate", "model", *told)
    assert code == 0
    assert "of equal weights" in out


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        (["x.csv", "y.csv", "--weight", "w"], "weight: there is no 'w' in y.csv"),
        (
            ["x.csv", "y.csv", "--source-weight", "u"],
            "weight: there is no 'u' in x.csv",
        ),
        (
            ["x.csv", "z.csv", "--weight", "w", "--source-weight", "w"],
            "--weight: names",
        ),
        (["x.npy", "y.npy", "--weight", "w"], "x.npy holds one array and no weights"),
        (["x.npz", "y.npy", "--source-weight", "u"], "--weight: there is no array 'u'"),
        (
            ["x.csv", "y.csv", "--source-weight", "a", "--columns", "b"],
            "x.csv: the weight of",
        ),
    ],
)
def test_bad_weights_of_files_are_named(
    told: list[str], fault: str, here: Path, capsys: Any
) -> None:
    weighted_tables()
    code, _, err = run(capsys, "fit", *told, "--out", "model", *SMALL)
    assert code == 2
    assert fault in err
    assert not Path("model/model.json").exists()
