"""Covariates of which some tell nothing, or nothing new: the map follows those that do, and a `DataWarning` says so."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.errors import DataError, DataWarning, warn


@dataclasses.dataclass(frozen=True)
class CovariateCheckSettings:
    """When a covariate tells nothing new.

    Attributes:
        min_relative_rest: the share of its spread, in units of its range, that no linear function of the others gives.
        min_common: share of all rows whose covariates lie in the range of both sides, below which a warning says so.
    """

    min_relative_rest: float = 1e-6
    min_common: float = 0.05


class GivenCovariates(NamedTuple):
    """The covariates of a side: the argument's name, (n, p), and the names of the p columns, or None."""

    argument: str
    values: Tensor
    names: Sequence[object] | None

    def column(self, k: int) -> str:
        """Return what a column is called."""
        return f"column {k if self.names is None else repr(self.names[k])}"


def check_covariates(
    sides: Sequence[GivenCovariates],
    settings: CovariateCheckSettings = CovariateCheckSettings(),
) -> None:
    """Warn of covariates that are constant, or follow from others.

    Args:
        sides: one or two, with as many columns.
        settings: when one tells nothing new.

    Raises:
        DataError: where there are as many covariates as rows, or the sides' ranges have no row in common.
    """
    for side in sides:
        n, p = side.values.shape
        if p >= n:
            raise DataError(
                f"{side.argument}: has {p} covariates for {n} rows, which no map can follow; give fewer covariates, "
                "such as the first principal components, or more rows",
                argument=side.argument,
            )
    if len(sides) > 1:
        _check_common(sides[0], sides[1], settings)
    told = [*_constant(sides), *_dependent(sides, settings)]
    for message in told:
        warn(message, DataWarning)


def _check_common(
    x: GivenCovariates, z: GivenCovariates, settings: CovariateCheckSettings
) -> None:
    """Raise where ranges have no row in common, and warn where they have few."""
    if x.names is not None and z.names is not None and list(x.names) != list(z.names):
        raise DataError(
            f"{z.argument}: has columns {list(z.names)[:5]}, {x.argument} {list(x.names)[:5]}; give the same in the "
            "same order",
            argument=z.argument,
        )
    low = torch.maximum(x.values.amin(0), z.values.amin(0))
    high = torch.minimum(x.values.amax(0), z.values.amax(0))
    both = f"{x.argument}, {z.argument}"
    if bool((low > high).any()):
        raise DataError(
            f"{both}: their ranges do not overlap, so there is nothing to transport between; give samples of both "
            "sides at like values, or None for a side to which they do not matter"
        )
    rows = torch.cat([x.values, z.values])
    common = float(((rows >= low) & (rows <= high)).all(-1).double().mean())
    remedy = "give samples of both sides at like values"
    if common == 0:
        raise DataError(
            f"{both}: no row lies in the range of both sides in every covariate, so there is nothing to transport "
            f"between; {remedy}"
        )
    if common < settings.min_common:
        warn(
            f"{both}: only {common:.1%} of the rows lie in the range of both sides in every covariate, and the map "
            f"rests on these; {remedy}",
            DataWarning,
        )


def _constant(sides: Sequence[GivenCovariates]) -> list[str]:
    """Return what to say of columns that are the same in all rows, of one side or of both."""
    fixed = [side.values.amax(0) == side.values.amin(0) for side in sides]
    messages = []
    for k in range(sides[0].values.shape[1]):
        found = [side for side, flags in zip(sides, fixed, strict=True) if flags[k]]
        if not found:
            continue
        names = ", ".join(side.argument for side in found)
        column, value = found[0].column(k), float(found[0].values[0, k])
        same = len({float(side.values[0, k]) for side in found}) == 1
        if len(found) == len(sides) and same:
            effect = "tells nothing, and the map is the same at every value of it"
        else:
            effect = "varies on the other side: the map is learnt at that value only"
        messages.append(
            f"{names}: {column} is {value:g} in all rows and {effect}; leave it out, or give rows at other values"
        )
    return messages


def _dependent(
    sides: Sequence[GivenCovariates], settings: CovariateCheckSettings
) -> list[str]:
    """Return what to say of columns that are linear functions of those before them."""
    rows = torch.cat([side.values for side in sides])
    spread = rows.amax(0) - rows.amin(0)
    scaled = (rows - rows.mean(0)) / torch.where(spread > 0, spread, 1.0)
    names = ", ".join(side.argument for side in sides)
    basis: list[Tensor] = []
    messages = []
    for k, column in enumerate(scaled.unbind(1)):
        size = float(torch.linalg.vector_norm(column))
        if not spread[k] > 0:
            continue
        rest = column
        for _ in range(2):  # again, against what rounding leaves
            for direction in basis:
                rest = rest - (direction @ rest) * direction
        left = float(torch.linalg.vector_norm(rest))
        if left > settings.min_relative_rest * size:
            basis.append(rest / left)
            continue
        messages.append(
            f"{names}: {sides[0].column(k)} is a linear function of the columns before it and tells nothing new; the "
            "map follows the others, so leave it out"
        )
    return messages
