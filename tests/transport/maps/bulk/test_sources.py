"""Which files are moved, and where to."""

from pathlib import Path
from typing import Any

import pytest

from brenier import DataError
from brenier.transport.maps.bulk.sources import source_files


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files in folders."""
    monkeypatch.chdir(tmp_path)
    for name in (
        *("in/a.parquet", "in/b.csv.gz", "in/sub/a.parquet", "in/notes.txt"),
        *("in/_metadata.parquet", "in/.b.parquet.tmp", "in/_brenier/x.parquet"),
        *("other/a.parquet", "odd[1].parquet"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("in/a.parquet", ["a.parquet"]),
        ("in", ["a.parquet", "b.csv.gz", "sub/a.parquet"]),
        (Path("in"), ["a.parquet", "b.csv.gz", "sub/a.parquet"]),
        ("in/*.parquet", ["_metadata.parquet", "a.parquet"]),
        ("in/**/a.parquet", ["a.parquet", "sub/a.parquet"]),
        ("*/a.parquet", ["in/a.parquet", "other/a.parquet"]),
        (["in/b.csv.gz", Path("in/a.parquet")], ["a.parquet", "b.csv.gz"]),
        ("odd[1].parquet", ["odd[1].parquet"]),
    ],
)
def test_files_keep_their_place_below_what_was_given(
    source: Any, names: list[str], here: Path
) -> None:
    found = source_files(source, Path("out"))
    assert [each.name for each in found] == names
    assert all(each.path.read_bytes() == b"content" for each in found)
    assert {each.size for each in found} == {7}


@pytest.mark.parametrize(
    ("source", "out", "message"),
    [
        ("nowhere", "out", "nowhere: does not exist"),
        ("nowhere/*.parquet", "out", r"source: nowhere/\*.parquet holds no file"),
        ([], "out", "source: the list holds no file"),
        ("in/notes.txt", "out", r"notes\.txt: cannot be moved in bulk"),
        (["in/a.parquet", "other/a.parquet"], "out", "would both be written to a.par"),
        ("in", "in", r"out: in is where in/.* is read from"),
        ("in", "in/sub", r"out: in/sub holds in/sub/a.parquet, which is read"),
        ("in", "in/new", "out: in/new lies in in, all of which is read"),
        ("in/*.parquet", "in", r"out: in is where in/.* is read from"),
        ("in/**/*.parquet", "in/new", "out: in/new lies where the pattern"),
        ("*/*.parquet", "new", None),
        ("*/a.parquet", "other/sub", None),
        ("[io]*/*.parquet", "other/new", None),
        ("*/sub/*.parquet", "new", None),
    ],
)
def test_what_cannot_be_moved_is_named(
    source: Any, out: str, message: str | None, here: Path
) -> None:
    if message is None:
        assert source_files(source, Path(out))
        return
    with pytest.raises(DataError, match=message):
        source_files(source, Path(out))


def test_an_empty_file_is_named(here: Path) -> None:
    (here / "in" / "empty.parquet").touch()
    with pytest.raises(DataError, match=r"empty\.parquet: is empty"):
        source_files("in", Path("out"))
