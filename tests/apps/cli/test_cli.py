"""The command line, as a user meets it: what is written, what is printed, which exit code."""

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from console import run
from PIL import Image

from brenier import OptimalTransport, load
from brenier.apps.cli import commands, main

COMMANDS = ("fit", "transport", "evaluate", "info", "colour", "demo")
SMALL = ["--max-steps", "20", "--batch-size", "64", "--quiet"]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 2)), np.sinh(RNG.normal(size=(250, 2))) + np.array([2, 0])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with samples of both sides."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.save("y.npy", Y)
    np.save("three.npy", RNG.normal(size=(50, 3)))
    return tmp_path


@pytest.fixture(scope="session")
def ot() -> OptimalTransport:
    """A map of two named features."""
    frames = (
        pandas.DataFrame(values, columns=["height", "weight"]) for values in (X, Y)
    )
    return OptimalTransport("convex", max_steps=20, batch_size=64, random_state=0).fit(
        *frames
    )


@pytest.fixture
def model(here: Path, ot: OptimalTransport) -> Path:
    """The saved map, in the working folder."""
    ot.save("model")
    return here / "model"


@pytest.fixture
def table(here: Path) -> pandas.DataFrame:
    """A table of text with the features among other columns, also in the file people.csv."""
    frame = pandas.DataFrame(
        {
            "id": [f"{i:04d}" for i in range(5)],
            "weight": [repr(float(value)) for value in X[:5, 1]],
            "city, country": ['Rome "IT"', "NA", "", "line\nbreak", "Köln"],
            "height": [repr(float(value)) for value in X[:5, 0]],
            "when": ["2024-02-30", "1e3", "true", "007", " x "],
        }
    )
    frame.to_csv("people.csv", index=False)
    return frame


# ---- help and errors


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_has_an_example(command: str, capsys: Any) -> None:
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert f"usage: brenier {command}" in out
    assert f"example:\n  brenier {command}" in out
    assert max(map(len, out.splitlines())) <= 100


