"""Errors and warnings by name. Every message says what happened, how much of it, and what to do."""

from __future__ import annotations

import contextlib
import sys
import warnings


class BrenierError(Exception):
    """Base of every error this library raises on purpose."""


class DataError(BrenierError, ValueError):
    """Samples, files or arguments that cannot be used; the message names the argument and the remedy.

    Args:
        message: "argument: fault; remedy".
        argument: the name that the message starts with, where it is that of an argument.
    """

    def __init__(self, message: str, *, argument: str | None = None) -> None:
        super().__init__(message)
        self.argument = argument

    def for_argument(self, name: str) -> DataError:
        """Return the same error for an argument of another name, such as the file that a command read it from.

        The message starts with that name in place of the old one; without an old one, the error itself is returned.
        """
        message = str(self)
        if self.argument is None or not message.startswith(f"{self.argument}:"):
            return self
        fault = message.removeprefix(self.argument)
        renamed = DataError(name + fault, argument=name)
        renamed.__cause__ = self.__cause__
        return renamed.with_traceback(self.__traceback__)


class ConvergenceError(BrenierError, RuntimeError):
    """Inner problems, or a training run, that did not reach their tolerance."""


class NoInverseError(BrenierError, NotImplementedError):
    """A method that learns no inverse map was asked for one."""


class ModelFileError(BrenierError, ValueError):
    """A saved model or run that is missing, damaged, or newer than this library."""


class DataWarning(UserWarning):
    """Samples that can be used, with a consequence the user should know."""


class ConvergenceWarning(UserWarning):
    """Rows whose inner problem did not converge: how many, how far, and what to try."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line outside this package that led here, however deep the call.

    A warning that cannot be shown, standard error being closed, is no reason to lose what was computed.
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    with contextlib.suppress(OSError, ValueError):
        warnings.warn(message, category, stacklevel=level)


def _is_ours(module: str) -> bool:
    """Whether a module of this name is part of this package."""
    return module.partition(".")[0] == "brenier"
