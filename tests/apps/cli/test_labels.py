"""Labels from files: text on both sides, exactly as written; and rows of classes that the model does not know."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from console import run
from fits import quick

from brenier import load

N = 60
ROWS = np.random.default_rng(0).normal(size=(N, 2)).round(5)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder."""
    monkeypatch.chdir(tmp_path)


def frame(*labels: Any) -> pd.DataFrame:
    """A table of two features, and these labels in turn."""
    cycled = (list(labels) * N)[:N]
    return pd.DataFrame(ROWS, columns=["a", "b"]).assign(k=cycled)


def fit(capsys: Any, first: str, second: str) -> tuple[int, str]:
    """The exit code of a fit by class, and what it said on standard error."""
    small = ["--max-steps", "1", "--batch-size", "64", "--quiet"]
    words = ["fit", first, second, "--out", "m", "--labels", "k", *small]
    code, _, err = run(capsys, *words)
    return code, err


def test_words_for_missing_values_are_names(capsys: Any) -> None:
    words = ["None", "NA", "nan", "null", "01"]
    frame(*words).to_csv("x.csv", index=False)
    assert fit(capsys, "x.csv", "x.csv") == (0, "")
    assert load("m").labels_ == tuple(words)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_files_that_type_labels_otherwise_share_them(kind: str, capsys: Any) -> None:
    if kind == "csv":
        frame(1, 2).to_csv("x.csv", index=False)
    else:
        frame(1, 2).to_parquet("x.parquet")
    frame("1", "2", "unknown").to_csv("y.csv", index=False)
    code, err = fit(capsys, f"x.{kind}", "y.csv")
    assert code == 0
    assert "only one side has 'unknown'" in err
    assert load("m").labels_ == ("1", "2")
    for name in (f"x.{kind}", "y.csv"):
        words = ["--labels", "k", "--unknown-labels", "drop"]
        assert run(capsys, "transport", "m", name, "o.csv", *words)[0] == 0


@pytest.mark.slow
def test_arrays_keep_their_types_unless_the_files_differ(capsys: Any) -> None:
    kinds = np.arange(N) % 2
    np.savez("x.npz", rows=ROWS, k=kinds)
    np.savez("y.npz", rows=ROWS, k=kinds.astype(str)[:, None])
    np.savez("z.npz", rows=ROWS, k=kinds.astype(bytes))
    assert fit(capsys, "x.npz", "x.npz") == (0, "")
    assert load("m").labels_ == (0, 1)
    code, _, err = run(capsys, "transport", "m", "y.npz", "o.npy", "--labels", "k")
    assert code == 0, err
    for other in ("y.npz", "z.npz"):
        assert fit(capsys, "x.npz", other) == (0, "")
        assert load("m").labels_ == ("0", "1")


def test_dates_are_kept_as_text(capsys: Any) -> None:
    days = pd.to_datetime(["2020-01-01", "2020-01-02"])
    frame(*days).to_parquet("x.parquet")
    frame(*days).to_csv("y.csv", index=False)
    assert fit(capsys, "x.parquet", "y.csv") == (0, "")
    assert load("m").labels_ == ("2020-01-01", "2020-01-02")


def test_a_missing_label_is_refused_with_its_line(capsys: Any) -> None:
    frame("u", "").to_csv("x.csv", index=False)
    code, err = fit(capsys, "x.csv", "x.csv")
    assert code == 2
    assert "x.csv: the label in line 3 is missing (column 'k' is empty there)" in err
    frame("u", None).to_parquet("x.parquet")
    code, err = fit(capsys, "x.parquet", "x.parquet")
    assert code == 2
    assert "x.parquet: the label in row 1 (counted from 0) is missing" in err
    assert not Path("m").exists()


