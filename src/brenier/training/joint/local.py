"""Ranks on this machine: other processes that this one starts, and that end with it.

They are new interpreters: no fork of a process that has threads, and no `if __name__ == "__main__"` asked of a script,
as `torch.multiprocessing` asks. The launcher of torch's elastic runs would take over the signals of this process, so
that an interruption were none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
import torch.distributed as dist

from brenier.errors import DataWarning, warn
from brenier.training.ranks import (
    RankError,
    Ranks,
    RankSettings,
    connected,
    dismiss,
    share_run,
)
from brenier.training.run import Run
from brenier.training.threads import threads_kept

HOST, GROUP = "127.0.0.1", "local"
COMMAND = "from brenier.training.joint.child import follow_parent; follow_parent()"


@dataclasses.dataclass(frozen=True)
class PauseSettings:
    """Seconds between two looks at other processes.

    Attributes:
        seconds: while one waits for them to start.
        last_seconds: that one takes at most to end, after it was missed.
        watch_seconds: after which a process notices that the one that started it is gone.
        meet_seconds: until those that have started are connected; one that ends just then is missed only after it.
    """

    seconds: float = 0.02
    last_seconds: float = 2.0
    watch_seconds: float = 0.5
    meet_seconds: float = 30.0


PAUSE = PauseSettings()


class LocalRanks:
    """Other processes that start while this one goes on; a context, after which they have ended.

    Args:
        processes: how many, this one included; one leaves everything as it is.
        settings: how long they wait for each other.

    Attributes:
        size: how many take part, or will.
    """

    def __init__(self, processes: int, settings: RankSettings | None = None) -> None:
        self.size, self._settings = processes, settings or RankSettings()
        self._children: list[subprocess.Popen[bytes]] = []
        self._store: dist.Store | None = None
        self._ranks: Ranks | None = None
        self._lost = ""
        self._began = time.monotonic()

    def __enter__(self) -> LocalRanks:
        self._exit = contextlib.ExitStack()
        if self.size > 1:
            self._threads = self._exit.enter_context(threads_kept())
            self._folder = self._exit.enter_context(
                tempfile.TemporaryDirectory(prefix="brenier-ranks-")
            )
            try:
                self._start()
            except (RankError, OSError, RuntimeError) as error:
                self._lost = str(error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._ranks is not None and error is None:
            with contextlib.suppress(RankError):
                dismiss(self._ranks)
        for child in self._children:
            child.kill()
        for child in self._children:
            child.wait()
        self._exit.close()

    @property
    def waiting(self) -> bool:
        """Whether there are others that do not take part yet."""
        return self.size > 1 and self._ranks is None

    @property
    def taking_part(self) -> int:
        """How many take part now, this one included."""
        return 1 if self._ranks is None else self.size

    def join(self, run: Run[Any], kept: bool, patient: bool) -> None:
        """Let the other processes take part in a run once they have started; nothing where they do already.

        Args:
            run: the run, between two steps.
            kept: whether it is written down.
            patient: whether to wait until they have started, so that results are the same every time.

        Raises:
            RankError: where one of them was lost while it took over the run.
        """
        if not self.waiting or run.finished or not self._ready(patient):
            return
        store = self._known_store()
        try:
            ranks = connected(store, GROUP, 0, self.size, self._meeting(), HOST)
            ranks.folder = Path(self._folder)
            share_run(run, ranks, kept)
        except RankError as error:
            raise self.named(error) from error
        except Exception as error:  # whatever what cannot be sent leads to
            self._give_up(f"{type(error).__name__}: {error}")
            return
        self._ranks = ranks
        torch.set_num_threads(1)  # as the others have

    def _meeting(self) -> RankSettings:
        """Return how long processes wait that have all started."""
        seconds = min(PAUSE.meet_seconds, self._settings.start_seconds)
        return dataclasses.replace(self._settings, start_seconds=seconds)

    def named(self, error: RankError) -> RankError:
        """Return the error of a lost rank with how its process ended, where it has."""
        for rank, child in enumerate(self._children, 1):
            status = _status_of(child)
            if status is not None:
                return RankError(f"rank {rank} ended with exit status {status}")
        return error

    def _start(self) -> None:
        """Start the others, which come to the store when they are ready."""
        if not sys.executable or getattr(sys, "frozen", False):
            raise RankError("this program has no interpreter that could be started")
        # A file, and sockets of this machine alone: nobody else can say anything.
        place = str(Path(self._folder) / "store")
        self._store = dist.FileStore(place, self.size)
        told = json.dumps(dataclasses.asdict(self._settings))
        self._store.set("settings", told)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        environment.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        for rank in range(1, self.size):
            words = (place, rank, self.size, os.getpid())
            command = [sys.executable, "-c", COMMAND, *map(str, words)]
            self._children.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    env=environment,
                    start_new_session=True,  # where an interruption of this process does not reach it
                )
            )

    def _ready(self, patient: bool) -> bool:
        """Say whether all others have started, waiting for it if patient; warn where they cannot."""
        while True:
            if self._lost:
                self._give_up(self._lost)
                return False
            if self._known_store().add("ready", 0) >= self.size - 1:
                return True
            for rank, child in enumerate(self._children, 1):
                status = child.poll()
                if status is not None:
                    self._lost = f"rank {rank} ended with exit status {status}"
                    if patient and status < 0:  # killed: alone it would be another fit
                        raise RankError(self._lost)
            if time.monotonic() - self._began > self._settings.start_seconds:
                seconds = self._settings.start_seconds
                self._lost = f"not all had started after {seconds:g} seconds"
            if not patient and not self._lost:
                return False
            if not self._lost:
                time.sleep(PAUSE.seconds)

    def _give_up(self, reason: str) -> None:
        """Go on alone, and say why."""
        self.size = 1
        for child in self._children:
            child.kill()
        warn(
            f"n_jobs: training goes on in one process, since no other could take part: {reason.splitlines()[-1]}",
            DataWarning,
        )

    def _known_store(self) -> dist.Store:
        if self._store is None:
            raise RankError("no store was made")
        return self._store


def _status_of(child: subprocess.Popen[bytes]) -> int | None:
    """Return how a process ended, None where it goes on; one that was just killed takes a moment."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return child.wait(timeout=PAUSE.last_seconds)
    return None
