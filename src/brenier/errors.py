"""What can go wrong, by name. Every message says what happened, how much of it, and what to do."""

import sys
import warnings


class BrenierError(Exception):
    """Base of every error this library raises on purpose."""


class DataError(BrenierError, ValueError):
    """Samples, files or arguments that cannot be used; the message names the argument and the remedy.

    Attributes:
        argument: the name that the message starts with, of one argument or of several joined by ", "; None where it
            starts with no argument.
    """

    def __init__(self, message: str = "", *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument

    def for_argument(self, name: str) -> "DataError":
        """Return the same error about an argument of another name, such as the file that it was read from."""
        if self.argument is None:
            return self
        fault = str(self).removeprefix(self.argument)
        return DataError(f"{name}{fault}", argument=name)


class ConvergenceError(BrenierError, RuntimeError):
    """Inner problems, or a training run, that did not reach their tolerance."""


class ModelFileError(BrenierError, ValueError):
    """A saved model or run that is missing, damaged, or newer than this library."""


class DataWarning(UserWarning):
    """Samples that can be used, with a consequence the user should know."""


class ConvergenceWarning(UserWarning):
    """Rows whose inner problem did not converge: how many, how far, and what to try."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line outside this package that led here, however deep the call."""
    level, frame = 2, sys._getframe(1)
    while (
        frame.f_back is not None
        and frame.f_globals.get("__name__", "").partition(".")[0] == "brenier"
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