def test_models_with_numbers_as_labels_take_tables(capsys: Any) -> None:
    kinds = [1, 2] * (N // 2)
    ot = quick(max_steps=1).fit(ROWS, ROWS, source_labels=kinds, target_labels=kinds)
    ot.save("m")
    frame(1, 2).to_csv("x.csv", index=False)
    code, _, err = run(capsys, "transport", "m", "x.csv", "o.csv", "--labels", "k")
    assert code == 0, err
    moved = pd.read_csv("o.csv")
    np.testing.assert_allclose(moved[["a", "b"]], ot.transform(ROWS, kinds))


# ---- rows of classes that the model does not know


@pytest.fixture
def odd(capsys: Any) -> pd.DataFrame:
    """A table with rows of classes that the model m does not know, in x.csv, x.parquet and x.npz."""
    frame("u", "v").to_csv("known.csv", index=False)
    assert fit(capsys, "known.csv", "known.csv")[0] == 0
    table = frame("u", "new", "v", "other")
    table.to_csv("x.csv", index=False)
    table.to_parquet("x.parquet")
    np.savez("x.npz", rows=ROWS, k=table.k.to_numpy(dtype=str))
    return table


@pytest.mark.slow
@pytest.mark.parametrize("way", [[], ["--inverse"], ["--interpolate", "0.5"]])
@pytest.mark.parametrize(
    ("given", "written"),
    [("x.csv", "o.csv"), ("x.parquet", "o.parquet"), ("x.csv", "o.parquet")],
)
def test_they_are_kept_or_dropped_in_their_order(
    odd: pd.DataFrame, given: str, written: str, way: list[str], capsys: Any
) -> None:
    read = pd.read_csv if written.endswith("csv") else pd.read_parquet
    known = odd.k.isin(["u", "v"])
    words = ["transport", "m", given, written, "--labels", "k", "--quiet", *way]
    code, out, err = run(capsys, *words, "--unknown-labels", "keep")
    assert code == 0, err
    assert out.startswith("30 rows moved, ")
    assert "30 of 60 rows copied unmoved" in err
    assert "'new', 'other'" in err
    kept = read(written)
    assert list(kept.k) == list(odd.k)
    pd.testing.assert_frame_equal(kept[~known], odd[~known], check_dtype=False)
    code, out, err = run(capsys, *words, "--unknown-labels", "drop")
    assert code == 0, err
    assert "30 of 60 rows left out" in err
    dropped = read(written).reset_index(drop=True)
    expected = kept[known].reset_index(drop=True)
    pd.testing.assert_frame_equal(dropped, expected, check_dtype=False)


@pytest.mark.parametrize("words", [[], ["--unknown-labels", "error"]])
def test_they_are_refused_by_default(
    odd: pd.DataFrame, words: list[str], capsys: Any
) -> None:
    told = ["transport", "m", "x.csv", "o.csv", "--labels", "k", *words]
    code, _, err = run(capsys, *told)
    assert code == 2
    assert "x.csv: 'new', 'other' not among the classes" in err
    assert "30 of 60 rows" in err
    assert "--unknown-labels keep" in err
    assert not Path("o.csv").exists()


def test_so_are_those_of_arrays_and_without_a_label(
    odd: pd.DataFrame, capsys: Any
) -> None:
    words = ["--labels", "k", "--unknown-labels"]
    assert run(capsys, "transport", "m", "x.npz", "o.npy", *words, "keep")[0] == 0
    kept = np.load("o.npy")
    np.testing.assert_array_equal(kept[1::2], ROWS[1::2])
    assert run(capsys, "transport", "m", "x.npz", "o.npy", *words, "drop")[0] == 0
    np.testing.assert_allclose(np.load("o.npy"), kept[::2], rtol=1e-6)
    odd.assign(k=odd.k.where(odd.k.isin(["u", "v"]))).to_csv("x.csv", index=False)
    code, _, err = run(capsys, "transport", "m", "x.csv", "o.csv", *words, "drop")
    assert (code, len(pd.read_csv("o.csv"))) == (0, 30)
    assert "'missing'" in err
    odd.assign(k="w").to_csv("x.csv", index=False)
    code, _, err = run(capsys, "transport", "m", "x.csv", "n.csv", *words, "drop")
    assert code == 2
    assert "no row is of a class" in err


def test_kept_rows_stay_letter_by_letter(odd: pd.DataFrame, capsys: Any) -> None:
    text = "k,a,b\nu,1.0,2.0\nnew,1.50,-0.2500000000000000001\n"
    Path("x.csv").write_text(text)
    words = ["--labels", "k", "--unknown-labels", "keep"]
    assert run(capsys, "transport", "m", "x.csv", "o.csv", *words)[0] == 0
    assert Path("o.csv").read_text().splitlines()[2] == text.splitlines()[2]


def test_evaluation_leaves_them_out(odd: pd.DataFrame, capsys: Any) -> None:
    code, out, err = run(capsys, "evaluate", "m", "x.csv", "x.csv", "--labels", "k")
    assert code == 0, err
    assert [line.split()[0] for line in out.splitlines()[1:4]] == ["u", "v", "mean"]
