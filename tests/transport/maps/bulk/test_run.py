"""Tables in, tables of the same columns out: moved as the map moves them, to the bit, whoever does it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bulk_files import (
    FEATURES,
    class_map,
    covariate_map,
    folder_of,
    frame,
    moved_features,
    plain_map,
)
from pyarrow import feather, parquet

from brenier import ConvergenceWarning, DataError, DataWarning
from brenier.transport.maps import bulk
from brenier.transport.maps.bulk import blocks
from brenier.transport.maps.storage import save_map


def transform(model: Any, source: Any, out: Any, **options: Any) -> bulk.BulkReport:
    """Move files of the two features without a bar."""
    return bulk.transform(
        model, source, out, **{"columns": FEATURES, "quiet": True, **options}
    )


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 32 rows, two batches of the map, so that every file has several."""
    settings = blocks.BlockSettings(rows=40, group_bytes=2000)
    for module in ("blocks", "arrow_blocks", "plain_blocks"):
        monkeypatch.setattr(f"brenier.transport.maps.bulk.{module}.BLOCKS", settings)


# ---- what is written


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("inverse", [False, True])
def test_rows_are_moved_as_the_map_moves_them_to_the_bit(
    workers: int, inverse: bool, tmp_path: Path
) -> None:
    transport = plain_map()
    frames = folder_of(tmp_path / "in", row_group_size=20)
    report = transform(
        transport, tmp_path / "in", tmp_path / "out", workers=workers, inverse=inverse
    )
    assert report.counts == bulk.FileCounts(rows=90, converged=90)
    assert (report.files, report.skipped) == (3, 0)
    for name, table in frames.items():
        written = pd.read_parquet(tmp_path / "out" / name)
        expected = table.copy()
        move = transport.inverse if inverse else transport
        a, b = moved_features(move, table).T
        expected["a"], expected["b"] = a, b.astype(np.float32)
        assert np.abs(written["a"] - table["a"]).min() > 1e-3  # they were moved
        assert set(written.pop("status")) == {"converged"}
        pd.testing.assert_frame_equal(written, expected, check_exact=True)


def test_the_schema_is_that_of_the_file_with_a_status(tmp_path: Path) -> None:
    folder_of(tmp_path / "in", (50,), compression="zstd")
    transform(plain_map(), tmp_path / "in", tmp_path / "out")
    name = "part-0.parquet"
    given, written = (
        parquet.read_schema(tmp_path / side / name) for side in ("in", "out")
    )
    assert written.names == [*given.names, "status"]
    assert written.types[:-1] == given.types
    others = [key for key in given.metadata if key not in (b"pandas", b"ARROW:schema")]
    assert all(written.metadata[key] == given.metadata[key] for key in others)
    told = parquet.read_metadata(tmp_path / "out" / name).row_group(0).column(0)
    assert told.compression == "ZSTD"


