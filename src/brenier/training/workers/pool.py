"""Several workers, started together in the background and ended together."""

from __future__ import annotations

import threading
from types import TracebackType

from brenier.errors import DataWarning, warn
from brenier.training.workers.process import WorkerError, WorkerProcess
from brenier.training.workers.threads import threads_kept


class WorkerPool:
    """Worker processes that start while this process goes on; a context, after which they have ended.

    Args:
        processes: how many, this one included.
        worker: the class whose methods answer requests.
        handshake: a serialised request `register` that every worker answers first, or a `WorkerError` for why there
            can be none.
        patient: whether the first use waits until the workers have started, so that results are the same every time;
            else this process goes alone until then.
        max_wait: seconds after which a worker that has not started will not be waited for.
    """

    def __init__(
        self,
        processes: int,
        worker: type,
        handshake: bytes | WorkerError,
        patient: bool,
        max_wait: float,
    ) -> None:
        self._processes, self._worker, self._handshake = processes, worker, handshake
        self._patient, self._max_wait = patient, max_wait
        self._workers: list[WorkerProcess] = []
        self._lost = ""

    def __enter__(self) -> WorkerPool:
        self._kept = threads_kept()
        self.threads = self._kept.__enter__()
        if isinstance(self._handshake, WorkerError):
            self._lost = self._handshake.reason
        else:
            self._start()
        self._starting = threading.Thread(target=self._shake_hands, daemon=True)
        self._starting.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.stop()
        self._starting.join()
        self._kept.__exit__(kind, error, at)

    @property
    def processes(self) -> int:
        """How many processes there are, or will be, this one included."""
        return self._processes

    def workers(self, count: int) -> list[WorkerProcess]:
        """Return so many workers, or none while they have not started; warn once where they cannot start."""
        return self._workers[:count] if count > 0 and self._ready() else []

    def _start(self) -> None:
        try:
            for _ in range(self._processes - 1):
                self._workers.append(WorkerProcess(self._worker))
        except WorkerError as lost:
            self._lost = lost.reason

    def _shake_hands(self) -> None:
        """Wait until the workers have started and read what they will need."""
        if self._lost or isinstance(self._handshake, WorkerError):
            return
        try:
            for worker in self._workers:
                worker.ask("register", self._handshake)
            for worker in self._workers:
                worker.answer()
        except WorkerError as lost:
            self._lost = lost.reason

    def _ready(self) -> bool:
        """Say whether there are workers that have started, waiting for it if patient."""
        if self._processes == 1:
            return False
        if self._patient:
            self._starting.join(self._max_wait)
            if self._starting.is_alive():
                self._lost = f"none had started after {self._max_wait:.0f} seconds"
        elif self._starting.is_alive():
            return False
        if self._lost:
            reason = self._lost.splitlines()[-1]
            warn(
                f"n_jobs: training goes on in one process, since no other could take part: {reason}",
                DataWarning,
            )
            self._lost, self._processes = "", 1
        return self._processes > 1
