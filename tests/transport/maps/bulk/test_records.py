"""Runs that are interrupted: what is finished is kept and skipped, and nothing is half-written."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from bulk_files import FEATURES, class_map, folder_of, frame, plain_map

from brenier import DataError
from brenier.transport.maps import bulk
from brenier.transport.maps.bulk import files, records, run


def transform(out: Path, **options: Any) -> bulk.BulkReport:
    """Move the folder `in` beside a folder."""
    arguments = {"columns": FEATURES, "quiet": True, **options}
    return bulk.transform(
        arguments.pop("model", plain_map()), out.parent / "in", out, **arguments
    )


def contents(out: Path) -> dict[str, bytes]:
    """Everything in a folder but its records."""
    return {path.name: path.read_bytes() for path in out.glob("*") if path.is_file()}


class FailsAt:
    """`move_file`, but for one call that fails."""

    def __init__(self, call: int, error: BaseException) -> None:
        self.call, self.error, self.calls = call, error, 0
        self.moved: list[str] = []

    def __call__(self, job: Any, source: Any, *others: Any) -> Any:
        self.calls += 1
        if self.calls == self.call:
            raise self.error
        self.moved.append(source.name)
        return files.move_file(job, source, *others)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder_of(tmp_path / "in", (50, 40, 30))
    return tmp_path / "out"


# ---- going on


def test_finished_files_are_skipped(out: Path) -> None:
    first = transform(out)
    before = contents(out)
    again = transform(out)
    assert (first.skipped, again.skipped) == (0, 3)
    assert first.counts == again.counts == bulk.FileCounts(rows=120, converged=120)
    assert contents(out) == before


@pytest.mark.parametrize("call", [1, 2, 3])
def test_an_interrupted_run_says_how_to_go_on_and_does(
    call: int, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = out.with_name("undisturbed")
    transform(undisturbed)
    with monkeypatch.context() as patched:
        patched.setattr(run, "move_file", FailsAt(call, KeyboardInterrupt()))
        told = rf"{call - 1} of 3 files are finished and kept in .*out: run the same"
        with pytest.raises(KeyboardInterrupt, match=told):
            transform(out)
    assert transform(out).skipped == call - 1
    assert contents(out) == contents(undisturbed)


def test_a_full_disk_keeps_what_is_finished(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", str(out / "part-1.parquet"))
    with monkeypatch.context() as patched:
        patched.setattr(run, "move_file", FailsAt(2, full))
        told = r"No space left on device while .*part-1.parquet .* 1 of 3 files are"
        with pytest.raises(DataError, match=told):
            transform(out)
    assert transform(out).skipped == 1


def test_a_write_that_fails_leaves_no_file(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import parquet

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(parquet.ParquetWriter, "write_table", full)
        with pytest.raises(DataError, match=r"No space left on device while .*parquet"):
            transform(out)
    assert contents(out) == {}


@pytest.mark.parametrize("how", ["source", "output", "gone", "record"])
def test_what_has_changed_is_moved_again(how: str, out: Path) -> None:
    transform(out)
    before, name = contents(out), "part-1.parquet"
    if how == "source":
        frame(41, seed=9).to_parquet(out.parent / "in" / name)
    elif how == "output":
        (out / name).write_bytes(b"something else")
    elif how == "gone":
        (out / name).unlink()
    else:
        (out / "_brenier" / "files" / f"{name}.json").write_text("{half")
    report = transform(out)
    assert report.skipped == 2
    if how == "source":
        assert len(pd.read_parquet(out / name)) == 41
    else:
        assert contents(out) == before


def test_restarting_moves_everything_again(out: Path) -> None:
    transform(out)
    assert transform(out, restart=True).skipped == 0


def test_what_killed_processes_left_is_removed(out: Path) -> None:
    transform(out)
    place = "00000000"
    left = out / f".part-0.parquet.brenier-{place}-1-x.tmp"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))  # long ago
    transform(out)
    assert not left.exists()


# ---- runs that do not belong together


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"model": plain_map(batch_size=8, tol=0.1)}, "model"),
        ({"inverse": True}, "inverse"),
        ({"columns": ["b", "a"]}, "columns"),
        ({"status": "ended"}, "status"),
        ({"model": class_map(), "labels": "kind"}, "labels, model"),
    ],
)
def test_another_run_into_the_same_folder_is_refused(
    options: dict[str, Any], named: str, out: Path
) -> None:
    transform(out)
    before = contents(out)
    told = f"written by a run with another {named}; give another folder, or start again"
    with pytest.raises(DataError, match=told):
        transform(out, **options)
    assert contents(out) == before
    assert transform(out, restart=True, **options).skipped == 0


def test_files_that_no_run_has_written_are_not_replaced(out: Path) -> None:
    out.mkdir()
    (out / "part-2.parquet").write_bytes(b"precious")
    with pytest.raises(DataError, match=r"part-2\.parquet is there already"):
        transform(out)
    assert contents(out) == {"part-2.parquet": b"precious"}
    transform(out, restart=True)
    assert len(pd.read_parquet(out / "part-2.parquet")) == 30


def test_another_folder_with_files_of_the_same_names_is_refused(out: Path) -> None:
    transform(out)
    folder_of(out.parent / "other" / "in", (9,))
    with pytest.raises(DataError, match=r"was made of .*in/part-0\.parquet, not of"):
        bulk.transform(
            plain_map(), out.parent / "other" / "in", out, columns=FEATURES, quiet=True
        )


def test_two_runs_at_a_time_are_kept_apart(out: Path) -> None:
    out.mkdir()
    with (
        records.BulkRecords(out).alone(),
        pytest.raises(DataError, match="another run is writing into"),
    ):
        transform(out)
    assert transform(out).files == 3


def test_records_are_hidden_from_readers_of_the_folder(out: Path) -> None:
    transform(out)
    assert len(pd.read_parquet(out)) == 120
    told = json.loads((out / "_brenier" / "files" / "part-0.parquet.json").read_text())
    assert told["counts"]["rows"] == 50


def test_the_mark_of_a_map_is_that_of_its_numbers(tmp_path: Path) -> None:
    from brenier.transport.maps.storage import load_map, mark_of_map, save_map

    save_map(tmp_path, plain_map(), {})
    assert mark_of_map(load_map(tmp_path)[0]) == mark_of_map(plain_map())
    other = plain_map()
    next(other.network.parameters()).data.mul_(1.01)
    assert mark_of_map(other) != mark_of_map(plain_map())
