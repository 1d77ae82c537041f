"""Atomic writing: a temporary file beside the target, then a rename, so that no file is ever lost or half-written."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to `path` once the block has succeeded.

    If the block fails, the temporary file is removed and `path` keeps what it held.

    Raises:
        OSError: where the folder cannot be written to.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # Opened for writing, without which Windows refuses to flush it.
        with temporary.open("r+b") as written:
            os.fsync(written.fileno())
        _set_default_mode(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_with(path: str | Path, writer: Callable[[Path], object]) -> None:
    """Write a file whole or not at all, by a function that fills the temporary path it is given."""
    with replacing(path) as temporary:
        writer(temporary)


def _set_default_mode(path: Path) -> None:
    """Give a temporary file, which is created private, the permissions of an ordinary new file."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
