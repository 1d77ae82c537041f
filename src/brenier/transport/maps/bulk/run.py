"""Tables of any size through a map: files in, files of the same names out.

Every file is read in blocks, so that memory stays bounded, and written whole or not at all; what is finished is
recorded, so that an interrupted run goes on. Blocks have the same rows whoever moves them, by one thread: results do
not depend on the number of workers, and are those of the map on all rows of the file, to the bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import torch
from joblib import cpu_count
from tqdm import tqdm

from brenier.atomic import remove_stale
from brenier.datasets import UNTOLD, GivenDialect, kind_of
from brenier.errors import DataError, DataWarning, warn
from brenier.transport.maps.bulk.files import BulkJob, FileCounts, move_file
from brenier.transport.maps.bulk.model import ModelLike, packed_model
from brenier.transport.maps.bulk.on_dask import dask_for, moved_by_dask
from brenier.transport.maps.bulk.opening import open_blocks
from brenier.transport.maps.bulk.orders import BulkOrders
from brenier.transport.maps.bulk.pool import (
    BulkPool,
    with_one_thread,
    worker_pool,
)
from brenier.transport.maps.bulk.records import BulkRecords
from brenier.transport.maps.bulk.sources import (
    BULK_KINDS,
    SourceFile,
    SourceLike,
    source_files,
)
from brenier.transport.maps.bulk.telling import (
    BulkReport,
    full_disk_told,
    kept_told,
    warned_of,
)

ENGINES = ("local", "dask")


@dataclasses.dataclass(frozen=True)
class _Plan:
    """Which files are moved, where to, and by whom."""

    source: SourceLike
    out: str | os.PathLike[str]
    engine: str
    workers: int
    restart: bool

    def check_engine(self) -> None:
        """Raise where there is no such engine."""
        if self.engine not in ENGINES:
            known = ", ".join(map(repr, ENGINES))
            raise DataError(f"engine: must be one of {known}, got {self.engine!r}")
        if self.engine == "dask":
            dask_for(self.engine)


class _Shown(Protocol):
    def update(self, n: float) -> object: ...


def transform(
    model: ModelLike,
    source: SourceLike,
    out: str | os.PathLike[str],
    *,
    engine: str = "local",
    columns: Sequence[str] | None = None,
    workers: int = 1,
    inverse: bool = False,
    t: float | None = None,
    labels: str | None = None,
    covariates: str | Sequence[str] | None = None,
    status: str | None = "status",
    invalid: str = "null",
    unknown_labels: str = "error",
    restart: bool = False,
    device: torch.device | str | None = None,
    dialect: GivenDialect = UNTOLD,
    quiet: bool = False,
) -> BulkReport:
    """Move the rows of tables of any size; every file gives one of the same name, kind and columns, and a status.

    The same asked for again goes on where it was interrupted. See `brenier.transport.maps.bulk`.

    Args:
        model: the folder of a saved model, a fitted estimator or a map.
        source: a .parquet, .arrow, .feather, .csv or .npy file, a folder of such, a pattern ("in/*.parquet") or a list.
        out: a folder, made where it is missing; for one file also the name of another, which is not recorded.
        engine: "local", or "dask" for the client, or else the scheduler, that Dask has.
        columns: the features, in the order of the fit; None for those of the model, else all that are numeric.
        workers: processes of one thread each, for engine "local"; -1 for one per core.
        inverse, t: whether target rows are moved back; where to stop between x (0) and T(x) (1), or None.
        labels, covariates: the columns of the classes or covariates, for a model with such.
        status: the name of the status column, or None for none.
        invalid: "null" to leave rows empty that cannot be moved, or "error" to stop there.
        unknown_labels: "error", "keep" or "drop" rows of classes that the model does not know.
        restart: whether all is moved again, and files are replaced that no run has written.
        device: where rows are moved; None for where the map lies, the CPU for a saved one.
        dialect: what is known of how .csv files are written; the rest is told from each file.
        quiet: whether to show no progress bar.

    Raises:
        DataError: for arguments, files or rows that cannot be used, before anything is moved where that can be known;
            where the disk is full.
        ModelFileError: where the model is missing, damaged or made by a newer version.
        WorkerLostError: where a worker process was killed. What is finished is kept, whatever is raised.
    """
    orders = BulkOrders(
        columns=_names(columns),
        inverse=inverse,
        t=t,
        labels=labels,
        covariates=_names(covariates),
        status=status,
        invalid=invalid,
        unknown_labels=unknown_labels,
    )
    job = BulkJob(packed_model(model, device), orders, dialect)
    plan = _Plan(source, out, engine, _checked_workers(workers), restart)
    return warned_of(_carried_out(job, plan, quiet))


def _carried_out(job: BulkJob, plan: _Plan, quiet: bool) -> BulkReport:
    """Check everything that can be known before, and move all files."""
    plan.check_engine()
    job.orders.check(job.model.map())
    source, out = plan.source, Path(plan.out)
    alone = not os.fspath(plan.out).endswith("/") and _single(source, out)
    if not alone and out.is_file():
        raise DataError(f"out: {out} is a file; give a folder")
    files = source_files(source, None if alone else out)
    _check_columns(job, files)
    size = sum(each.size for each in files)
    with tqdm(total=size, unit="B", unit_scale=True, disable=quiet) as bar:
        if alone:
            return _one_file(job, files[0], out, plan.workers, bar)
        records = BulkRecords(out)
        with records.alone(), kept_told(records, files):
            records.begin(job, files, plan.restart)
            return _all_files(job, records, files, plan, bar)


def _all_files(
    job: BulkJob,
    records: BulkRecords,
    files: list[SourceFile],
    plan: _Plan,
    bar: _Shown,
) -> BulkReport:
    """Move all files that are not finished, and say what became of all."""
    before = {source: records.finished(source) for source in files}
    todo = [source for source in files if before[source] is None]
    todo.sort(key=lambda source: -source.size)
    bar.update(sum(source.size for source in files if before[source] is not None))
    found = [counts for counts in before.values() if counts is not None]
    moved = (
        moved_by_dask(job, records, todo, bar.update)
        if plan.engine == "dask"
        else _by_workers(job, records, todo, plan.workers, bar)
    )
    found.extend(counts for _, counts in moved)
    for folder in {records.target(source).parent for source in files}:
        remove_stale(folder)
    return BulkReport(records.out, len(files), len(files) - len(todo), _total(found))


def _by_workers(
    job: BulkJob,
    records: BulkRecords,
    todo: list[SourceFile],
    workers: int,
    bar: _Shown,
) -> Iterator[tuple[SourceFile, FileCounts]]:
    """Move files by processes of this machine, and record those that are finished: large ones first, by all."""
    if not todo:
        return
    share = sum(source.size for source in todo) / (2 * workers)
    large = [source for source in todo if workers == 1 or source.size > share]
    small = [(each, records.target(each)) for each in todo if each not in large]
    with _blocks_moved(job, workers) as pool:
        for source in large:
            through = None if pool is None else partial(pool.blocks, source.path)
            target, tell = records.target(source), _teller(job, source, bar)
            counts = move_file(job, source, target, through, tell)
            records.finish(source, counts)
            yield source, counts
        for source, counts in () if pool is None else pool.files(small):
            records.finish(source, counts)
            bar.update(source.size)
            yield source, counts


def _one_file(
    job: BulkJob, source: SourceFile, out: Path, workers: int, bar: _Shown
) -> BulkReport:
    """Move a file to another, without records."""
    with _blocks_moved(job, workers) as pool, full_disk_told(out, "nothing"):
        through = None if pool is None else partial(pool.blocks, source.path)
        counts = move_file(job, source, out, through, _teller(job, source, bar))
    return BulkReport(out, 1, 0, counts)


@contextlib.contextmanager
def _blocks_moved(job: BulkJob, workers: int) -> Iterator[BulkPool | None]:
    """Yield the workers, None where this process is the only one."""
    if workers == 1:
        with with_one_thread():
            yield None
        return
    with worker_pool(job, workers) as pool:
        yield pool


def _teller(job: BulkJob, source: SourceFile, bar: _Shown) -> Callable[[int], object]:
    """Return what moves the bar on by rows of a file."""
    rows = open_blocks(source.path, job.dialect).rows or None
    share = 0.0 if rows is None else source.size / rows
    return lambda moved: bar.update(moved * share)


def _check_columns(job: BulkJob, files: list[SourceFile]) -> None:
    """Raise where a file lacks what is needed; warn where files have other columns or types than the first."""
    first, odd = None, list[str]()
    for source in files:
        opened = open_blocks(source.path, job.dialect)
        schema = job.columns(source.path, opened).schema
        first = first or schema
        if not schema.equals(first):
            odd.append(str(source.path))
    if odd:
        warn(
            f"source: {len(odd)} of {len(files)} files, first {odd[0]}, have other columns or types than "
            f"{files[0].path}; each is written as it is, and readers of the whole folder may refuse that",
            DataWarning,
        )


def _single(source: SourceLike, out: Path) -> bool:
    """Say whether one file is to be moved to a file: its kind is that of the source, and it is no folder."""
    if not isinstance(source, str | os.PathLike) or not Path(source).is_file():
        return False
    if out.is_dir() or kind_of(out) not in BULK_KINDS:
        return False
    if kind_of(out) != kind_of(Path(source)):
        raise DataError(
            f"out: {out} is of another kind than {source}; name a {kind_of(Path(source))} file, or a folder"
        )
    if out.resolve() == Path(source).resolve():
        raise DataError(f"out: {out} is where rows are read from; name another file")
    if not out.parent.is_dir():
        raise DataError(f"out: the folder {out.parent} does not exist; create it first")
    return True


def _checked_workers(workers: object) -> int:
    """Return a number of processes, negative ones counted back from all cores."""
    if not isinstance(workers, int) or isinstance(workers, bool) or not workers:
        raise DataError(
            f"workers: must be a whole number, 1 or more, or -1 for one per core, got {workers!r}"
        )
    return workers if workers > 0 else max(1, cpu_count() + 1 + workers)


def _names(names: str | Sequence[str] | None) -> tuple[str, ...] | None:
    if names is None:
        return None
    return (names,) if isinstance(names, str) else tuple(names)


def _total(found: list[FileCounts]) -> FileCounts:
    return functools.reduce(FileCounts.plus, found, FileCounts())