def test_whole_numbers_become_floating(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": pd.array([1, 2, None], "Int64"), "b": [0.5, 1.5, 2.5]})
    table.to_parquet(tmp_path / "x.parquet")
    with pytest.warns(DataWarning, match="1 of 3 rows hold NaN, inf or nothing"):
        transform(plain_map(), tmp_path / "x.parquet", tmp_path / "out")
    written = pd.read_parquet(tmp_path / "out" / "x.parquet")
    expected = plain_map()(np.array([[1.0, 0.5], [2.0, 1.5]]))
    np.testing.assert_array_equal(written[FEATURES].to_numpy()[:2], expected)
    assert written["a"].dtype == np.float64
    assert written["status"].tolist() == ["converged", "converged", "invalid"]


def test_rows_that_cannot_be_moved_are_left_empty_and_counted(tmp_path: Path) -> None:
    table = frame(50)
    table.iloc[3, table.columns.get_loc("a")] = np.nan
    table.iloc[40, table.columns.get_loc("b")] = np.inf
    table.iloc[41, table.columns.get_loc("a")] = 1e300  # float32 overflows
    table.to_parquet(tmp_path / "x.parquet")
    with pytest.warns(DataWarning, match="3 of 50 rows"):
        report = transform(plain_map(), tmp_path / "x.parquet", tmp_path / "out")
    assert (report.counts.converged, report.counts.invalid) == (47, 3)
    written = pd.read_parquet(tmp_path / "out" / "x.parquet")
    bad = [3, 40, 41]
    assert written.iloc[bad][FEATURES].isna().all(axis=None)
    good = np.setdiff1d(np.arange(50), bad)
    for first in (0, 32):  # the blocks
        rows = good[(good >= first) & (good < first + 32)]
        np.testing.assert_array_equal(
            written.iloc[rows]["a"], moved_features(plain_map(), table.iloc[rows])[:, 0]
        )
    assert written["id"].tolist() == table["id"].tolist()
    with pytest.raises(DataError, match=r"x\.parquet: 1 of 32 rows .* first is row 3"):
        transform(
            plain_map(), tmp_path / "x.parquet", tmp_path / "other", invalid="error"
        )
    assert not list((tmp_path / "other").glob("*.parquet"))


def test_rows_that_do_not_converge_are_told(tmp_path: Path) -> None:
    frames = folder_of(tmp_path / "in", (50,))
    with pytest.warns(ConvergenceWarning, match=r"\d+ of 50 rows did not converge"):
        report = transform(
            plain_map(max_steps=1), tmp_path / "in", tmp_path / "out", inverse=True
        )
    written = pd.read_parquet(tmp_path / "out" / "part-0.parquet")
    values = frames["part-0.parquet"][FEATURES].to_numpy()
    _, solution = plain_map(max_steps=1).inverse(values, return_solution=True)
    assert 0 < report.counts.unconverged == solution.unconverged
    np.testing.assert_array_equal(
        written["status"] == "converged", solution.converged.numpy()
    )


def test_part_of_the_way(tmp_path: Path) -> None:
    frames = folder_of(tmp_path / "in", (20,))
    transform(plain_map(), tmp_path / "in", tmp_path / "out", t=0.5, status=None)
    written = pd.read_parquet(tmp_path / "out" / "part-0.parquet")
    expected = plain_map().interpolate(
        frames["part-0.parquet"][FEATURES].to_numpy(), 0.5
    )
    np.testing.assert_array_equal(written["a"], expected[:, 0])
    assert "status" not in written


# ---- conditions


def test_rows_are_moved_by_the_map_of_their_class(tmp_path: Path) -> None:
    frames = folder_of(tmp_path / "in", (50,))
    transport = class_map()
    transform(transport, tmp_path / "in", tmp_path / "out", labels="kind")
    table = frames["part-0.parquet"]
    labels = [7 if kind == "7" else kind for kind in table["kind"]]
    assert len(set(labels)) == 2
    written = pd.read_parquet(tmp_path / "out" / "part-0.parquet")
    expected = moved_features(transport, table, labels)
    np.testing.assert_array_equal(written["a"], expected[:, 0])


@pytest.mark.parametrize("unknown", ["keep", "drop", "error"])
def test_rows_of_unknown_classes(unknown: str, tmp_path: Path) -> None:
    table = frame(50)
    kinds = table["kind"].tolist()
    kinds[5], kinds[40] = "dog", None
    table["kind"] = kinds
    table.to_parquet(tmp_path / "x.parquet")
    options = {"labels": "kind", "unknown_labels": unknown}
    arguments = class_map(), tmp_path / "x.parquet", tmp_path / "out"
    if unknown == "error":
        with pytest.raises(DataError, match=r"row 5 .*unknown_labels='keep'"):
            transform(*arguments, **options)
        return
    with pytest.warns(DataWarning, match="2 of 50 rows are of classes"):
        report = transform(*arguments, **options)
    assert report.counts == bulk.FileCounts(rows=50, converged=48, unknown=2)
    written = pd.read_parquet(tmp_path / "out" / "x.parquet")
    if unknown == "drop":
        assert written["id"].tolist() == [k for k in range(50) if k not in (5, 40)]
    else:
        assert written["status"].iloc[[5, 40]].tolist() == ["unknown"] * 2
        kept = written.iloc[[5, 40]][FEATURES]
        pd.testing.assert_frame_equal(kept, table.iloc[[5, 40]][FEATURES])


def test_rows_are_moved_at_their_covariates(tmp_path: Path) -> None:
    frames = folder_of(tmp_path / "in", (50,))
    transport = covariate_map()
    transform(transport, tmp_path / "in", tmp_path / "out", covariates="c")
    table = frames["part-0.parquet"]
    written = pd.read_parquet(tmp_path / "out" / "part-0.parquet")
    expected = moved_features(transport, table, table["c"].to_numpy())
    np.testing.assert_array_equal(written["a"], expected[:, 0])


# ---- other kinds of files


def test_arrow_files(tmp_path: Path) -> None:
    table = frame(50).reset_index()
    feather.write_feather(table, tmp_path / "x.feather", chunksize=7)
    transform(plain_map(), tmp_path / "x.feather", tmp_path / "out")
    written = pd.read_feather(tmp_path / "out" / "x.feather")
    expected = moved_features(plain_map(), table)
    np.testing.assert_array_equal(written["a"], expected[:, 0])
    others = ["id", "when", "kind", "flag", "group"]
    pd.testing.assert_frame_equal(written[others], table[others])


def test_text_files_keep_other_columns_letter_by_letter(tmp_path: Path) -> None:
    values = frame(50)[FEATURES].to_numpy()
    lines = ["id;a;note;b"]
    for k, (a, b) in enumerate(values):
        numbers = [repr(float(x)).replace(".", ",") for x in (a, b)]
        lines.append(f'{k:04d};{numbers[0]};"Köln; {k}";{numbers[1]}')
    lines[4] = "0003;;NA;1,5"
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.warns(DataWarning, match="1 of 50 rows"):
        transform(plain_map(), tmp_path / "x.csv", tmp_path / "out")
    written = (tmp_path / "out" / "x.csv").read_text(encoding="utf-8").splitlines()
    assert written[0] == "id;a;note;b;status"
    assert written[4] == "0003;;NA;;invalid"
    fields = [line.split(";") for line in written[1:]]
    assert [row[0] for row in fields] == [f"{k:04d}" for k in range(50)]
    assert written[10].split(";")[2:4] == ['"Köln', ' 9"']
    good = [k for k in range(50) if k != 3]
    found = [float(fields[k][1].replace(",", ".")) for k in good]
    np.testing.assert_allclose(found, plain_map()(values[good])[:, 0], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["f4", ">f8", "i4"])
def test_arrays(dtype: str, tmp_path: Path) -> None:
    values = (9 * frame(50)[FEATURES].to_numpy()).astype(dtype)
    np.save(tmp_path / "x.npy", values)
    transform(plain_map(), tmp_path / "x.npy", tmp_path / "out", columns=None)
    written = np.load(tmp_path / "out" / "x.npy")
    expected = plain_map()(values)
    assert written.dtype == expected.dtype
    np.testing.assert_array_equal(written, expected)
    status = np.load(tmp_path / "out" / "x.npy.status")
    np.testing.assert_array_equal(status, np.zeros(50, np.int8))


@pytest.mark.parametrize("kind", ["parquet", "feather", "npy", "csv"])
def test_a_file_without_rows_gives_one_without_rows(kind: str, tmp_path: Path) -> None:
    path, empty = tmp_path / f"x.{kind}", frame(0).reset_index()
    if kind == "npy":
        np.save(path, np.empty((0, 2)))
    elif kind == "csv":
        path.write_text("a,b,id\n")
    else:
        getattr(empty, f"to_{kind}")(path)
    report = transform(
        plain_map(), path, tmp_path / "out", columns=None if kind == "npy" else FEATURES
    )
    assert report.counts == bulk.FileCounts()
    if kind == "npy":
        assert np.load(tmp_path / "out" / "x.npy").shape == (0, 2)
    elif kind == "csv":
        assert (tmp_path / "out" / "x.csv").read_text() == "a,b,id,status\n"
    else:
        written = getattr(pd, f"read_{kind}")(tmp_path / "out" / path.name)
        assert list(written.columns) == [*empty.columns, "status"]
        assert len(written) == 0


def test_one_file_to_another(tmp_path: Path) -> None:
    folder_of(tmp_path / "in", (20,))
    source, out = tmp_path / "in" / "part-0.parquet", tmp_path / "moved.parquet"
    transform(plain_map(), source, out)
    assert len(pd.read_parquet(out)) == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "moved.parquet"]


