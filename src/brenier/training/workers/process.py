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


class LostError(BrenierError):
    """A worker that cannot be started, asked or understood, for a reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"a process that shared the work of training was lost: {reason}. Fit with n_jobs=1 (with `checkpoint`, the "
            "run goes on from its last evaluation); exit status -9 often means that memory ran out"
        )
        self.reason = reason


class Near:
    """A worker process, ended by `stop`.

    A new interpreter: no fork of a process that has threads, and no `if __name__ == "__main__"` asked of a script.

    Raises:
        LostError: where none can be started.
    """

    def __init__(self) -> None:
        if not sys.executable or getattr(sys, "frozen", False):
            raise LostError("this program has no interpreter that could be started")
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # where an interruption of this process does not reach it
            )
        except OSError as error:
            raise LostError(str(error)) from error
        self._requests, self._answers = (
            cast(BinaryIO, self._process.stdin),
            cast(BinaryIO, self._process.stdout),
        )

    def ask(self, name: str, packed: bytes) -> None:
        """Send a request; `answer` waits for what comes of it."""
        try:
            pickle.dump(
                (name, packed), self._requests, protocol=pickle.HIGHEST_PROTOCOL
            )
            self._requests.flush()
        except (
            OSError,
            ValueError,
        ) as error:  # closed by the other end, or by this one
            raise LostError(self._ended()) from error

    def answer(self) -> Any:
        """Return what came of the last request."""
        try:
            good, found = pickle.load(self._answers)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
            raise LostError(self._ended()) from error
        if not good:
            raise LostError(found)
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


def packed(*arguments: Any, **keywords: Any) -> bytes:
    """Return the arguments of a request.

    Raises:
        LostError: where they cannot be sent.
    """
    try:
        return pickle.dumps((arguments, keywords), protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise LostError(str(error)) from error
