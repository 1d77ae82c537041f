"""`brenier drift`: verdict, exit code, JSON, page, a kept reference, and what cannot be used."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from console import run

QUICK = ["--no-map", "--permutations", "99", "--quiet"]


def week(seed: int = 1, shift: float = 0.0, rows: int = 200) -> pd.DataFrame:
    """Rows of two numbers and a category; a shift is one of the first, in standard deviations."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "heat": rng.normal(20 + 2 * shift, 2, rows),
            "flow": rng.normal(5, 1, rows),
            "operator": rng.choice(["Ada", "Bo", "Cy"], rows),
        }
    )


@pytest.fixture
def weeks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a reference, a week like it, and one that is not."""
    monkeypatch.chdir(tmp_path)
    tables = {"reference": week(0), "same": week(1), "other": week(2, shift=1.0)}
    for name, table in tables.items():
        table.to_csv(f"{name}.csv", index=False)
        table.to_parquet(f"{name}.parquet")
        numbers = table[["heat", "flow"]].to_numpy()
        np.save(f"{name}.npy", numbers)
        np.savez(f"{name}.npz", rows=numbers, more=numbers)
        table.to_csv(f"{name}-de.csv", index=False, sep=";", decimal=",")
    return tmp_path


def drift(capsys: Any, *words: str) -> tuple[int, str, str]:
    """What a quick comparison says."""
    return run(capsys, "drift", *words, *QUICK)


@pytest.mark.parametrize(
    ("suffix", "words"),
    [
        (".csv", []),
        (".parquet", []),
        (".npy", []),
        (".npz", ["--key", "rows"]),
        ("-de.csv", ["--delimiter", ";", "--decimal", ","]),
        (".csv", ["--columns", "operator,heat"]),
    ],
)
def test_the_exit_code_says_whether_there_is_drift(
    suffix: str, words: list[str], weeks: Path, capsys: Any
) -> None:
    names = [f"{name}{suffix}" for name in ("reference", "same", "other")]
    code, out, err = drift(capsys, names[0], names[1], *words)
    assert (code, err) == (0, "")
    code, out, err = drift(capsys, names[0], names[2], *words)
    assert (code, err) == (3, "")
    verdict = out.splitlines()[0]
    first = "x0" if suffix.startswith(".np") else "heat"
    assert "drift" in verdict.lower()
    assert first in verdict
    ranked = [line.split()[0] for line in out.splitlines() if " moved " in line]
    assert ranked[:1] == [first]


def test_a_file_without_a_header_goes_by_places(weeks: Path, capsys: Any) -> None:
    for seed, name in enumerate(("a", "b")):
        numbers = week(seed).drop(columns="operator")
        numbers.to_csv(f"{name}.csv", index=False, header=False)
    assert drift(capsys, "a.csv", "b.csv")[0] == 0
    code, out, _ = drift(capsys, "a.csv", "other.npy", "--json")
    assert code == 3
    assert json.loads(out)["features"][0]["name"] == "x0"


def test_json_is_all_of_standard_output(weeks: Path, capsys: Any) -> None:
    code, out, _ = drift(capsys, "reference.csv", "other.csv", "--json")
    assert code == 3
    found = json.loads(out)
    assert found["drifted"] is True
    assert found["name"] == "other"
    assert 0 < found["p_value"] <= 0.05
    assert found["distance"] is None
    assert found["features"][0]["name"] == "heat"
    assert found["rows"] == [200, 200]
    assert found["left_out"] == {}
    assert "NaN" not in out
    assert "Infinity" not in out


def test_a_map_gives_the_distance_and_rows(weeks: Path, capsys: Any) -> None:
    words = ["reference.npy", "other.npy", "--permutations", "99", "--max-time", "2"]
    code, out, _ = run(capsys, "drift", *words, "--json", "--quiet", "--out", "page")
    assert code == 3
    found = json.loads(out)
    low, high = found["distance"]["interval"]
    assert 0 < low < 1.0 < high < 2
    assert found["moved_rows"]
    text = Path("page/report.md").read_text()
    assert "## Rows that moved most" in text
    assert "W2 = " in text


def test_several_files_are_weeks_with_their_names(weeks: Path, capsys: Any) -> None:
    code, out, _ = drift(capsys, "reference.csv", "same.csv", "other.csv")
    assert code == 3
    assert "other" in out.splitlines()[0]
    assert "same" not in out.splitlines()[0]
    code, out, _ = drift(capsys, "reference.csv", "same.csv", "other.csv", "--json")
    found = json.loads(out)
    assert [each["name"] for each in found["weeks"]] == ["same", "other"]
    assert [each["drifted"] for each in found["weeks"]] == [False, True]
    code, out, _ = drift(capsys, "reference.csv", "same.csv", "same.parquet")
    assert code == 0
    assert "same.parquet" in out


def test_by_splits_one_file(weeks: Path, capsys: Any) -> None:
    year = pd.concat([week(1).assign(week="w1"), week(2, 1.0).assign(week="w2")])
    year.to_csv("year.csv", index=False)
    words = ["year.csv", "--by", "week", "--out", "page"]
    code, out, _ = drift(capsys, "reference.csv", *words)
    assert code == 3
    assert "w2" in out.splitlines()[0]
    assert Path("page/weeks.png").exists()
    week(0).assign(week="w0").to_csv("before.csv", index=False)
    code, out, _ = drift(capsys, "before.csv", "year.csv", "--by", "week", "--json")
    found = json.loads(out)
    assert [each["name"] for each in found["weeks"]] == ["w1", "w2"]
    assert "week" not in [each["name"] for each in found["weeks"][0]["features"]]


def test_the_page_begins_with_the_verdict(weeks: Path, capsys: Any) -> None:
    code, out, _ = drift(capsys, "reference.csv", "other.csv", "--out", "page")
    assert code == 3
    assert "Report: page/report.md" in out
    text = Path("page/report.md").read_text()
    assert text.splitlines()[:5:2][1:] == ["## Verdict", out.splitlines()[0]]
    assert "(displacements.png)" in text
    assert "(distributions.png)" in text
    assert Path("page/displacements.png").exists()
    assert Path("page/distributions.png").exists()
    assert "can and cannot say" in text


def test_a_reference_is_fitted_once_and_used_again(weeks: Path, capsys: Any) -> None:
    keep = ["reference.csv", "same.csv", "--reference-model", "ref"]
    code, first, err = drift(capsys, *keep)
    assert (code, err) == (0, "Reference: ref\n")
    assert drift(capsys, *keep) == (0, first, "")
    code, out, _ = drift(capsys, *keep[:2], "--json")
    plain = json.loads(out)
    Path("reference.csv").unlink()
    code, out, err = drift(capsys, "ref", "same.csv", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["p_value"] == plain["p_value"]
    code, _, err = drift(capsys, "--reference-model", "ref", "other.csv")
    assert (code, err) == (3, "")
    assert drift(capsys, "ref", "same.csv", "other.csv")[0] == 3


def test_a_reference_of_other_data_or_settings_is_not_used(
    weeks: Path, capsys: Any
) -> None:
    keep = ["--reference-model", "ref"]
    assert drift(capsys, "reference.csv", "same.csv", *keep)[0] == 0
    code, out, err = drift(capsys, "same.csv", "other.csv", *keep)
    assert (code, out) == (2, "")
    assert "ref holds the reference of other data than same.csv" in err
    assert "brenier drift ref WEEK" in err
    words = ["reference.csv", "same.csv", "--columns", "heat", *keep]
    code, _, err = drift(capsys, *words)
    assert code == 2
    assert "with other settings" in err
    code, _, err = drift(capsys, "ref", "same.csv", "--columns", "heat")
    assert code == 2
    assert "--columns: is settled by the saved reference ref" in err
    Path("full").mkdir()
    Path("full/note.txt").write_text("mine")
    code, _, err = drift(
        capsys, "reference.csv", "same.csv", "--reference-model", "full"
    )
    assert code == 2
    assert "full is not what this option made" in err
    assert Path("full/note.txt").read_text() == "mine"


def test_categories_by_name_or_not_at_all(weeks: Path, capsys: Any) -> None:
    code, out, _ = drift(
        capsys, "reference.csv", "same.csv", "--categorical", "none", "--json"
    )
    found = json.loads(out)
    assert code == 0
    assert list(found["left_out"]) == ["operator"]
    assert {each["name"] for each in found["features"]} == {"heat", "flow"}
    for seed, name in enumerate(("reference", "same")):
        lines = np.random.default_rng(seed).integers(1, 4, 200)
        week(seed).assign(line=lines).to_csv(f"{name}.csv", index=False)
    code, out, _ = drift(
        capsys, "reference.csv", "same.csv", "--categorical", "line,operator", "--json"
    )
    kinds = {each["name"]: each["kind"] for each in json.loads(out)["features"]}
    assert kinds["line"] == kinds["operator"] == "category"


def test_missing_values_follow_the_policy(weeks: Path, capsys: Any) -> None:
    gaps = week()
    gaps.loc[:60, "flow"] = np.nan
    gaps.to_csv("gaps.csv", index=False)
    code, out, err = drift(capsys, "reference.csv", "gaps.csv")
    assert (code, out) == (2, "")
    assert "gaps.csv" in err
    assert "flow" in err
    code, out, _ = drift(
        capsys, "reference.csv", "gaps.csv", "--missing", "drop", "--json"
    )
    assert (code, json.loads(out)["rows"]) == (0, [200, 139])
    code, out, _ = drift(capsys, "reference.csv", "gaps.csv", "--missing", "fill")
    assert code == 3
    assert "missing" in out.splitlines()[0]


def test_a_week_of_one_row_gets_an_answer(weeks: Path, capsys: Any) -> None:
    week(rows=1).to_csv("one.csv", index=False)
    code, out, err = drift(capsys, "reference.csv", "one.csv", "--out", "page")
    assert (code, err) == (0, "")
    assert "nothing can be said" in out.splitlines()[0]
    assert drift(capsys, "reference.csv", "one.csv", "--json")[0] == 0


def test_columns_that_count_rows_are_asked_about(weeks: Path, capsys: Any) -> None:
    for seed, name in enumerate(("reference", "same")):
        week(seed).assign(nr=range(200)).to_csv(f"{name}.csv", index=False)
    _, _, err = drift(capsys, "reference.csv", "same.csv")
    assert "reference.csv: column 'nr' holds whole numbers" in err
    assert "--columns heat,flow,operator" in err
    words = ["--columns", "heat,flow,operator"]
    assert drift(capsys, "reference.csv", "same.csv", *words)[2] == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["reference.csv"], "WEEK: is missing"),
        (["reference.csv", "nowhere.csv"], "nowhere.csv: does not exist"),
        (["nowhere.csv", "same.csv"], "nowhere.csv: does not exist"),
        (["reference.csv", "x.txt"], "x.txt: is of no known kind"),
        (["reference.csv", "empty.csv"], "empty.csv: is empty"),
        (["reference.csv", "header.csv"], "header.csv: has no rows"),
        (["reference.csv", "less.csv"], "less.csv: lacks column 'flow' of"),
        (["less.csv", "same.csv"], "same.csv: has column 'flow', which the ref"),
        (["reference.csv", "text.csv"], "text.csv: column 'flow' holds categories, in"),
        (["reference.csv", "stray.csv"], "stray.csv: column 'heat' holds '<5' in line"),
        (["reference.csv", "same.csv", "same.csv"], "same.csv: is given 2 times"),
        (["reference.csv", "same.csv", "--columns", "heat,size"], "no 'size' in refer"),
        (["reference.csv", "same.csv", "--by", "wek"], "--by: there is no 'wek' in sa"),
        (["reference.npy", "same.npy", "--by", "w"], "--by: same.npy has no column"),
        (["reference.csv", "a.csv", "b.csv", "--by", "w"], "--by: splits one file"),
        (["reference.csv", "same.csv", "--categorical", "size"], "no 'size' in refere"),
        (["reference.npz", "same.npz"], "reference.npz holds rows, more"),
        (["reference.csv", "same.csv", "--key", "rows"], "--key: was given, but refer"),
        (["reference.npy", "three.npy"], "three.npy: "),
        (["reference.csv", "same.csv", "--level", "2"], "level: "),
        (["reference.csv", "same.csv", "--permutations", "0"], "'0' is no number"),
        (["reference.csv", "same.csv", "--out", "same.csv"], "same.csv is a file"),
        (["--reference-model", "ref", "same.csv"], "there is no folder ref"),
        ([".", "same.csv"], "."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_told_by_name_with_exit_code_2(
    words: list[str], told: str, weeks: Path, capsys: Any
) -> None:
    Path("empty.csv").touch()
    Path("header.csv").write_text("heat,flow,operator\n")
    table = week()
    table.drop(columns="flow").to_csv("less.csv", index=False)
    table.assign(flow="high").to_csv("text.csv", index=False)
    table = table.astype({"heat": object})
    table.loc[7, "heat"] = "<5"
    table.to_csv("stray.csv", index=False)
    np.save("three.npy", np.ones((50, 3)))
    code, out, err = drift(capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert told in err
    assert "Traceback" not in err


def test_an_interruption_is_no_verdict(
    weeks: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*words: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("brenier.apps.cli.drift.drift", stop)
    code, out, err = drift(capsys, "reference.csv", "other.csv")
    assert (code, out, err) == (130, "", "\nInterrupted.\n")
