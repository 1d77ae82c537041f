"""A run that several ranks advance together: the first tells the others all of it, and then they take the same steps.

Each rank draws batches of its own, from a generator of its own, and differentiates its share of the loss. The sum of
the gradients is the same on all ranks, and so are the steps. A follower does what the first rank says until that is
done.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from brenier.training.ranks import Ranks
from brenier.training.resume import Witness, train
from brenier.training.run import Run

Answer = Callable[[Any], None]  # what a follower does for the first rank


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


def take_part(ranks: Ranks) -> None:
    """Advance the run of the first rank to its end together with it; called by all others."""
    task, settings, generator, state, kept = ranks.handed_out(None)
    with warnings.catch_warnings():  # the first rank warns for all
        warnings.simplefilter("ignore")
        run: Run[Any] = Run(task, settings, generator)
        run.load_state_dict(state)
        run.join(ranks)
        train(run, Witness() if kept else None)


def call(ranks: Ranks, name: str, what: object) -> None:
    """Say what the followers do next; called by the first rank, which says when they have done it (`busy`)."""
    ranks.told((name, what))
    ranks.busy = True


def dismiss(ranks: Ranks, last_word: object = None) -> None:
    """Let the followers go; called by the first rank."""
    call(ranks, "end", last_word)


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
