"""What the first of several ranks does: it leads a fit, hands its runs out, and lets the others go."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from brenier.training.ranks.group import Ranks

if TYPE_CHECKING:
    from brenier.training.run import Run

_led: ContextVar[Ranks | None] = ContextVar("led", default=None)


@contextlib.contextmanager
def leading(ranks: Ranks) -> Iterator[None]:
    """Let the others, who follow, take part in every run that is trained in the block."""
    token = _led.set(ranks)
    try:
        yield
    finally:
        _led.reset(token)


@contextlib.contextmanager
def leaving(ranks: Ranks) -> Iterator[None]:
    """Leave the group after the block, however that ends; where it fails, leave word of why."""
    try:
        yield
    except BaseException as error:
        ranks.fail(f"{type(error).__name__}: {error}")
        raise
    finally:
        ranks.close()


def led() -> Ranks | None:
    """Return the processes that this one leads, or None."""
    return _led.get()


def share_run(run: Run[Any], ranks: Ranks, kept: bool) -> None:
    """Let other ranks take part in a run from its next step on; called by the first.

    Args:
        run: the run, wherever it is.
        ranks: who takes part; the others follow.
        kept: whether the run is written down, and so has the state of all ranks.
    """
    if ranks.size == 1:
        return
    state = run.state_dict()
    parcel = ranks.parcel((run.task, run.settings, run.generator, state, kept))
    call(ranks, "train", None)
    ranks.handed_out(parcel)
    run.join(ranks)


def call(ranks: Ranks, name: str, what: object) -> None:
    """Say what the followers do next; called by the first rank, which says when they have done it (`busy`)."""
    ranks.told((name, what))
    ranks.busy = True


def dismiss(ranks: Ranks, last_word: object = None) -> None:
    """Let the followers go; called by the first rank."""
    call(ranks, "end", last_word)
