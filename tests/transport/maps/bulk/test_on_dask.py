"""The same by Dask: on a scheduler of threads, and on the workers of a client."""

from pathlib import Path
from typing import Any

import pytest
from bulk_files import FEATURES, folder_of, frame, plain_map

from brenier import DataError
from brenier.transport.maps import bulk

dask = pytest.importorskip("dask")


def contents(out: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in out.glob("*.parquet")}


def test_dask_moves_what_workers_do(tmp_path: Path) -> None:
    folder_of(tmp_path / "in", (50, 40, 30))
    options: dict[str, Any] = {"columns": FEATURES, "quiet": True}
    source, local, out = (tmp_path / name for name in ("in", "local", "out"))
    bulk.transform(plain_map(), source, local, **options)
    first = bulk.transform(plain_map(), source, out, engine="dask", **options)
    assert (first.files, first.skipped, first.counts.rows) == (3, 0, 120)
    assert contents(out) == contents(local)
    assert bulk.transform(plain_map(), source, out, **options).skipped == 3


def test_what_is_finished_before_an_error_is_kept(tmp_path: Path) -> None:
    folder_of(tmp_path / "in", (50, 40))
    bad = frame(30)
    bad.iloc[4, bad.columns.get_loc("a")] = float("nan")
    bad.to_parquet(tmp_path / "in" / "part-9.parquet")
    options: dict[str, Any] = {"columns": FEATURES, "quiet": True, "invalid": "error"}
    arguments = plain_map(), tmp_path / "in", tmp_path / "out"
    with (
        dask.config.set(scheduler="synchronous"),
        pytest.raises(DataError, match=r"part-9\.parquet: 1 of 30 rows"),
    ):
        bulk.transform(*arguments, engine="dask", **options)
    kept = len(contents(tmp_path / "out"))
    frame(30).to_parquet(tmp_path / "in" / "part-9.parquet")
    assert bulk.transform(*arguments, engine="dask", **options).skipped == kept


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_workers_of_a_client_move_files(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    folder_of(tmp_path / "in", (50, 40))
    options: dict[str, Any] = {"columns": FEATURES, "quiet": True}
    source, local, out = (tmp_path / name for name in ("in", "local", "out"))
    bulk.transform(plain_map(), source, local, **options)
    with distributed.Client(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
    ):
        report = bulk.transform(plain_map(), source, out, engine="dask", **options)
    assert report.counts.rows == 90
    assert contents(out) == contents(local)


def test_dask_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dask", None)
    with pytest.raises(DataError, match=r'pip install "brenier\[dask\]"'):
        bulk.transform(plain_map(), tmp_path, tmp_path / "out", engine="dask")


def test_dask_that_is_too_old_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask, "__version__", "2024.5.1")
    with pytest.raises(DataError, match=r"dask 2024\.5\.1 is too old"):
        bulk.transform(plain_map(), tmp_path, tmp_path / "out", engine="dask")
