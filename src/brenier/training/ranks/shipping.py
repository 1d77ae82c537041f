"""Objects on their way to other processes: functions written in scripts too, and tensors of any device."""

from __future__ import annotations

import io
import os
import types
from pathlib import Path
from typing import Any, BinaryIO

import cloudpickle
import numpy as np
import torch


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles functions by value; of memory-mapped rows where they lie, and of devices only their kind."""

    def reducer_override(self, given: object) -> Any:
        """Return how an object is made again, or what says that it is pickled as usual."""
        if isinstance(given, torch.device) and given.index is not None:
            return torch.device, (given.type,)
        if isinstance(given, np.memmap):
            place = _place_of(given)
            if place is not None:
                return _mapped, place
        return super().reducer_override(given)


_PICKLES = types.SimpleNamespace(
    __name__=__name__, Pickler=_Pickler, dump=cloudpickle.dump
)


def packed(what: object) -> bytes:
    """Return an object as bytes.

    Raises:
        Exception: whatever an object that cannot be pickled leads to.
    """
    content = io.BytesIO()
    torch.save(what, content, pickle_module=_PICKLES)
    return content.getvalue()


def unpacked(content: BinaryIO) -> Any:
    """Return the object of some bytes, its tensors where this process computes."""
    return torch.load(content, weights_only=False, map_location=_usual_place)  # type: ignore[arg-type]


def pack_file(what: object, path: Path) -> None:
    """Write an object to a file, which other processes of this machine map instead of copying it."""
    torch.save(what, path, pickle_module=_PICKLES)


def opened(parcel: bytes | Path) -> Any:
    """Return the object in a parcel; of a file on this machine its tensors are pages, until they are changed."""
    if isinstance(parcel, bytes):
        return unpacked(io.BytesIO(parcel))
    return torch.load(parcel, weights_only=False, map_location="cpu", mmap=True)


def _usual_place(storage: torch.UntypedStorage, location: str) -> object:
    """Return a storage where this process computes: on the same kind of device."""
    if location == "cpu":
        return storage
    return storage.to(device=torch.device(location.partition(":")[0]))


def _place_of(rows: np.memmap) -> tuple[Any, ...] | None:
    """Return file, type, offset and shape of whole rows of a memory-mapped file, None for anything else."""
    name = getattr(rows, "filename", None)
    if name is None or not rows.flags.c_contiguous or not os.path.exists(name):
        return None
    whole = rows
    while isinstance(whole.base, np.memmap):
        whole = whole.base
    offset = whole.offset + rows.ctypes.data - whole.ctypes.data
    return os.path.abspath(name), rows.dtype.str, offset, rows.shape


def _mapped(name: str, dtype: str, offset: int, shape: tuple[int, ...]) -> np.memmap:
    """Return rows of a file, mapped."""
    return np.memmap(name, np.dtype(dtype), mode="r", offset=offset, shape=shape)
