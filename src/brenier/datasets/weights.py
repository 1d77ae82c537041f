"""Weights of rows: what they are given as, checked, and a population that is drawn from in proportion to them."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from brenier.datasets.containers import Frame
from brenier.datasets.numeric import Wording, dense
from brenier.datasets.populations import Population, Rows
from brenier.errors import DataError, DataWarning, warn
from brenier.statistics import effective_rows

# What a user may give as weights, one number for each row, in any container of one column.
WeightsLike: TypeAlias = ArrayLike | Tensor | Frame

ENTRIES = Wording(
    "has entries of type {} that are not numbers",
    "give one number per row, such as frame['weight'], or leave it out",
)


@dataclasses.dataclass(frozen=True)
class WeightSettings:
    """When weights are told of.

    Attributes:
        few_effective_rows: rows of equal weights, below which a map rests on a handful of rows,
        few_effective_share: where it is also less than this share of the rows that have a weight.
    """

    few_effective_rows: float = 50.0
    few_effective_share: float = 0.5


TOLD_OF = WeightSettings()


def read_weights(values: WeightsLike | None, name: str, rows: int) -> Tensor | None:
    """Return the weights of some rows, of largest one: (rows,), float64 on the CPU; None where all are equal.

    Args:
        values: one number per row, in any container; None where there are no weights.
        name: the argument's name, for messages.
        rows: how many rows there are.

    Raises:
        DataError: for what is not one finite number per row, none negative and not all of them zero.
    """
    if values is None:
        return None
    found = dense(values, name, ENTRIES)
    if not isinstance(found, Tensor):
        found = torch.as_tensor(np.asarray(found))
    weights = found.to("cpu", torch.float64)
    if weights.ndim == 2 and weights.shape[1] == 1:
        weights = weights[:, 0]
    if weights.shape != (rows,):
        fault = f"has shape {tuple(weights.shape)} for {rows:,} rows"
        raise DataError(
            f"{name}: {fault}; give one weight per row, in their order",
            argument=name,
        )
    for bad, fault, remedy in (
        (~torch.isfinite(weights), "is NaN or infinite", "drop or mend such rows"),
        (weights < 0, "is negative", "give 0 for rows that do not count"),
    ):
        if bool(bad.any()):
            row = int(bad.nonzero()[0])
            raise DataError(
                f"{name}: the weight of row {row} {fault} ({float(weights[row]):.6g}; {int(bad.sum()):,} of "
                f"{rows:,} are so); {remedy}",
                argument=name,
            )
    if not rows:
        return None
    largest = weights.max()
    if not largest > 0:
        raise DataError(
            f"{name}: is zero in all {rows:,} rows, so that none counts; give some row a positive weight, or leave "
            "the weights out",
            argument=name,
        )
    equal = bool((weights == largest).all())
    return None if equal else weights / largest


def with_weights(side: Population, values: WeightsLike | None, name: str) -> Population:
    """Return a population whose rows count by weights: itself where there are none, or all are equal.

    Rows of weight zero are left out, with a `DataWarning`.

    Args:
        side: the rows.
        values: one number per row, or None.
        name: the argument's name, for messages.

    Raises:
        DataError: for weights that cannot be used, of an endless population, or of fewer than two rows above zero.
    """
    if values is None:
        return side
    if not isinstance(side, Rows):
        raise DataError(
            f"{name}: {side.name} is a function that draws samples and has no weights; let it draw them in "
            "proportion, or give an array with one weight per row",
            argument=name,
        )
    weights = read_weights(values, name, side.size)
    if weights is None:
        return side
    counting = (weights > 0).nonzero().squeeze(-1)
    if len(counting) < 2:
        raise DataError(
            f"{name}: has a positive weight in {len(counting)} of {side.size:,} rows; a map needs at least 2",
            argument=name,
        )
    index = None
    if len(counting) < side.size:
        index = counting
        zero = side.size - len(counting)
        warn(
            f"{name}: {zero:,} of {side.size:,} rows have weight zero and are left out",
            DataWarning,
        )
    own = weights[counting]
    if bool((own == own[0]).all()):
        return dataclasses.replace(side, index=index)
    _warn_of_few(own, name)
    return dataclasses.replace(side, index=index, weights=weights / own.mean())


def _warn_of_few(weights: Tensor, name: str) -> None:
    """Warn where a handful of rows holds most of the weight."""
    worth, rows = effective_rows(len(weights), weights), len(weights)
    few = worth < TOLD_OF.few_effective_rows
    if few and worth < TOLD_OF.few_effective_share * rows:
        warn(
            f"{name}: {rows:,} rows are worth {worth:,.1f} of equal weights, since a few hold most of the weight; map "
            "and distance rest on these. Give more such rows, or cap the weights",
            DataWarning,
        )
