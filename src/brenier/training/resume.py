"""From the start of a run, or from where an unfinished one was, to its end."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple, TextIO

import torch
from tqdm import tqdm

from brenier.training import checkpoint
from brenier.training.run import Run


class Start(NamedTuple):
    """Where a run starts: the state of an unfinished one if there is one, the seed, and the generator it gives."""

    state: dict[str, Any] | None
    seed: int
    generator: torch.Generator


def resume_or_start(folder: str | None, seed: int, seed_given: bool) -> Start:
    """Return where a run starts.

    Args:
        folder: where the unfinished run is kept, or None.
        seed: of a new run.
        seed_given: whether an unfinished run must have that seed.

    Raises:
        ModelFileError: where the folder holds a damaged run, or one with another seed or version.
    """
    state = checkpoint.read_run(folder) if folder else None
    if state is not None:
        given = seed if seed_given else None
        seed = checkpoint.resumed_seed(state, given, folder or "")
    return Start(state, seed, torch.Generator().manual_seed(seed))


@dataclasses.dataclass(frozen=True)
class Keeper:
    """Keeps an unfinished run on disk.

    Attributes:
        folder: where.
        fingerprint: of the samples and settings that the run belongs to.
        seed: it was started with.
    """

    folder: str
    fingerprint: str
    seed: int

    def restore(self, run: Run[Any], start: Start) -> None:
        """Put a run back where an unfinished one was, if there is one."""
        if start.state is not None:
            checkpoint.restore_run(start.state, run, self.fingerprint, self.folder)

    def save(self, run: Run[Any]) -> None:
        """Write the run, whole or not at all."""
        checkpoint.save_run(self.folder, run, self.fingerprint, self.seed)


def train(run: Run[Any], keeper: Keeper | None = None, progress: bool = False) -> None:
    """Advance a run to its end, written down at every evaluation if there is a keeper.

    An interruption may fall into the middle of a step, from where no run can be resumed to the bit: none is written.

    Args:
        run: the run.
        keeper: where it is kept until it has ended, or None.
        progress: whether to show a progress bar.
    """
    saved = -1
    with progress_bar(run.settings.max_steps, run.step, progress) as bar:
        while not run.finished:
            run.advance()
            bar.update(run.step - bar.n)
            if run.history and run.history[-1]["step"] > saved:
                saved = int(run.history[-1]["step"])
                summary = run.task.summary(run.history[-1])
                bar.set_postfix_str(summary, refresh=not isinstance(bar, LogProgress))
                if keeper is not None:
                    keeper.save(run)


class LogProgress(tqdm):  # type: ignore[type-arg]
    """A progress bar for logs: now and then a line of its own, instead of one line that is drawn again and again."""

    @staticmethod
    def status_printer(file: TextIO) -> Callable[[str], None]:
        """Return what writes a line."""

        def write_line(text: str) -> None:
            file.write(f"{text.strip()}\n")
            file.flush()

        return write_line

    def close(self) -> None:
        """End without a last line, which would come too soon after the one before."""
        self.delay = math.inf  # as if nothing was written yet, so that nothing is added
        super().close()


def progress_bar(total: float, initial: int, shown: bool) -> tqdm[Any]:
    """Return a progress bar; where standard error is no terminal it writes a line every ten seconds at most."""
    if not shown or sys.stderr.isatty():  # a program may have no standard error
        return tqdm(total=total, initial=initial, disable=not shown, unit="step")
    return LogProgress(
        total=total,
        initial=initial,
        unit="step",
        mininterval=10.0,
        miniters=1,  # looks at the clock at every step; else the thread of tqdm adds lines where steps slow down
        delay=10.0,
    )
