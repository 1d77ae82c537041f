"""How long processes wait for each other, and the error where one was waited for in vain."""

from __future__ import annotations

import dataclasses

from brenier.errors import BrenierError


class RankError(BrenierError, RuntimeError):
    """A process that shared the work of training has ended, does not answer, or cannot be started.

    Args:
        reason: what is known of it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"a process that shared the work of training was lost: {reason}. Fit again with the same `checkpoint`, and "
            "the run goes on from its last evaluation; or fit in one process, with n_jobs=1. Exit status -9 often "
            "means that memory ran out"
        )
        self.reason = reason


@dataclasses.dataclass(frozen=True)
class RankSettings:
    """How long processes wait for each other.

    Attributes:
        answer_seconds: while they train, until one that does not answer is given up.
        start_seconds: until all have started.
        idle_seconds: between two phases, while the first rank does what is not shared, which may take hours.
    """

    answer_seconds: float = 600.0
    start_seconds: float = 300.0
    idle_seconds: float = 30.0 * 86_400.0