# ---- the model


def test_a_model_is_a_folder_a_map_or_an_estimator(tmp_path: Path) -> None:
    class Estimator:
        map_ = plain_map()
        feature_names_in_ = np.array(FEATURES, dtype=object)

    save_map(tmp_path / "model", plain_map(), {"features": FEATURES})
    folder_of(tmp_path / "in", (20,))
    tables = []
    for name, model, columns in (
        ("map", plain_map(), FEATURES),
        ("folder", tmp_path / "model", None),
        ("estimator", Estimator(), None),
    ):
        transform(model, tmp_path / "in", tmp_path / name, columns=columns)
        tables.append(pd.read_parquet(tmp_path / name / "part-0.parquet"))
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[0], tables[2])
    with pytest.raises(DataError, match="model: is a int; give the folder"):
        transform(3, tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "spark"}, "engine: must be one of 'local', 'dask'"),
        ({"workers": 0}, "workers: must be a whole number"),
        ({"workers": 1.5}, "workers: must be a whole number"),
        ({"t": float("nan")}, "t: must be a finite number"),
        ({"t": 0.5, "inverse": True}, "t: is for the way forward"),
        ({"columns": ["a"]}, "columns: are 1, but the model has 2 features"),
        ({"columns": ["a", "a"]}, "columns: name one twice"),
        ({"columns": ["a", "z"]}, r"part-0.parquet: there is no column 'z'"),
        ({"columns": ["a", "kind"]}, "column 'kind' is .*string, no number"),
        ({"columns": None}, r"has 4 numeric columns \(id, b, a, c\)"),
        ({"labels": "kind"}, "labels: the model was fitted without classes"),
        ({"covariates": "c"}, "covariates: the model was fitted without"),
        ({"status": "id"}, "status: .* already has a column 'id'"),
        ({"invalid": "drop"}, "invalid: must be one of"),
        ({"unknown_labels": "no"}, "unknown_labels: must be one of"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder_of(tmp_path / "in", (20,))
    with pytest.raises(DataError, match=message):
        transform(plain_map(), tmp_path / "in", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_model_with_conditions_asks_for_them(tmp_path: Path) -> None:
    folder_of(tmp_path / "in", (20,))
    for transport, message in (
        (class_map(), "labels: the model was fitted with classes"),
        (covariate_map(), "covariates: the model was fitted with covariates"),
    ):
        with pytest.raises(DataError, match=message):
            transform(transport, tmp_path / "in", tmp_path / "out")


# ---- files that do not fit


def test_a_file_that_lacks_a_column_is_named_before_others_are_moved(
    tmp_path: Path,
) -> None:
    folder_of(tmp_path / "in", (20, 20))
    frame(20).drop(columns="b").to_parquet(tmp_path / "in" / "part-9.parquet")
    with pytest.raises(DataError, match=r"part-9\.parquet: there is no column 'b'"):
        transform(plain_map(), tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_with_other_columns_are_told_of(tmp_path: Path) -> None:
    folder_of(tmp_path / "in", (20,))
    frame(20).drop(columns="flag").to_parquet(tmp_path / "in" / "part-9.parquet")
    with pytest.warns(DataWarning, match=r"1 of 2 files, first .*part-9\.parquet"):
        report = transform(plain_map(), tmp_path / "in", tmp_path / "out")
    assert report.files == 2


@pytest.mark.parametrize("kind", ["parquet", "feather", "npy"])
def test_a_damaged_file_is_named(kind: str, tmp_path: Path) -> None:
    (tmp_path / f"x.{kind}").write_bytes(b"no such thing" * 99)
    with pytest.raises(DataError, match=f"x.{kind}: cannot be read as"):
        transform(plain_map(), tmp_path / f"x.{kind}", tmp_path / "out", columns=None)


def test_a_file_damaged_in_its_middle_is_named_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    folder_of(tmp_path / "in", (20, 500), compression="none")
    path = tmp_path / "in" / "part-1.parquet"
    content = bytearray(path.read_bytes())
    content[4:2000] = b"\xff" * 1996
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"part-1\.parquet: cannot be read to its end"):
        transform(plain_map(), tmp_path / "in", tmp_path / "out")
    assert [each.name for each in (tmp_path / "out").glob("*")] == ["_brenier"]


def test_numbers_that_are_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\nfour,5\n")
    with pytest.raises(DataError, match=r"x\.csv: column 'a' holds what is no number"):
        transform(plain_map(), tmp_path / "x.csv", tmp_path / "out")
