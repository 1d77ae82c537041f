"""Files moved by the workers of a Dask cluster, or whatever scheduler Dask is told to use."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

import torch

from brenier.errors import DataError
from brenier.transport.maps.bulk.files import BulkJob, FileCounts, move_file
from brenier.transport.maps.bulk.pool import WorkerLostError, with_one_thread
from brenier.transport.maps.bulk.records import BulkRecords
from brenier.transport.maps.bulk.sources import SourceFile


@dataclasses.dataclass(frozen=True)
class DaskVersions:
    """Which versions of Dask will do.

    Attributes:
        oldest: year and month of the first whose frames are the ones of today.
    """

    oldest: tuple[int, int] = (2025, 1)


DASK = DaskVersions()


def dask_for(engine: str) -> ModuleType:
    """Return dask, imported here because it is optional.

    Raises:
        DataError: where it is missing, or too old.
    """
    remedy = 'install it with pip install "brenier[dask]"'
    try:
        import dask
    except ImportError as error:
        raise DataError(
            f"engine: {engine!r} needs dask, which is missing; {remedy}"
        ) from error
    found = tuple(int(part) for part in dask.__version__.split(".")[:2])
    if found < DASK.oldest:
        raise DataError(f"engine: dask {dask.__version__} is too old; {remedy}")
    return dask


def moved_by_dask(
    job: BulkJob,
    records: BulkRecords,
    files: Sequence[SourceFile],
    tell: Callable[[float], object],
) -> Iterator[tuple[SourceFile, FileCounts]]:
    """Yield files with what became of their rows, each moved by one worker, which writes its record.

    The client that there is, or the scheduler that Dask is told to use, decides where; all of them must see the same
    folders. `tell` is told the bytes of files that are finished.

    Raises:
        WorkerLostError: where Dask says that a worker has ended again and again.
    """
    dask = dask_for("dask")
    held = dask.delayed(job, pure=False, traverse=False)
    move = dask.delayed(_move_recorded, pure=False)
    tasks = [move(held, records, source, os.getpid()) for source in files]
    with with_one_thread():
        try:
            found = dask.compute(*tasks)
        except Exception as error:
            if type(error).__name__ != "KilledWorker":
                raise
            raise WorkerLostError(
                f"workers of Dask were lost while files were being moved ({error}); what is finished is kept: run the "
                "same again to go on"
            ) from error
    tell(sum(source.size for source in files))
    yield from zip(files, found, strict=True)


def _move_recorded(
    job: BulkJob, records: BulkRecords, source: SourceFile, asked_by: int
) -> FileCounts:
    """Move a file in a worker of Dask, and say so in its record."""
    if os.getpid() != asked_by:
        torch.set_num_threads(1)
    target = records.target(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    counts = move_file(job, source, target)
    records.finish(source, counts)
    return counts
