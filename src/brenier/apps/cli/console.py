"""How commands speak: results on standard output; progress, notes and warnings on standard error; exit codes."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

OK, UNEXPECTED, BAD_INPUT, NOTHING_CONVERGED, INTERRUPTED = 0, 1, 2, 3, 130


def note(text: str) -> None:
    """Print something that is not a result, on standard error."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
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

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for category in (
            DeprecationWarning,
            PendingDeprecationWarning,
            FutureWarning,
            ResourceWarning,
        ):
            warnings.simplefilter(
                "ignore", category
            )  # of other libraries; none of them is about the user's data
        warnings.showwarning = show
        yield


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _strict(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
