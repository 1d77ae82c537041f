"""Settings that a user overrides by name, checked against the kinds of their defaults."""

from __future__ import annotations

import dataclasses
import difflib
import numbers
from collections.abc import Mapping, Sequence

from brenier.errors import DataError
from brenier.estimators.budget import Budget
from brenier.estimators.settings import FitSettings

# Whole numbers that say something at zero too: from no rows or steps on, or no time at all.
MAY_BE_ZERO = (
    *("few_rows", "many_rows", "min_steps", "long_steps", "longer_steps"),
    *("max_passes", "max_deferrals", "overfit_penalty", "max_polynomial_degree"),
    *("narrow_width", "lent_rows", "curvature_rows", "penalty_rows"),
)


def known_fields() -> dict[str, object]:
    """Return the default of every field that can be overridden, by name."""
    groups = [
        getattr(FitSettings(), field.name) for field in dataclasses.fields(FitSettings)
    ]
    known = {
        field.name: getattr(group, field.name)
        for group in groups
        for field in dataclasses.fields(group)
    }
    chosen = dataclasses.fields(Budget)
    facts = (
        "rows",
        "dim",
        "steps",
        "seconds",
        "bounded_below",
    )  # of the fit, which are no settings
    return known | {
        field.name: field.default for field in chosen if field.name not in facts
    }


def check_settings(settings: object) -> dict[str, object]:
    """Return the fields that a user overrides.

    Raises:
        DataError: for what is no mapping, names no field, or gives a field a value of another kind.
    """
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise DataError(
            f"settings: must be a mapping from names of fields to values, got {settings!r}"
        )
    known = known_fields()
    for name, value in settings.items():
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=3)
            hint = (
                f"did you mean {', '.join(close)}?"
                if close
                else "see `brenier.FitSettings`"
            )
            raise DataError(f"settings: there is no field {name!r}; {hint}")
        _check_value(name, value, known[name])
    return dict(settings)


def _check_value(name: str, value: object, default: object) -> None:
    """Raise where a value is of another kind than the default of its field."""
    if value is None and default is None:
        return
    if isinstance(default, bool):
        right, expected = isinstance(value, bool), "True or False"
    elif isinstance(default, int) or name == "largest_batch":
        least = _least(name)
        right = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        right = right and value >= least  # type: ignore[operator]
        expected = f"a whole number, {least} or more"
    elif isinstance(default, float) or name == "max_time":
        right = isinstance(value, numbers.Real) and not isinstance(value, bool)
        right, expected = right and value >= 0, "a number, not negative"  # type: ignore[operator]
    elif isinstance(default, tuple):
        right, expected = _is_range(value), "two numbers, the smaller one first"
    else:
        right, expected = callable(value), "a function"
    if not right:
        raise DataError(f"settings: {name} must be {expected}, got {value!r}")


def _least(name: str) -> int:
    """Return the least value of a whole number: most numbers of rows, steps or terms must not be zero."""
    if name == "held_out_one_in":
        return 3  # one row to train on, one to select by, one to certify with
    return 0 if name in MAY_BE_ZERO else 1


def _is_range(value: object) -> bool:
    """Say whether a value is two numbers, the smaller one first."""
    if not isinstance(value, Sequence) or len(value) != 2:
        return False
    numeric = all(isinstance(bound, numbers.Real) for bound in value)
    return numeric and value[0] < value[1]
