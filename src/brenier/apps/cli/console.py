"""How commands speak: results on standard output; progress, notes and warnings on standard error; exit codes."""

from __future__ import annotations

import contextlib
import enum
import io
import json
import math
import os
import sys
import warnings
from collections.abc import Iterator
from typing import TextIO


class ExitCode(enum.IntEnum):
    """What a command says to the shell."""

    OK = 0
    UNEXPECTED = 1  # an error that is not the user's
    BAD_INPUT = 2  # wrong usage, or a file that cannot be used
    NOTHING_CONVERGED = 3  # the result is written, and no row of it is reliable
    DRIFT = 3  # of `drift` alone: something has drifted, which is no fault of the run
    INTERRUPTED = 130  # what shells report for Ctrl-C


def convergence_code(unconverged: int, rows: int) -> ExitCode:
    """Return `NOTHING_CONVERGED` where not one of the rows converged, else `OK`."""
    if rows and unconverged == rows:
        return ExitCode.NOTHING_CONVERGED
    return ExitCode.OK


def note(text: str) -> None:
    """Print something that is not a result, on standard error; nothing where that is missing, closed or full."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(text, file=sys.stderr, flush=True)


def print_any_text() -> None:
    """Let names that are no text, such as those of files in another encoding, be printed with escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> None:
    """Write what standard output still holds; discard it where nobody can read it: at the exit it would raise again."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(value: object) -> None:
    """Print a value as strict JSON: numbers that are not finite become null."""
    print(json.dumps(_strict(value), indent=2, allow_nan=False))


@contextlib.contextmanager
def one_line_warnings() -> Iterator[None]:
    """Print every warning raised inside the block once, as one line on standard error."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        note(f"warning: {' '.join(str(message).split())}")

    # Those of other libraries about their own interfaces: none of them is about the user's data.
    about_code = (
        DeprecationWarning,
        PendingDeprecationWarning,
        FutureWarning,
        ResourceWarning,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for category in about_code:
            warnings.simplefilter("ignore", category)
        warnings.showwarning = show
        yield


def _strict(value: object) -> object:
    """Return a value with text as keys and None for numbers that are not finite, whatever it is nested in."""
    if isinstance(value, dict):
        return {str(name): _strict(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
