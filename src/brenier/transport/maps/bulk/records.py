"""What a folder says of the runs that wrote into it, so that an interrupted one goes on where it was.

`_brenier/run.json` says which model moved the rows, and how; `_brenier/files/NAME.json` is written after the output
NAME, and says of which file it is and what became of its rows. Readers of folders of tables leave out what begins
with `_`. Removing the folder `_brenier` forgets the run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from brenier.atomic import remove_stale, write_bytes
from brenier.errors import DataError
from brenier.transport.maps.bulk.files import BulkJob, FileCounts
from brenier.transport.maps.bulk.sources import SourceFile

locking: ModuleType | None
try:
    import fcntl as locking
except ImportError:  # on Windows, where two runs into one folder are not kept apart
    locking = None


@dataclasses.dataclass(frozen=True)
class RecordNames:
    """Where records lie, and what makes them unlike those of other versions.

    Attributes:
        folder: of all records, in the folder that is written.
        format: of the records.
    """

    folder: str = "_brenier"
    format: int = 1


RECORDS = RecordNames()


@dataclasses.dataclass(frozen=True)
class BulkRecords:
    """The records of a folder.

    Attributes:
        out: the folder.
    """

    out: Path

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return self.out / RECORDS.folder

    def target(self, source: SourceFile) -> Path:
        """Return where a file is written."""
        return self.out / source.name

    def begin(self, job: BulkJob, files: list[SourceFile], restart: bool) -> None:
        """Say what is about to be done, having checked that nothing else was.

        Raises:
            DataError: where another model or other orders wrote here, or files that no run has written are in the way.
        """
        if restart:
            shutil.rmtree(self.folder / "files", ignore_errors=True)
        told, before = _told_of(job), self._before()
        if before is None and not restart:
            self._check_free(files)
        if before is not None and before != told and not restart:
            odd = sorted(
                name for name in told | before if told.get(name) != before.get(name)
            )
            raise DataError(
                f"out: {self.out} was written by a run with another {', '.join(odd)}; give another folder, or start "
                "again with restart=True (--restart), which writes all files anew"
            )
        for source in files:
            self._check_same(source)
        if before != told:
            write_bytes(self.folder / "run.json", _as_json(told))
        for folder in {self.target(source).parent for source in files}:
            folder.mkdir(parents=True, exist_ok=True)
            remove_stale(folder)

    def finished(self, source: SourceFile) -> FileCounts | None:
        """Return what became of the rows of a file, None unless it is as it was, and so is its output."""
        try:
            told = self._told(source)
            same = told["source"] == [source.size, source.changed]
            if same and told["target"] == self._written(source):
                return FileCounts(**told["counts"])
        except (OSError, TypeError, KeyError):
            pass
        return None

    def finish(self, source: SourceFile, counts: FileCounts) -> None:
        """Say that a file is finished."""
        told: dict[str, object] = {
            "path": str(source.path.absolute()),
            "source": [source.size, source.changed],
            "target": self._written(source),
            "counts": dataclasses.asdict(counts),
        }
        path = self._record(source)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, _as_json(told))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs out of the folder during the block.

        Raises:
            DataError: where another run is writing there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT)
        try:
            if locking is not None:
                locking.flock(handle, locking.LOCK_EX | locking.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise DataError(
                f"out: another run is writing into {self.out}; wait for it, or give another folder"
            ) from error
        finally:
            os.close(handle)

    def _record(self, source: SourceFile) -> Path:
        return self.folder / "files" / f"{source.name}.json"

    def _told(self, source: SourceFile) -> dict[str, Any]:
        """Return the record of a file; nothing where there is none, or it is damaged."""
        try:
            found = json.loads(self._record(source).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _check_same(self, source: SourceFile) -> None:
        """Raise where the output of a file was made of another one."""
        told = self._told(source)
        before, now = told.get("path"), str(source.path.absolute())
        if before not in (None, now) and self.finished(source) is None:
            raise DataError(
                f"out: {self.target(source)} was made of {before}, not of {now}; give another folder, or replace it "
                "with restart=True (--restart)"
            )

    def _written(self, source: SourceFile) -> list[int]:
        """Return the size and age of an output."""
        found = self.target(source).stat()
        return [found.st_size, found.st_mtime_ns]

    def _before(self) -> dict[str, object] | None:
        """Return what an earlier run has said, None where there was none."""
        try:
            found = json.loads((self.folder / "run.json").read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            return {"format": "damaged"}
        return found if isinstance(found, dict) else {"format": "damaged"}

    def _check_free(self, files: list[SourceFile]) -> None:
        """Raise where a file is in the way that no run has written."""
        for source in files:
            if self.target(source).exists():
                raise DataError(
                    f"out: {self.target(source)} is there already, and no such run has written it; give another "
                    "folder, or replace it with restart=True (--restart)"
                )


def _told_of(job: BulkJob) -> dict[str, object]:
    """Return what a run says of itself."""
    told = {"format": RECORDS.format, "model": job.model.mark}
    orders = dataclasses.asdict(job.orders) | dataclasses.asdict(job.dialect)
    found: dict[str, object] = json.loads(json.dumps({**told, **orders}))
    return found


def _as_json(told: dict[str, object]) -> bytes:
    return json.dumps(told, indent=1).encode()
