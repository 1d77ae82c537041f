"""Reading files that may be damaged: any fault of their contents becomes a `DataError` that names the file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from brenier.errors import DataError

Content = TypeVar("Content")


def read_intact(
    path: Path,
    read: Callable[[Path], Content],
    remedy: str = "an intact file",
    kind: str = "",
) -> Content:
    """Return read(path).

    Args:
        path: the file.
        read: what reads it; a `DataError` of its own is passed on.
        remedy: what is to be given instead of a damaged file, for the message.
        kind: of the file, for the message.

    Raises:
        DataError: where the file cannot be read.
    """
    try:
        return read(path)
    except DataError:
        raise
    except Exception as error:  # damaged files raise errors of many kinds
        reason = str(error) or type(error).__name__
        what = f"cannot be read as {kind}" if kind else "cannot be read"
        raise DataError(f"{path}: {what} ({reason}); give {remedy}") from error


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    """Open a `.npz` file, whose arrays are read as they are asked for; arrays of Python objects are refused.

    Raises:
        ValueError: where it is a `.npy` file.
    """
    with path.open("rb") as stream:
        archive = np.load(stream, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("it is a .npy file")
        yield archive
