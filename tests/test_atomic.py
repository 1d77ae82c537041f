"""Files are replaced whole or not at all."""

import dataclasses
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brenier import atomic


@pytest.fixture(params=["old", None], ids=["existing", "new"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param:
        (tmp_path / "file.bin").write_text(request.param)
    return tmp_path / "file.bin"


def content(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_gets_its_new_content(path: Path, kind: type) -> None:
    atomic.write_bytes(kind(path), b"new")
    assert content(path) == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_writer_fills_a_file_beside_the_target(path: Path) -> None:
    seen: list[Path] = []

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        seen.append(temporary)
        assert content(path) != "new"

    atomic.write_with(path, write)
    assert content(path) == "new"
    assert seen[0].parent == path.parent
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "fault",
    [OSError(errno.ENOSPC, "disk full"), ValueError("mine"), KeyboardInterrupt()],
)
@pytest.mark.parametrize("partial", ["", "half"])
def test_a_failing_writer_changes_nothing(
    path: Path, fault: BaseException, partial: str
) -> None:
    before = content(path)

    def write(temporary: Path) -> None:
        temporary.write_text(partial)
        raise fault

    with pytest.raises(type(fault)):
        atomic.write_with(path, write)
    assert content(path) == before
    assert list(path.parent.iterdir()) == ([path] if before else [])


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failing_system_call_changes_nothing(
    path: Path, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(path)

    def fail(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="disk full"):
        atomic.write_bytes(path, b"new")
    assert content(path) == before
    assert list(path.parent.iterdir()) == ([path] if before else [])


def test_content_is_on_disk_before_the_name_changes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def noted(name: str, original: Callable[..., None]) -> Callable[..., None]:
        def call(*arguments: Any) -> None:
            order.append(name)
            original(*arguments)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noted(name, getattr(os, name)))
    atomic.write_bytes(path, b"new")
    assert order == ["fsync", "replace"]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic.write_bytes(tmp_path / "none" / "file.bin", b"new")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_permissions_are_those_of_any_new_file(path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        atomic.write_bytes(path, b"new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
        assert os.umask(mask) == mask
    finally:
        os.umask(before)


# ---- what killed processes left


def left_by(process: int, name: str = "file.bin", place: str | None = None) -> str:
    return f".{name}.brenier-{place or atomic._place()}-{process}-abc12_9z.tmp"


def dead_process() -> int:
    """The number of a process that has ended."""
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    return finished.pid


@pytest.mark.skipif(os.name != "posix", reason="asks whether a process is alive")
def test_what_killed_processes_left_is_removed_by_the_next_write(path: Path) -> None:
    dead = dead_process()
    gone = [left_by(dead), left_by(dead, "other"), left_by(os.getpid())]
    stay = [
        left_by(os.getppid()),
        left_by(dead, place="0" * 8),
        *(".file.bin.abc12_9z.tmp", "notes.tmp", "file.bin.tmp", f"x{left_by(dead)}"),
    ]
    for name in (*gone, *stay):
        (path.parent / name).write_text("half")
    atomic.write_bytes(path, b"new")
    assert sorted(entry.name for entry in path.parent.iterdir()) == sorted(
        [*stay, path.name]
    )


def test_after_a_day_the_place_does_not_matter(path: Path) -> None:
    old = path.parent / left_by(os.getppid(), place="0" * 8)
    old.write_text("half")
    os.utime(old, (0, 0))
    atomic.write_bytes(path, b"new")
    assert not old.exists()


def test_what_is_being_written_stays(path: Path) -> None:
    with atomic.replacing(path) as temporary:
        atomic.remove_stale(path.parent)
        atomic.write_bytes(path.parent / "other", b"")
        temporary.write_text("new")
    assert content(path) == "new"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_an_error_of_the_system_names_the_file(path: Path, number: int) -> None:
    def write(temporary: Path) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(OSError, match=r"file\.bin") as caught:
        atomic.write_with(path, write)
    assert caught.value.filename == str(path)
    assert str(caught.value).endswith(f"{os.strerror(number)}: {str(path)!r}")
    with pytest.raises(BrokenPipeError) as broken, atomic.replacing(path):
        raise BrokenPipeError(errno.EPIPE, "of what is printed")
    assert broken.value.filename is None


def test_names_as_long_as_they_may_be_are_written(tmp_path: Path) -> None:
    atomic.write_bytes(tmp_path / ("x" * 250), b"new")


@pytest.mark.skipif(atomic.fcntl is None, reason="no locks on Windows")
def test_a_folder_is_locked_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = dataclasses.replace(atomic.ATOMIC, max_wait=0.02)
    monkeypatch.setattr(atomic, "ATOMIC", patient)
    with atomic.locked(tmp_path) as first, atomic.locked(tmp_path) as second:
        assert (first, second) == (True, False)
    with atomic.locked(tmp_path) as again, atomic.locked(tmp_path / "none") as none:
        assert (again, none) == (True, False)
    assert not list(tmp_path.iterdir())
