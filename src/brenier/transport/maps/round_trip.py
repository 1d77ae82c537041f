"""How well a map inverts: rows are moved there and back, and their distance from where they began is measured.

    error(x) = |T^{-1}(T(x)) - x| / sqrt(mean |x - mean x|^2)       in the units of the cost

The denominator is the spread of the source rows, so that errors are comparable between data of any scale.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brenier.datasets import LabelsLike, TableLike
from brenier.solve import Solution


class HasUnit(Protocol):
    """Coordinates that say how long one unit of the cost is in every feature."""

    @property
    def unit(self) -> Tensor:
        """The unit of the cost in every feature: (d,)."""
        ...


class InvertibleMap(Protocol):
    """A map that goes there and back, with or without a condition for every row.

    `TransportMap` takes rows alone; `ConditionalMap` takes rows and their labels or covariates.
    """

    @property
    def coordinates(self) -> HasUnit:
        """The coordinates that the map works in."""
        ...

    @property
    def __call__(self) -> Callable[..., Any]:
        """`transport(x, *condition)` is T(x): (n, d) -> (n, d)."""
        ...

    @property
    def inverse(self) -> Callable[..., Any]:
        """`transport.inverse(z, *condition, return_solution=True)` is T^{-1}(z) (n, d), and how the solves went."""
        ...


def inverse_errors(
    transport: InvertibleMap, x: Tensor, *condition: TableLike | LabelsLike
) -> tuple[Tensor, Solution]:
    """Return |T^{-1}(T(x)) - x| relative to the spread of x, in the units of the cost (n,), and how the solves went.

    Args:
        transport: a map, or one for every condition.
        x: (n, d), source rows.
        condition: their labels or covariates, where the map takes any.
    """
    unit = transport.coordinates.unit
    x = x.detach().to(unit)
    moved = transport(x, *condition)
    back, solution = transport.inverse(moved, *condition, return_solution=True)
    from_mean = torch.linalg.vector_norm((x - x.mean(0)) / unit, dim=-1)
    spread = float(from_mean.square().mean().sqrt())
    if not spread:
        spread = 1.0  # all rows are equal: errors are absolute
    errors = torch.linalg.vector_norm((back - x) / unit, dim=-1)
    return errors / spread, solution


@dataclasses.dataclass(frozen=True)
class RoundTrip:
    """How well a map inverts on some rows.

    Attributes:
        errors: (n,), |T^{-1}(T(x)) - x| relative to the spread of x, in the units of the cost.
        unconverged: rows whose inverse did not converge.
    """

    errors: NDArray[np.float64]
    unconverged: int

    def statement(self) -> str:
        """Return the figures in one sentence."""
        median, high = np.median(self.errors), np.percentile(self.errors, 99)
        return (
            f"Round trip x -> T(x) -> back: median error {median:.2g}, 99th percentile {high:.2g} of the spread of "
            f"the source; {self.unconverged} of {len(self.errors)} rows unconverged."
        )


def round_trip(
    transport: InvertibleMap, x: Tensor, *condition: TableLike | LabelsLike
) -> RoundTrip:
    """Return how well a map inverts on source rows x (n, d), given their labels or covariates where it takes any."""
    errors, solution = inverse_errors(transport, x, *condition)
    return RoundTrip(errors.cpu().numpy(), solution.unconverged)
