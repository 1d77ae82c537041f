"""What a user is told of tables before training: dialect, features, what is left out, and columns that look odd."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from apps.cli.samples import SMALL
from console import run

from brenier import load

N = 40
ROWS = np.random.default_rng(0).normal(size=(N, 2)).round(5)


@pytest.fixture
def frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """A table of two features, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return pd.DataFrame(ROWS, columns=["a", "b"])


def fitted(capsys: Any, *words: str) -> tuple[int, str]:
    """The exit code of a fit of both tables, and what it said on standard error."""
    small = [word for word in SMALL if word != "--quiet"]
    small[small.index("--max-steps") + 1] = "1"
    code, _, err = run(capsys, "fit", *words, "--out", "m", *small, "--restart")
    return code, err


def test_features_and_what_is_left_out_are_told(
    frame: pd.DataFrame, capsys: Any
) -> None:
    frame.assign(city="Rome", empty=np.nan).to_csv("x.csv", index=False)
    frame.to_csv("plain.csv", index=False)
    told = "x.csv: features a, b; left out: city (text), empty (all empty)"
    code, err = fitted(capsys, "x.csv", "x.csv", "--quiet")
    assert (code, err) == (0, f"{told}\n")
    assert told in fitted(capsys, "x.csv", "x.csv")[1]
    assert fitted(capsys, "plain.csv", "plain.csv", "--quiet") == (0, "")
    err = fitted(capsys, "plain.csv", "x.csv")[1]
    assert "plain.csv: features a, b\n" in err
    assert told in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values", "what"),
    [
        pytest.param(
            "event",
            np.arange(N),
            "in order, like numbers of rows",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "t",
            np.arange(N)[::-1] * 5.0,
            "in order, like numbers of rows",
            marks=pytest.mark.slow,
        ),
        ("t", np.random.default_rng(0).permutation(N), "like numbers of rows"),
        ("user id", np.arange(N)[np.argsort(ROWS[:, 0])] ** 2, "like identifiers"),
        ("treated", np.arange(N) % 2, "only 0 and 1, like a flag"),
        pytest.param(
            "treated",
            np.arange(N) % 2 == 1,
            "only 0 and 1, like a flag",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_columns_that_are_no_measurements_are_pointed_out(
    frame: pd.DataFrame, capsys: Any, name: str, values: Any, what: str
) -> None:
    frame.assign(**{name: values}).to_csv("x.csv", index=False)
    code, err = fitted(capsys, "x.csv", "x.csv", "--quiet")
    assert code == 0
    assert f"warning: x.csv: column {name!r} holds " in err
    assert what in err
    assert "--columns a,b" in err
    code, err = fitted(capsys, "x.csv", "x.csv", "--quiet", "--columns", f"a,b,{name}")
    assert (code, "moved like any other" in err) == (0, False)


def test_measurements_are_not_pointed_out(frame: pd.DataFrame, capsys: Any) -> None:
    counts = np.random.default_rng(0).integers(0, 20, N)
    frame.assign(n=counts, idea=frame.a).to_csv("x.csv", index=False)
    assert fitted(capsys, "x.csv", "x.csv", "--quiet") == (0, "")


def test_a_stray_cell_stops_before_training(frame: pd.DataFrame, capsys: Any) -> None:
    texts = frame.astype(str)
    texts.loc[6, "b"] = "<0.5"
    texts.to_csv("y.csv", index=False)
    frame.to_csv("x.csv", index=False)
    code, err = fitted(capsys, "x.csv", "y.csv")
    assert code == 2
    assert "y.csv: column 'b' holds '<0.5' in line 8" in err
    assert not Path("m").exists()
    frame.assign(b="u").to_csv("y.csv", index=False)
    code, err = fitted(capsys, "x.csv", "y.csv")
    assert code == 2
    assert "y.csv: column 'b' is left out (text), and holds numbers in x.csv" in err


@pytest.mark.slow
def test_what_was_guessed_is_told(frame: pd.DataFrame, capsys: Any) -> None:
    frame.to_csv("x.csv", index=False, sep=";", decimal=",")
    code, err = fitted(capsys, "x.csv", "x.csv", "--quiet")
    assert (code, err) == (0, "x.csv: semicolons between fields, decimal commas\n")
    frame.to_csv("x.csv", index=False, header=False)
    assert "no header: line 1 holds numbers" in fitted(capsys, "x.csv", "x.csv")[1]
    frame.assign(kind="u").to_csv("x.csv", index=False, header=False)
    assert "the first line is taken for names" in fitted(capsys, "x.csv", "x.csv")[1]


def test_the_dialect_may_be_given_and_is_kept(frame: pd.DataFrame, capsys: Any) -> None:
    whole = (1000 * frame.abs() + 1000).round().astype(int)
    rows = [f"{u:,d};é;{v:,d}" for u, v in whole.to_numpy()]
    text = "\n".join(["a;city;b", *rows]) + "\n"
    Path("x.csv").write_text(text, encoding="utf-16")
    code, err = fitted(capsys, "x.csv", "x.csv")
    assert code == 2
    assert "--decimal" in err
    told = ["--decimal", ",", "--delimiter", "semicolon"]
    assert fitted(capsys, "x.csv", "x.csv", *told)[0] == 0
    code, _, err = run(capsys, "transport", "m", "x.csv", "z.csv", *told)
    assert code == 0, err
    written = Path("z.csv").read_text(encoding="utf-16").splitlines()
    assert written[0] == "a;city;b"
    assert all(line.split(";")[1] == "é" for line in written[1:])
    moved = pd.read_csv("z.csv", sep=";", decimal=",", encoding="utf-16")
    np.testing.assert_allclose(
        moved[["a", "b"]], load("m").transform(whole.astype(float) / 1000), rtol=1e-6
    )
    code, _, err = run(capsys, "transport", "m", "x.csv", "z.csv.gz", *told)
    assert code == 0, err
    pd.testing.assert_frame_equal(
        pd.read_csv("z.csv.gz", sep=";", decimal=",", encoding="utf-16"), moved
    )
    for words in (["--delimiter", "ab"], ["--delimiter", "5"], ["--decimal", ";"]):
        assert run(capsys, "fit", "x.csv", "x.csv", "--out", "n", *words)[0] == 2


def test_names_come_back_as_they_were(frame: pd.DataFrame, capsys: Any) -> None:
    text = "Unnamed: 9,a,b,,b.1\n" + "".join(f"u,{u},{v},,w\n" for u, v in ROWS)
    Path("x.csv").write_text("# a note\n" + text)
    assert fitted(capsys, "x.csv", "x.csv")[0] == 0
    code, _, err = run(capsys, "transport", "m", "x.csv", "z.csv")
    assert code == 0, err
    assert "z.csv has none of the comment lines of x.csv (1)" in err
    first = Path("z.csv").read_text().splitlines()[0]
    assert first == "Unnamed: 9,a,b,,b.1"
    Path("x.csv").write_text("a,a\n1,2\n3,4\n")
    code, err = fitted(capsys, "x.csv", "x.csv")
    assert code == 2
    assert "has 2 columns called 'a'" in err
