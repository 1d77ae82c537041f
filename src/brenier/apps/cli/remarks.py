"""What a user should know of tables before they are used: how they were read, which columns are features, which odd."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from brenier.apps.cli.console import note
from brenier.apps.cli.inputs import INPUT
from brenier.datasets import Samples, is_number
from brenier.errors import DataWarning, warn


@dataclasses.dataclass(frozen=True)
class RemarkSettings:
    """When a column of numbers looks as if it were no measurement.

    Attributes:
        min_rows: rows from which whole numbers that are all different look like numbers of rows.
        names: of identifiers, in lower case, where the numbers are all different.
    """

    min_rows: int = 8
    names: tuple[str, ...] = (
        *(
            "id",
            "ids",
            "index",
            "idx",
            "row",
            "rows",
            "event",
            "no",
            "nr",
            "num",
            "key",
        ),
        *("number", "record", "case", "sample", "subject", "patient", "serial", "uid"),
    )


REMARKS = RemarkSettings()
NAMED = ("the labels", "the weights")  # columns that the user named


def tell_tables(files: Sequence[Samples], quiet: bool) -> None:
    """Print how tables were read, and which columns are features and which not; warn of odd ones.

    Args:
        files: what was read.
        quiet: whether to leave out what hides nothing.
    """
    layouts = {samples.path: samples.layout for samples in files}
    for path, layout in layouts.items():
        remarks = [] if layout is None else layout.remarks()
        if remarks:
            note(f"{path}: {', '.join(remarks)}")
    tables = [each for each in files if each.columns is not None or each.left_out]
    told: dict[str, list[str]] = {}
    for samples in tables:
        reasons = [reason for _, reason in samples.left_out]
        if not quiet or any(reason not in NAMED for reason in reasons):
            told.setdefault(_choice(samples), []).append(str(samples.path))
    for choice, paths in told.items():
        note(f"{', '.join(dict.fromkeys(paths))}: {choice}")
    unnamed = [samples for samples in tables if not samples.named]
    for fault, paths in _odd_columns(unnamed).items():
        warn(f"{', '.join(dict.fromkeys(paths))}: {fault}", DataWarning)


def _choice(samples: Samples) -> str:
    """Return which columns are features and which not, in words."""
    names = samples.columns or tuple(map(str, range(samples.values.shape[1])))
    words = f"features {_some(names)}"
    if samples.left_out:
        left_out = [f"{name} ({reason})" for name, reason in samples.left_out]
        words += f"; left out: {_some(left_out)}"
    return words


def _some(words: Sequence[str]) -> str:
    """Return the first few of very many words."""
    most = INPUT.max_listed
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def _odd_columns(tables: Sequence[Samples]) -> dict[str, list[str]]:
    """Return what is odd about features, and in which files."""
    found: dict[str, list[str]] = {}
    for samples in tables:
        names = samples.columns or ()
        for place, name in enumerate(names):
            what = oddity(name, samples.values[:, place])
            if what:
                remedy = how_to_leave_out(name, names, "flag" in what)
                fault = f"column {name!r} {what}; it is moved like any other. {remedy}"
                found.setdefault(fault, []).append(str(samples.path))
        if samples.layout is not None and _look_like_a_row(names):
            fault = (
                f"the first line is taken for names, although {names[0]!r} is a number; if it is a row, put a line of "
                "names before it"
            )
            found.setdefault(fault, []).append(str(samples.path))
    return found


def _look_like_a_row(names: Sequence[str]) -> bool:
    """Say whether names of features are numbers, other than 0, 1, 2, ..."""
    counted = list(names) == [str(place) for place in range(len(names))]
    return bool(names) and not counted and all(map(is_number, names))


def oddity(name: str, values: NDArray[np.generic]) -> str:
    """Return what is odd about a feature (n,), or nothing where it looks like a measurement."""
    if not np.isfinite(values).all():
        return ""
    different = np.unique(values)
    if len(different) == 2 and np.isin(different, (0, 1)).all():
        return "holds only 0 and 1, like a flag"
    if len(different) < max(len(values), REMARKS.min_rows):
        return ""
    if not (different == np.round(different)).all():
        return ""
    steps = np.diff(different)
    ordered = (np.diff(values) > 0).all() or (np.diff(values) < 0).all()
    if (steps == steps[0]).all() or ordered:
        return "holds whole numbers that are all different and in order, like numbers of rows"
    words = name.lower().replace("-", "_").replace(" ", "_").split("_")
    if any(word in REMARKS.names for word in words) or name.endswith(("Id", "ID")):
        return "holds whole numbers that are all different, like identifiers"
    return ""


def how_to_leave_out(name: str, names: Sequence[str], flag: bool) -> str:
    """Return how to leave a column out of those of some names; a flag may be a label instead."""
    others = [f'"{each}"' if "," in each else each for each in names if each != name]
    listed = ",".join(others)
    shown = listed if others and len(others) <= INPUT.max_listed else "..."
    words = f"If it is no measurement, leave it out: --columns {shown!r}"
    if " " not in shown and '"' not in shown:
        words = words.replace("'", "")
    return f"{words}; or map each group on its own: --labels {name}" if flag else words
