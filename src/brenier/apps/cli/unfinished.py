"""The unfinished run in the folder of a model: resumed or discarded, and kept until the model is saved."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from brenier.apps.cli.console import note
from brenier.errors import DataError, ModelFileError
from brenier.training import read_run, remove_run, reopen_run

UNFINISHED = (
    "unfinished"  # the folder of a run that has not ended, in that of the model
)


@dataclasses.dataclass(frozen=True)
class UnfinishedRun:
    """The run that leads to a model.

    Attributes:
        out: the model's folder.
        again: the command that resumes the run, for the message after an interruption.
    """

    out: Path
    again: str

    @property
    def folder(self) -> Path:
        """Where the run is until it has ended."""
        return self.out / UNFINISHED

    def prepare(self, resume: bool, restart: bool) -> None:
        """Make the folder; say whether there is a run in it, or discard that.

        Args:
            resume, restart: fail unless there is an unfinished run to go on with, or discard it.
        """
        folder = self.folder
        if self.out.exists() and not self.out.is_dir():
            raise DataError(f"--out: {self.out} is a file; give a folder")
        if restart:
            remove_run(folder)
        reopen_run(folder)  # of a command that was stopped before its model was saved
        step = self.step()
        if step is not None:
            note(
                f"Resuming the unfinished run in {folder} at step {step}; --restart would discard it."
            )
        elif resume:
            raise DataError(
                f"--resume: there is no unfinished run in {folder}; leave it out to start one"
            )
        folder.mkdir(parents=True, exist_ok=True)

    def step(self) -> int | None:
        """Return how far the run has come, or None where there is none."""
        try:
            state = read_run(self.folder)
        except ModelFileError as error:
            raise ModelFileError(f"{error}, which --restart does") from error
        if state is None:
            return None
        step: int = state["run"]["counters"]["step"]
        return step

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Train inside the block: what fails says how to go on, and an interruption what was kept."""
        try:
            yield
        except ModelFileError as error:
            raise ModelFileError(f"{error}, which --restart does") from error
        except KeyboardInterrupt:
            step = self.step()
            if step is None:
                self.remove_empty()
                raise KeyboardInterrupt(
                    "Interrupted before the first step: nothing was saved."
                ) from None
            raise KeyboardInterrupt(
                f"Interrupted; the run is kept at step {step} in {self.folder} and goes on with: {self.again}"
            ) from None
        except BaseException:
            self.remove_empty()
            raise

    def save(self, save: Callable[[Path], object]) -> None:
        """Save the model by a function of its folder, and only then remove the run; say how to go on where that fails.

        Raises:
            OSError: as told, naming the file.
        """
        kept = f"the run is kept in {self.folder}, and saved by: {self.again}"
        try:
            save(self.out)
        except OSError as error:
            told = f"{error.strerror or error}; {kept}"
            raise OSError(error.errno, told, error.filename or str(self.out)) from error
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"Interrupted; {kept}") from None
        remove_run(self.folder)
        self.remove_empty()

    def page(self, write: Callable[[], Path]) -> Path | None:
        """Write the report, beside a model that is safe already; where it fails, return None and say why."""
        try:
            return write()
        except Exception as error:
            fault = " ".join(f"{type(error).__name__}: {error}".split())
            note(
                f"warning: the report cannot be written ({fault}); the model is in {self.out}"
            )
        return None

    def remove_empty(self) -> None:
        """Remove the folder of the run, and the model's around it, where nothing is in them."""
        for empty in (self.folder, self.out):
            with contextlib.suppress(OSError):
                empty.rmdir()
