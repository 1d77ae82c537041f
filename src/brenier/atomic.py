"""Atomic writing: a temporary file beside the target, then a rename, so that no file is ever lost or half-written.

A process killed in the middle leaves its temporary file behind. The next write into the same folder removes it: its
name says which process wrote it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # on Windows, which cannot lock a folder
    fcntl = None

# .NAME.brenier-PLACE-PROCESS-RANDOM.tmp; the place is a machine, or a container on it.
TEMPORARY = re.compile(r"\..*\.brenier-([0-9a-f]{8})-(\d{1,10})-\w+\.tmp", re.DOTALL)
_being_written: set[str] = set()  # by this process


@dataclasses.dataclass(frozen=True)
class AtomicSettings:
    """How long others are waited for.

    Attributes:
        stale_after: seconds after which a temporary file is taken for left over, even if its process cannot be looked
            for here, or another one has its number: writing takes seconds.
        max_wait: seconds to wait for another process that is saving into a folder.
        look_every: seconds between two looks whether it is done.
        most_of_name: characters of the target's name in that of a temporary file, whose length is limited.
    """

    stale_after: float = 86_400.0
    max_wait: float = 60.0
    look_every: float = 0.005
    most_of_name: int = 60


ATOMIC = AtomicSettings()


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to `path` once the block has succeeded.

    If the block fails, the temporary file is removed and `path` keeps what it held. What killed processes left in the
    folder is removed first.

    Raises:
        OSError: where the folder cannot be written to; it names `path`.
    """
    path = Path(path)
    remove_stale(path.parent)
    with _naming(path):
        handle, name = tempfile.mkstemp(
            dir=path.parent,
            prefix=f".{path.name[: ATOMIC.most_of_name]}.brenier-{_place()}-{os.getpid()}-",
            suffix=".tmp",
        )
        temporary = Path(name)
        _being_written.add(temporary.name)
        try:
            os.close(handle)
            yield temporary
            # Opened for writing, without which Windows refuses to flush it.
            with temporary.open("r+b") as written:
                os.fsync(written.fileno())
            _set_default_mode(temporary)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        finally:
            _being_written.discard(temporary.name)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_with(path: str | Path, writer: Callable[[Path], object]) -> None:
    """Write a file whole or not at all, by a function that fills the temporary path it is given."""
    with replacing(path) as temporary:
        writer(temporary)


def remove_stale(folder: str | Path) -> None:
    """Remove temporary files that killed processes left in a folder; no other file, and none that is being written."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = TEMPORARY.fullmatch(entry.name)
            if found and _is_stale(entry, found[1], int(found[2])):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


@contextlib.contextmanager
def locked(folder: str | Path) -> Iterator[bool]:
    """Keep other processes that lock the same folder waiting; yield whether it could be locked.

    It cannot on Windows, on some file systems of networks, and where another process takes too long. The lock leaves no
    file, and ends with the process that holds it.
    """
    handle = None
    if fcntl is not None:
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle is not None and _lock(handle)
    finally:
        if handle is not None:
            os.close(handle)


def _lock(handle: int) -> bool:
    """Wait until an open folder is locked; say whether it is."""
    if fcntl is None:
        return False
    until = time.monotonic() + ATOMIC.max_wait
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(ATOMIC.look_every)
        except OSError:
            return False


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Have errors of the system name a file where they name none, as those of a full disk, or a temporary one."""
    try:
        yield
    except BrokenPipeError:  # of what the block prints
        raise
    except OSError as error:
        named = error.filename
        ours = named is None or (
            isinstance(named, str) and TEMPORARY.fullmatch(Path(named).name)
        )
        if error.errno is None or not ours:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@functools.cache
def _place() -> str:
    """Return a name for this machine and for the processes on it that have numbers in common."""
    numbers = ""
    with contextlib.suppress(OSError, AttributeError):
        numbers = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(
        f"{platform.node()} {numbers}".encode(errors="replace")
    ).hexdigest()[:8]


def _is_stale(entry: os.DirEntry[str], place: str, process: int) -> bool:
    """Say whether a temporary file's process has ended, or can no longer be writing it."""
    if place == _place():
        if process == os.getpid():
            return entry.name not in _being_written
        if not _is_alive(process):
            return True
    try:
        age = time.time() - entry.stat(follow_symlinks=False).st_mtime
    except OSError:
        return False
    return age > ATOMIC.stale_after


def _is_alive(process: int) -> bool:
    """Say whether there may be a process of this number; always where that cannot be asked without harm."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # of another user
        return True
    return True


def _set_default_mode(path: Path) -> None:
    """Give a temporary file, which is created private, the permissions of an ordinary new file."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
