"""From the start of a run, or from where an unfinished one was, to its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from brenier.errors import DataWarning, ModelFileError, warn
from brenier.training import checkpoint
from brenier.training.progress import Progress
from brenier.training.ranks import led, share_run
from brenier.training.run import Run


class Start(NamedTuple):
    """Where a run starts: the state of an earlier one if there is one, the seed, and the generator it gives.

    The state may be that of a finished run, whose result was given back but never saved.
    """

    state: dict[str, Any] | None
    seed: int
    generator: torch.Generator
    finished: bool = False


def resume_or_start(folder: str | None, seed: int, seed_given: bool) -> Start:
    """Return where a run starts.

    A finished run with another seed, or by another version, is left aside.

    Args:
        folder: where the run is kept, or None.
        seed: of a new run.
        seed_given: whether an unfinished run must have that seed.

    Raises:
        ModelFileError: where the folder holds a damaged run, or an unfinished one with another seed or version.
    """
    path = checkpoint.run_file(folder) if folder else None
    if folder is None or path is None:
        return start_anew(seed)
    finished = checkpoint.is_finished(path)
    try:
        state = checkpoint.read_run(folder)
        if state is None:  # removed by another process since
            return start_anew(seed)
        found = checkpoint.resumed_seed(state, seed if seed_given else None, folder)
    except ModelFileError:
        if finished:
            return start_anew(seed)
        raise
    return Start(state, found, torch.Generator().manual_seed(found), finished)


def start_anew(seed: int) -> Start:
    """Return the start of a new run."""
    return Start(None, seed, torch.Generator().manual_seed(seed))


@dataclasses.dataclass
class Keeper:
    """Keeps a run on disk.

    Attributes:
        folder: where.
        fingerprint: of the samples and settings that the run belongs to.
        seed: it was started with.
        failing: whether the run could not be written when it was last tried.
    """

    folder: str
    fingerprint: str
    seed: int
    failing: bool = False

    def knows(self, start: Start) -> bool:
        """Say whether a start is that of a new run, or of one with the same samples and settings."""
        return start.state is None or start.state["fingerprint"] == self.fingerprint

    def restore(self, run: Run[Any], start: Start) -> None:
        """Put a run back where an earlier one was, if there is one."""
        if start.state is not None:
            checkpoint.restore_run(start.state, run, self.fingerprint, self.folder)

    def save(self, run: Run[Any]) -> None:
        """Write the run, whole or not at all; where it cannot be written, warn once, for training need not end."""
        try:
            checkpoint.save_run(self.folder, run, self.fingerprint, self.seed)
        except OSError as error:
            if not self.failing:
                warn(
                    f"checkpoint: the run cannot be written ({error}); training goes on and tries again at every "
                    f"evaluation, but what it learns from step {run.step} on is lost if it is interrupted. Free space "
                    "there, or mend the folder's permissions",
                    DataWarning,
                )
            self.failing = True
        else:
            self.failing = False

    def finish(self) -> Path | None:
        """Keep the run, whose result is ready, as a finished one; return its file, or None where there is none."""
        return checkpoint.finish_run(self.folder, self.fingerprint, self.seed)


class Witness:
    """Takes part where the first rank writes the run down, since that takes the state of all."""

    def save(self, run: Run[Any]) -> None:
        """Give this rank's part of the state."""
        run.state_dict()


def train(
    run: Run[Any],
    keeper: Keeper | Witness | None = None,
    progress: Progress | bool = False,
    after_step: Callable[[], None] | None = None,
) -> None:
    """Advance a run to its end, written down at every evaluation and at the end if there is a keeper.

    Processes that this one leads take part (see `leading`). An interruption may fall into the middle of a step, from
    where no run can be resumed to the bit: none is written.

    Args:
        run: the run.
        keeper: where it is kept, or None.
        progress: the bar to show it on, or whether to show one.
        after_step: what is called after every step, or nothing.
    """
    if isinstance(progress, bool):
        with Progress(progress) as own:
            train(run, keeper, own, after_step)
        return
    ranks = led()
    if ranks is not None and run.ranks.size == 1 and not run.finished:
        share_run(run, ranks, keeper is not None)
    # The same on a rank that joins on the way: all ranks write the run down, or none.
    evaluated = run.history[-1]["step"] if run.history else -1.0
    written = bool(run.finished)
    progress.training(run.settings.max_steps, run.step)
    while not run.finished:
        run.advance()
        written = False
        progress.at(run.step)
        if run.history and run.history[-1]["step"] > evaluated:
            evaluated = run.history[-1]["step"]
            progress.tell(run.task.summary(run.history[-1]))
            if keeper is not None:
                keeper.save(run)
                written = True
        if after_step is not None:
            after_step()
    if keeper is not None and not written:  # it gave up between two evaluations
        keeper.save(run)
    run.leave()
