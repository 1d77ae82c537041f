"""The command line: help, exit codes, and how errors are reported."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from apps.cli.samples import COMMANDS, SMALL, X, Y
from console import run
from PIL import Image

from brenier import load
from brenier.apps.cli import commands


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


def test_warnings_are_one_line_each(here: Path, capsys: Any) -> None:
    np.save("x.npy", X * [1, 1e8])
    np.save("y.npy", Y * [1, 1e8])
    words = ["fit", "x.npy", "y.npy", "--out", "m", *SMALL, "--potential", "convex"]
    code, _, err = run(capsys, *words)
    assert code == 0
    assert err.startswith("warning: X, Y: feature scales differ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [["demo", "--out", "d"], ["colour", "a.png", "b.png", "--out", "c.png"]]
)
def test_without_pillow_the_extra_is_named(
    words: list[str], here: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    for module in [name for name in sys.modules if name.startswith("PIL.")]:
        monkeypatch.setitem(sys.modules, module, None)
    code, _, err = run(capsys, *words)
    assert code == 2
    assert 'pip install "brenier[images]"' in err
    assert not Path("d").exists()
