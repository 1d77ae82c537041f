"""How long something has been going on, by a source of time that tests may put in the place of the wall clock."""

from __future__ import annotations

import time
from collections.abc import Callable

Now = Callable[[], float]  # seconds since some moment, never less than before


class Clock:
    """Counts seconds of wall time from the moment it is made.

    Args:
        now: source of time.

    Attributes:
        before: seconds that count as gone when it was made: those of a run that was interrupted.
    """

    def __init__(self, now: Now = time.perf_counter) -> None:
        self.now, self.before = now, 0.0
        self._began = now()

    def gone(self) -> float:
        """Return the seconds gone."""
        return self.before + self.now() - self._began
