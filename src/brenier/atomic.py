"""Writing so that nothing is ever lost or half-written: a temporary file beside the target, then a rename."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to `path` once the block has succeeded.

    The temporary file is removed if the block fails, and `path` keeps what it held.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open(
            "r+b"
        ) as written:  # writable, or Windows refuses to flush it
            os.fsync(written.fileno())
        _usual_mode(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_with(path: str | Path, writer: Callable[[Path], object]) -> None:
    """Let `writer` fill a temporary file, then rename it to path."""
    with replacing(path) as temporary:
        writer(temporary)


def _usual_mode(path: Path) -> None:
    """Give a temporary file, made private, the permissions a new file would have."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
