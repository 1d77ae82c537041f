"""Rows of either side with the numbers of their classes, where classes of both sides need not be the same ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from brenier.datasets import LabelsLike, Population, Rows
from brenier.errors import DataError
from brenier.estimators import GivenConditions, class_plan


@dataclasses.dataclass(frozen=True)
class LabelSettings:
    """How many rows of a class are needed.

    Attributes:
        least_rows: of a class: of one row there is no covariance.
    """

    least_rows: int = 2


LABELS = LabelSettings()


def rows_with_codes(
    pair: tuple[Population, Population],
    labels: LabelsLike | None,
    side: int,
    most: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, tuple[object, ...]]:
    """Return rows of one side, the number of every row's class, and the classes.

    Args:
        pair: source and target, tables.
        labels: of the rows of that side.
        side: 0 for the source, 1 for the target.
        most: rows at most; every class gets its share, and two at least.
        generator: draws them.

    Returns:
        rows (n, d), float64; codes (n,); the classes.

    Raises:
        DataError: for labels that are missing or cannot be used, and classes of one row.
    """
    name = ("source_labels", "target_labels")[side]
    if labels is None:
        raise DataError(
            f"{name}: is missing; this method looks at classes, so give one label per row",
            argument=name,
        )
    first, second = (labels, None) if side == 0 else (None, labels)
    plan = class_plan(*pair, GivenConditions(first, second, None, None))
    own = [both[side] for both in plan.pairs]
    for label, rows in zip(plan.labels, own, strict=True):
        if rows.size < LABELS.least_rows:
            raise DataError(
                f"{name}: class {label!r} has one row, whose law cannot be told; leave that class out, or give more "
                "rows",
                argument=name,
            )
    return *_shared_out(own, most, generator), plan.labels


def _shared_out(
    classes: Sequence[Rows], most: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return rows of all classes, each with its share of so many, and their numbers."""
    share = min(1.0, most / sum(rows.size for rows in classes))
    parts = [
        rows.sample_distinct(
            max(LABELS.least_rows, int(share * rows.size)), generator
        ).double()
        for rows in classes
    ]
    counts = torch.tensor([len(part) for part in parts])
    codes = torch.repeat_interleave(torch.arange(len(parts)), counts)
    return torch.cat(parts), codes
