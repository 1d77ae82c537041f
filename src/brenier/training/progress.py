"""What a person sees of a fit under way: one bar that names the phase and counts the steps of training."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

from tqdm import tqdm


class PatientStream:
    """Standard error, for a progress bar: where it is closed, broken, full or missing, nothing is shown."""

    def __init__(self) -> None:
        self.encoding = getattr(sys.stderr, "encoding", None) or "ascii"

    def write(self, text: str) -> int:
        """Write what can be written."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.flush()

    def isatty(self) -> bool:
        """Say whether it is a terminal."""
        try:
            return sys.stderr.isatty()
        except (OSError, ValueError, AttributeError):
            return False

    def fileno(self) -> int:
        """Return the number by which the system knows it, for the width of a terminal.

        Raises:
            OSError: where there is none.
        """
        try:
            return sys.stderr.fileno()
        except (ValueError, AttributeError) as error:
            raise OSError(str(error)) from error


class LogProgress(tqdm):  # type: ignore[type-arg]
    """A progress bar for logs: now and then a line of its own, instead of one line that is drawn again and again."""

    @staticmethod
    def status_printer(file: TextIO) -> Callable[[str], None]:
        """Return what writes a line."""

        def write_line(text: str) -> None:
            file.write(f"{text.strip()}\n")
            file.flush()

        return write_line

    last_print_t: float  # as tqdm keeps it

    def line_if_due(self) -> None:
        """Write a line if the last one is old enough, though no step was taken."""
        now = self._time()
        since = now - max(self.last_print_t, self.start_t)
        if since >= self.mininterval and now - self.start_t >= self.delay:
            self.refresh()
            self.last_print_t = now

    def close(self) -> None:
        """End without a last line, which would come too soon after the one before."""
        self.delay = math.inf  # as if nothing was written yet, so that nothing is added
        super().close()


def progress_bar(total: float, initial: int, shown: bool) -> tqdm[Any]:
    """Return a progress bar; where standard error is no terminal it writes a line every ten seconds at most."""
    stream = PatientStream()
    if not shown or stream.isatty():
        return tqdm(
            total=total, initial=initial, disable=not shown, unit="step", file=stream
        )
    return LogProgress(
        total=total,
        initial=initial,
        unit="step",
        mininterval=10.0,
        miniters=1,  # looks at the clock at every step; else the thread of tqdm adds lines where steps slow down
        delay=10.0,
        file=stream,
    )


class Progress:
    """The progress bar of a whole fit; a context, after which it is closed.

    Args:
        shown: whether there is a bar at all.
    """

    def __init__(self, shown: bool = False) -> None:
        self._shown = shown
        self._bar = progress_bar(math.inf, 0, shown)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._bar.close()

    def __reduce__(self) -> tuple[type[Progress], tuple[bool]]:
        return type(self), (False,)  # in another process nothing is shown

    def phase(self, name: str) -> None:
        """Name what is done now."""
        if self._shown:
            log = isinstance(self._bar, LogProgress)
            self._bar.set_description(name, refresh=not log)
            if log:
                self._bar.line_if_due()

    def training(self, total: float, step: int) -> None:
        """Begin with the steps of training.

        Args:
            total: steps at most, or infinity.
            step: how many were taken before.
        """
        if self._shown:
            self._bar.total = None if math.isinf(total) else total
            self._bar.initial = self._bar.n = self._bar.last_print_n = step
            self.phase("training")

    def at(self, step: int) -> None:
        """Show how many steps have been taken."""
        if self._shown:
            self._bar.update(step - self._bar.n)

    def tell(self, summary: str) -> None:
        """Show a summary of the last evaluation."""
        log = isinstance(self._bar, LogProgress)
        self._bar.set_postfix_str(summary, refresh=not log)
