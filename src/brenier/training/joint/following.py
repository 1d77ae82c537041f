"""A run that several ranks advance together: the first tells the others all of it, and then they take the same steps.

Each rank draws batches of its own, from a generator of its own, and differentiates its share of the loss. The sum of
the gradients is the same on all ranks, and so are the steps. A follower does what the first rank says until that is
done.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from brenier.errors import BrenierError
from brenier.training.ranks import RankError, Ranks, dismiss, leading, leaving
from brenier.training.resume import Witness, train
from brenier.training.run import Run

WorkResult = TypeVar("WorkResult")
Answer = Callable[[Any], None]  # what a follower does for the first rank


def take_part(ranks: Ranks) -> None:
    """Advance the run of the first rank to its end together with it; called by all others."""
    task, settings, generator, state, kept = ranks.handed_out(None)
    with warnings.catch_warnings():  # the first rank warns for all
        warnings.simplefilter("ignore")
        run: Run[Any] = Run(task, settings, generator)
        run.load_state_dict(state)
        run.join(ranks)
        train(run, Witness() if kept else None)


def follow(ranks: Ranks, answers: Mapping[str, Answer] | None = None) -> Any:
    """Do what the first rank says until it says that this is all; return its last word.

    Args:
        ranks: the group.
        answers: what to do, by name, beside taking part in runs.
    """
    known: dict[str, Answer] = {"train": lambda _: take_part(ranks), **(answers or {})}
    while True:
        ranks.wait_long()
        name, what = ranks.told(None)
        ranks.wait_shortly()
        if name == "end":
            return what
        known[name](what)


@dataclasses.dataclass(frozen=True)
class Failed:
    """Why the first rank gives no result: in words, and as an error that can be raised again, or None."""

    reason: str
    error: BrenierError | None


def conducted(
    ranks: Ranks | None,
    work: Callable[[], WorkResult],
    told: Callable[[WorkResult], object],
    answers: Mapping[str, Answer] | None = None,
) -> WorkResult:
    """Return what some work gives that the first of several ranks leads and the others follow.

    Args:
        ranks: the processes, all of which call this, or None for this one alone.
        work: what the first does; the others take part in its runs.
        told: what the others are told of the result.
        answers: what these do for the first, by name.

    Raises:
        BrenierError: on every rank, where the first fails.
    """
    if ranks is None:
        return work()
    with leaving(ranks):
        if not ranks.first:
            return _result_of(follow(ranks, answers))
        try:
            with leading(ranks):
                found = work()
            dismiss(ranks, told(found))
        except BaseException as error:
            if not ranks.busy:  # the others wait for word
                reason = f"{type(error).__name__}: {error}"
                known = error if isinstance(error, BrenierError) else None
                with contextlib.suppress(RankError):  # which they find themselves
                    dismiss(ranks, Failed(reason, known))
            raise
        return found


def _result_of(word: Any) -> Any:
    """Return the result of the first rank, or raise why there is none."""
    if not isinstance(word, Failed):
        return word
    if word.error is not None:
        raise word.error
    raise RankError(f"the first process failed with {word.reason}")
