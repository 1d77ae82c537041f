"""Checks of the numbers of a problem of control: every refusal names the field, what is wrong and what to give."""

from __future__ import annotations

import math
import numbers

import torch

from brenier.errors import DataError


def require_number(name: str, value: float, what: str, *, zero: bool = False) -> None:
    """Refuse what is not a finite number above zero, or not below it where zero is allowed.

    Args:
        name: of the field.
        value: its value.
        what: the field is, for people.
        zero: whether it may be zero.

    Raises:
        DataError: where it is none.
    """
    known = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if known and math.isfinite(value) and (value > 0 or (zero and value == 0)):
        return
    wanted = "a finite number not below zero" if zero else "a positive number"
    raise DataError(
        f"{name}: must be {wanted}, got {value!r}; it is {what}", argument=name
    )


def require_count(name: str, value: int, what: str, *, zero: bool = False) -> None:
    """Refuse what is not a whole number above zero, or not below it where zero is allowed.

    Raises:
        DataError: where it is none.
    """
    if type(value) is not int or value < (0 if zero else 1):
        wanted = "not below zero" if zero else "above zero"
        raise DataError(
            f"{name}: must be a whole number {wanted}, got {value!r}; give the number of {what}",
            argument=name,
        )


def require_device(device: str | torch.device | None) -> torch.device:
    """Return a device that is there, the usual one for None.

    Raises:
        DataError: where it cannot be used.
    """
    try:
        return torch.zeros(1, dtype=torch.float64, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:
        fault = str(error).splitlines()[0]
        raise DataError(
            f"device: {device!r} cannot be used here ({fault})", argument="device"
        ) from error
