"""Files are replaced whole or not at all."""

import errno
import os
import stat
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
