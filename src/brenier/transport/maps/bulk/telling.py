"""What a run says at its end, and where it stops before that."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
from collections.abc import Callable, Iterator
from pathlib import Path

from brenier.errors import ConvergenceWarning, DataError, DataWarning, warn
from brenier.transport.maps.bulk.files import FileCounts
from brenier.transport.maps.bulk.records import BulkRecords
from brenier.transport.maps.bulk.sources import SourceFile


@dataclasses.dataclass(frozen=True)
class BulkReport:
    """What a run did.

    Attributes:
        out: the folder, or file, that was written.
        files: how many there are.
        skipped: how many of them an earlier run had finished.
        counts: what became of all rows, those of skipped files included.
    """

    out: Path
    files: int
    skipped: int
    counts: FileCounts


def warned_of(report: BulkReport) -> BulkReport:
    """Return a report, having warned of rows that are not to be relied on."""
    counts, rows = report.counts, report.counts.rows
    if counts.invalid:
        warn(
            f"source: {counts.invalid:,} of {rows:,} rows hold NaN, inf or nothing, or lie beyond the precision of the "
            "network; they were left empty, with status 'invalid'",
            DataWarning,
        )
    if counts.unknown:
        warn(
            f"labels: {counts.unknown:,} of {rows:,} rows are of classes that the model does not know; they were "
            "copied unmoved or left out, as asked",
            DataWarning,
        )
    if counts.unconverged:
        warn(
            f"inverse: {counts.unconverged:,} of {rows:,} rows did not converge and were written with their best "
            "iterate, with status 'unconverged'; fit with potential='convex', where every inverse is unique",
            ConvergenceWarning,
        )
    return report


@contextlib.contextmanager
def kept_told(records: BulkRecords, files: list[SourceFile]) -> Iterator[None]:
    """Say what is kept where a run stops before its end."""

    def finished() -> str:
        count = sum(records.finished(source) is not None for source in files)
        return f"{count} of {len(files)} files are finished"

    try:
        with full_disk_told(records.out, finished):
            yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            f"Interrupted; {finished()} and kept in {records.out}: run the same again to go on."
        ) from stop


@contextlib.contextmanager
def full_disk_told(out: Path, finished: Callable[[], str] | str) -> Iterator[None]:
    """Say what is kept where the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        done = finished if isinstance(finished, str) else finished()
        raise DataError(
            f"out: {error.strerror} while {error.filename or out} was being written; {done} and kept: make room, and "
            "run the same again to go on"
        ) from error
