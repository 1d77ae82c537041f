"""Checks of the fields that methods add to their settings."""

from __future__ import annotations

import numbers
from collections.abc import Sequence

from brenier.baselines.learned_settings import wrong_setting


def require(name: str, value: object, rule: str, *, met: bool) -> None:
    """Raise a DataError that names a field of the settings, unless its rule is met."""
    if not met:
        raise wrong_setting(name, rule, value)


def require_whole(name: str, value: object, least: int = 1) -> None:
    """Raise a DataError for a field that is no whole number of this size at least."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    met = whole and value >= least  # type: ignore[operator]
    require(name, value, f"must be a whole number of at least {least}", met=met)


def require_between(name: str, value: object, low: float, high: float) -> None:
    """Raise a DataError for a field that is no number in [low, high]."""
    met = isinstance(value, int | float) and low <= value <= high
    require(name, value, f"must lie between {low:g} and {high:g}", met=met)


def require_real(name: str, value: object, *, above_zero: bool) -> None:
    """Raise a DataError for a field that is no number above zero, or at least zero."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    met = real and (value > 0 or (value == 0 and not above_zero))  # type: ignore[operator]
    rule = "must be positive" if above_zero else "must not be negative"
    require(name, value, rule, met=met)


def require_word(name: str, value: object, known: Sequence[str]) -> None:
    """Raise a DataError for a field that is none of the known words."""
    require(name, value, f"must be one of {tuple(known)}", met=value in known)


def require_widths(name: str, value: object) -> None:
    """Raise a DataError for a field that does not say units of layers."""
    found = list(value) if isinstance(value, tuple | list) else []
    for width in found:
        require_whole(name, width)
    require(name, value, "must be a tuple of units, one per layer", met=bool(found))
