"""Rows of a class that the model does not know: refused, copied as they are, or left out."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brenier.apps.cli.console import note
from brenier.datasets import listed
from brenier.errors import DataError

UNKNOWN = ("error", "keep", "drop")


def known_rows(
    labels: Sequence[Hashable], known: Sequence[Hashable], unknown: str, path: Path
) -> NDArray[np.bool_]:
    """Return which rows are of a class of the model: (n,); say how many are not, and what becomes of them.

    Args:
        labels: of all rows, None where one is missing.
        known: the classes of the model.
        unknown: "error", "keep" or "drop".
        path: the file of the rows.

    Raises:
        DataError: for "error" where there is a row of no such class; for "drop" where there are only such rows.
    """
    classes = set(known)
    is_known = np.array([label in classes for label in labels], dtype=bool)
    if is_known.all():
        return is_known
    odd = tuple(dict.fromkeys(label for label in labels if label not in classes))
    names = listed(tuple("missing" if label is None else label for label in odd))
    count = f"{int((~is_known).sum())} of {len(labels)} rows"
    if unknown == "error":
        raise DataError(
            f"{path}: {names} not among the classes that the map was fitted on ({listed(known)}): {count}; copy such "
            "rows unmoved with --unknown-labels keep, leave them out with --unknown-labels drop, or fit again with "
            "samples of them on both sides"
        )
    if unknown == "drop" and not is_known.any():
        raise DataError(
            f"{path}: no row is of a class that the map was fitted on ({listed(known)}), so nothing would be written; "
            "check the column of labels"
        )
    done = "copied unmoved" if unknown == "keep" else "left out"
    note(f"{path}: {count} {done}, their classes are unknown to the model: {names}")
    return is_known
