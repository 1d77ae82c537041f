"""Worker processes on this machine: each moves whole files, or blocks of one file that this process reads and writes.

No worker outlives this process: it looks whether its parent is still there.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Future, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from joblib.externals.loky import ProcessPoolExecutor

from brenier.errors import BrenierError
from brenier.transport.maps.bulk.files import (
    BulkJob,
    Done,
    FileCounts,
    Pending,
    move_file,
)
from brenier.transport.maps.bulk.moving import MovedBlock, RowBlock
from brenier.transport.maps.bulk.sources import SourceFile

if TYPE_CHECKING:
    import pyarrow


@dataclasses.dataclass(frozen=True)
class PoolSettings:
    """How workers are run.

    Attributes:
        look_every: seconds after which a worker looks whether its parent is still there.
        waiting_blocks: blocks per worker that are on their way at once; two keep it busy while one is written.
    """

    look_every: float = 0.5
    waiting_blocks: int = 2


POOL = PoolSettings()
_given = list[BulkJob]()  # what this process works on, if it is a worker


class WorkerLostError(BrenierError, RuntimeError):
    """A worker process that ended before its work: killed, or out of memory."""


@dataclasses.dataclass(frozen=True)
class BulkPool:
    """Processes that work on one job.

    Attributes:
        processes: that do the work.
        workers: how many they are.
    """

    processes: ProcessPoolExecutor
    workers: int

    def files(
        self, tasks: Sequence[tuple[SourceFile, Path]]
    ) -> Iterator[tuple[SourceFile, FileCounts]]:
        """Yield files as they are finished, each moved by one worker.

        Raises:
            WorkerLostError: where one has ended; it names the files that were being moved.
        """
        futures: dict[Future[FileCounts], SourceFile] = {}
        with _lost_named(lambda: self._at_work(futures)):
            for source, target in tasks:
                futures[self.processes.submit(_move_file, source, target)] = source
            for future in as_completed(futures):
                counts = future.result()
                yield futures.pop(future), counts

    def blocks(self, path: Path, pending: Pending) -> Done:
        """Yield the blocks of a file, moved, in their order.

        Raises:
            WorkerLostError: where a worker has ended; it names the file.
        """
        waiting: collections.deque[tuple[pyarrow.Table, Future[MovedBlock]]]
        waiting = collections.deque()
        with _lost_named(lambda: str(path)):
            for table, block in pending:
                waiting.append((table, self.processes.submit(_move_block, block)))
                if len(waiting) > POOL.waiting_blocks * self.workers:
                    table, future = waiting.popleft()
                    yield table, future.result()
            for table, future in waiting:
                yield table, future.result()

    def _at_work(self, futures: dict[Future[FileCounts], SourceFile]) -> str:
        """Return the files that are being moved: they are taken in the order in which they were given."""
        unfinished = [str(source.path) for source in futures.values()]
        return ", ".join(unfinished[: self.workers])


@contextlib.contextmanager
def worker_pool(job: BulkJob, workers: int) -> Iterator[BulkPool]:
    """Yield processes that work on a job; all of them have ended when the block has, however it does."""
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    )
    processes = ProcessPoolExecutor(
        workers, initializer=_begin, initargs=(os.getpid(), job), env=threads
    )
    try:
        yield BulkPool(processes, workers)
    except BaseException:
        processes.shutdown(wait=True, kill_workers=True)
        raise
    processes.shutdown(wait=True)


@contextlib.contextmanager
def with_one_thread() -> Iterator[None]:
    """Let torch use one thread, as workers do, so that results are the same to the bit whoever moves rows."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextlib.contextmanager
def _lost_named(at_work: Callable[[], str]) -> Iterator[None]:
    """Say which files were being moved where a worker has ended."""
    try:
        yield
    except BrokenExecutor as error:
        raise WorkerLostError(
            f"a worker process was lost while {at_work()} was being moved: it was killed, or there was not enough "
            "memory; what is finished is kept: run the same again to go on, with fewer workers if memory is short"
        ) from error


def _begin(parent: int, job: BulkJob) -> None:
    """Make this process a worker: of one thread, for its parent alone, which decides what Ctrl-C means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _given[:] = [job]
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process once its parent has ended."""
    while os.getppid() == parent:
        time.sleep(POOL.look_every)
    os._exit(1)


def _move_file(source: SourceFile, target: Path) -> FileCounts:
    """Move a file in a worker."""
    return move_file(_given[0], source, target)


def _move_block(block: RowBlock) -> MovedBlock:
    """Move some rows in a worker."""
    return _given[0].move(block)