def test_main_help_tells_commands_and_exit_codes(capsys: Any) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(f"\n    {command} " in out for command in COMMANDS)
    assert all(f"\n  {number} " in out for number in (0, 1, 2, 3, 130))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "required: COMMAND"),
        (["fit", "x.npy", "y.npy"], "--out"),
        (["fit", "x.npy", "y.npy", "--out", "m", "--max-steps", "many"], "--max-steps"),
        (
            ["fit", "x.npy", "y.npy", "--out", "m", "--device", "nowhere"],
            "'nowhere' is not usable",
        ),
        (
            ["fit", "x.npy", "y.npy", "--out", "m", "--tol", "-1"],
            "tol: must be a positive number",
        ),
        (["fit", "missing.npy", "y.npy", "--out", "m"], "missing.npy: does not exist"),
        (["fit", "x.txt", "y.npy", "--out", "m"], "x.txt: is of no known kind"),
        (
            ["fit", "x.npy", "three.npy", "--out", "m"],
            "three.npy: has 3 features, but x.npy has 2",
        ),
        (
            ["fit", "hole.npy", "y.npy", "--out", "m"],
            "hole.npy: 1 of 300 rows hold NaN or inf, the first is row 7",
        ),
        (
            ["fit", "people.csv", "y.npy", "--out", "m", "--columns", "id,size"],
            "no 'size' in people.csv",
        ),
        (
            ["fit", "people.csv", "y.npy", "--out", "m", "--columns", "a,,b"],
            "names no columns",
        ),
        (["fit", "x.npy", "y.npy", "--out", "x.npy"], "--out: x.npy is a file"),
        (
            ["fit", "x.npy", "y.npy", "--out", "m", "--resume"],
            "there is no unfinished run in m",
        ),
        (["transport", "nowhere", "x.npy", "o.npy"], "nowhere/model.json: not found"),
        (
            ["transport", "model", "three.npy", "o.npy"],
            "three.npy: has 3 features, but the model has 2",
        ),
        (["transport", "model", "x.npy", "o.xyz"], "o.xyz: is of no known kind"),
        (
            ["transport", "model", "x.npy", "nowhere/o.npy"],
            "nowhere/o.npy: its folder does not exist",
        ),
        (
            ["transport", "model", "lacking.csv", "o.csv"],
            "lacking.csv: has no numeric column 'weight'",
        ),
        (
            ["transport", "model", "hole.npy", "o.npy"],
            "hole.npy: 1 of 300 rows hold NaN or inf, the first is row 7",
        ),
        (
            ["transport", "model", "x.npy", "o.npy", "--inverse", "--interpolate", "1"],
            "not allowed with",
        ),
        (
            ["evaluate", "model", "x.npy", "three.npy"],
            "three.npy: has 3 features, but x.npy has 2",
        ),
        (["info", "damaged"], "the weights are truncated or were altered"),
        (["colour", "photo.png", "x.npy", "--out", "o.png"], "x.npy: not a picture"),
        (
            ["colour", "photo.png", "photo.png", "--out", "o.gif"],
            "o.gif: no format has the suffix",
        ),
        (
            ["colour", "photo.png", "photo.png", "--out", "nowhere/o.png"],
            "nowhere/o.png: its folder does not exist",
        ),
        (
            ["colour", "photo.png", "photo.png", "--out", "o.png", "--strength", "2"],
            "--strength: is 2",
        ),
        (
            ["colour", "photo.png", "photo.png", "--out", "o.png", "--evenness", "-1"],
            "evenness: is -1",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_told_by_name_with_exit_code_2(
    words: list[str], told: str, model: Path, table: pandas.DataFrame, capsys: Any
) -> None:
    hole = X.copy()
    hole[7, 1] = np.nan
    np.save("hole.npy", hole)
    table[["height", "id"]].to_csv("lacking.csv", index=False)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save("photo.png")
    model.rename("damaged")
    load("damaged").save("model")
    next(Path("damaged").glob("*.safetensors")).write_bytes(b"nothing")
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert told in err
    assert "Traceback" not in err
    assert not Path("m").exists()
    assert not Path("o.npy").exists()


def test_the_unexpected_is_short_and_debug_tells_where(
    capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "info", lambda **_: 1 // 0)
    code, _, err = run(capsys, "info", "model")
    assert code == 1
    assert err.startswith("error: unexpected ZeroDivisionError")
    assert "--debug" in err
    code, _, err = run(capsys, "info", "model", "--debug")
    assert code == 1
    assert "Traceback" in err


# ---- fit


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


def test_warnings_are_one_line_each(here: Path, capsys: Any) -> None:
    np.save("x.npy", X * [1, 1e8])
    np.save("y.npy", Y * [1, 1e8])
    code, _, err = run(capsys, "fit", "x.npy", "y.npy", "--out", "m", *SMALL)
    assert code == 0
    assert err.startswith("warning: X, Y: feature scales differ")
    assert err.count("\n") == 1


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


# ---- transport


def test_transport_there_and_back(
    model: Path, ot: OptimalTransport, capsys: Any
) -> None:
    code, out, err = run(capsys, "transport", "model", "x.npy", "moved.npy")
    assert (code, err) == (0, "")
    assert out == "300 rows moved, 0 unconverged; written to moved.npy\n"
    np.testing.assert_array_equal(np.load("moved.npy"), ot.map_(X))
    assert main(["transport", "model", "moved.npy", "back.npz", "--inverse"]) == 0
    np.testing.assert_allclose(np.load("back.npz")["values"], X, atol=1e-3)
    assert (
        main(["transport", "model", "x.npy", "half.npy", "--interpolate", "0.5"]) == 0
    )
    np.testing.assert_allclose(np.load("half.npy"), (X + ot.map_(X)) / 2)


@pytest.mark.parametrize(
    ("given", "written"), [("f4", "f4"), ("f8", "f8"), ("i8", "f8"), (">f4", "f4")]
)
def test_arrays_keep_their_precision(given: str, written: str, model: Path) -> None:
    np.save("x.npy", (10 * X).astype(given))
    assert main(["transport", "model", "x.npy", "o.npy"]) == 0
    assert np.load("o.npy").dtype == np.dtype(written)


def test_large_arrays_are_moved_a_few_rows_at_a_time(
    model: Path, ot: OptimalTransport, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = import_module("brenier.apps.cli.inputs")
    on_disk = dataclasses.replace(inputs.INPUT, max_in_memory=0)
    monkeypatch.setattr(inputs, "INPUT", on_disk)
    command = import_module("brenier.apps.cli.transport")
    few = dataclasses.replace(command.TRANSPORT, rows_at_once=64)
    monkeypatch.setattr(command, "TRANSPORT", few)
    assert main(["transport", "model", "x.npy", "o.npy", "--quiet"]) == 0
    np.testing.assert_allclose(np.load("o.npy"), ot.map_(X))
    before = Path("o.npy").read_bytes()
    hole = X.copy()
    hole[200, 1] = np.inf
    np.save("hole.npy", hole)
    capsys.readouterr()
    code, _, err = run(capsys, "transport", "model", "hole.npy", "o.npy", "--quiet")
    assert code == 2
    assert "the first is row 200 in column 1" in err
    assert Path("o.npy").read_bytes() == before
    assert not list(Path().glob(".*"))


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


def test_unconverged_rows_are_counted_and_all_of_them_is_a_failure(
    model: Path, capsys: Any
) -> None:
    weak = load("model")
    weak.map_.max_steps, weak.map_.tol = 0, 1e-30
    weak.save("weak")
    code, out, err = run(capsys, "transport", "weak", "y.npy", "o.npy", "--inverse")
    assert code == 3
    assert "250 rows moved, 250 unconverged" in out
    assert err.startswith("warning: 250 of 250 rows did not converge")
    assert np.isfinite(np.load("o.npy")).all()
    assert main(["evaluate", "weak", "x.npy", "y.npy"]) == 3


# ---- evaluate and info


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


def test_info_is_told_to_people_and_to_programs(model: Path, capsys: Any) -> None:
    code, out, _ = run(capsys, "info", "model")
    assert code == 0
    assert "height, weight" in out
    assert "W2 = " in out
    _, out, _ = run(capsys, "info", "model", "--json")
    told = json.loads(
        out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON")
    )
    assert told["features"] == ["height", "weight"]
    assert told["training"]["steps"] == 20
    assert told["certificate"]["certified"] is True
