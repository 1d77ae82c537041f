"""The near end of a worker: starts it, asks it, and says what became of it."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from typing import Any, BinaryIO, cast

from brenier.errors import BrenierError
from brenier.training.workers.worker import COMMAND


class WorkerError(BrenierError):
    """A worker that cannot be started, asked or understood, for a reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"a process that shared the work of training was lost: {reason}. Fit with n_jobs=1 (with `checkpoint`, the "
            "run goes on from its last evaluation); exit status -9 often means that memory ran out"
        )
        self.reason = reason


class WorkerProcess:
    """A worker process, ended by `stop`.

    A new interpreter: no fork of a process that has threads, and no `if __name__ == "__main__"` asked of a script.

    Args:
        worker: the class whose methods answer requests; it takes no arguments.

    Raises:
        WorkerError: where none can be started.
    """

    def __init__(self, worker: type) -> None:
        if not sys.executable or getattr(sys, "frozen", False):
            raise WorkerError("this program has no interpreter that could be started")
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, worker.__module__, worker.__qualname__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # where an interruption of this process does not reach it
            )
        except OSError as error:
            raise WorkerError(str(error)) from error
        self._requests = cast(BinaryIO, self._process.stdin)
        self._answers = cast(BinaryIO, self._process.stdout)

    def ask(self, name: str, serialised: bytes) -> None:
        """Send a request, a method's name and its arguments; `answer` waits for what comes of it.

        Raises:
            WorkerError: where the process has ended.
        """
        try:
            request = (name, serialised)
            pickle.dump(request, self._requests, protocol=pickle.HIGHEST_PROTOCOL)
            self._requests.flush()
        except (
            OSError,
            ValueError,
        ) as error:  # closed by the other end, or by this one
            raise WorkerError(self._ended()) from error

    def answer(self) -> Any:
        """Return what came of the last request.

        Raises:
            WorkerError: where the process has ended, or the request failed in it.
        """
        try:
            good, found = pickle.load(self._answers)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            raise WorkerError(self._ended()) from error
        if not good:
            raise WorkerError(found)
        return found

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._requests, self._answers):
            with contextlib.suppress(OSError):  # what was not sent yet
                stream.close()

    def _ended(self) -> str:
        return f"it ended with exit status {self._process.wait()}"


def serialise(*arguments: object, **keywords: object) -> bytes:
    """Return the arguments of a request as they are sent.

    Raises:
        WorkerError: where they cannot be sent.
    """
    try:
        return pickle.dumps((arguments, keywords), protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise WorkerError(str(error)) from error
