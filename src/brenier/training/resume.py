"""From the start of a run, or from where an unfinished one was, to its end."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import torch
from tqdm import tqdm

from brenier.errors import DataWarning, ModelFileError, warn
from brenier.training import checkpoint
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


def train(run: Run[Any], keeper: Keeper | None = None, progress: bool = False) -> None:
    """Advance a run to its end, written down at every evaluation and at the end if there is a keeper.

    An interruption may fall into the middle of a step, from where no run can be resumed to the bit: none is written.

    Args:
        run: the run.
        keeper: where it is kept, or None.
        progress: whether to show a progress bar.
    """
    evaluated, written = -1, bool(run.finished)
    with progress_bar(run.settings.max_steps, run.step, progress) as bar:
        while not run.finished:
            run.advance()
            written = False
            bar.update(run.step - bar.n)
            if run.history and run.history[-1]["step"] > evaluated:
                evaluated = int(run.history[-1]["step"])
                summary = run.task.summary(run.history[-1])
                bar.set_postfix_str(summary, refresh=not isinstance(bar, LogProgress))
                if keeper is not None:
                    keeper.save(run)
                    written = True
    if keeper is not None and not written:  # it gave up between two evaluations
        keeper.save(run)


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
