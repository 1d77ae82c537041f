"""Several ranks in one process: each is a thread, and they talk as processes do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import torch.distributed as dist

from brenier.training import Ranks, RankSettings
from brenier.training.ranks import connected

Found = TypeVar("Found")
SETTINGS = RankSettings(answer_seconds=30.0, start_seconds=30.0, idle_seconds=30.0)


def outcomes(
    size: int,
    work: Callable[[Ranks], Found],
    settings: RankSettings = SETTINGS,
    seconds: float = 60.0,
) -> list[Found | BaseException]:
    """What each of some ranks returns or raises, in their order; a thread that raises leaves its group.

    Args:
        size: how many there are.
        work: what each does.
        settings: how long they wait for each other.
        seconds: after which a rank has hung.
    """
    store = dist.HashStore()
    found: list[Found | BaseException] = [TimeoutError("hung")] * size

    def one(rank: int) -> None:
        try:
            found[rank] = work(connected(store, "test", rank, size, settings))
        except BaseException as error:
            found[rank] = error.with_traceback(None)  # which would keep its group

    threads = [
        threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(size)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
    return found


def together(
    size: int, work: Callable[[Ranks], Found], settings: RankSettings = SETTINGS
) -> list[Found]:
    """What each of some ranks returns, in their order; the first error of any is raised."""
    found = list[Found]()
    for each in outcomes(size, work, settings):
        if isinstance(each, BaseException):
            raise each
        found.append(each)
    return found
