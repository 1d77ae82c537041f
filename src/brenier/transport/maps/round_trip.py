"""How well a map inverts: rows are moved there and back, and their distance from where they began is measured.

    error(x) = |T^{-1}(T(x)) - x| / sqrt(mean |x - mean x|^2)       in the units of the cost

The denominator is the spread of the source rows, so that errors are comparable between data of any scale. A row does
not come back where the error is far beyond what the inverse is solved to: the map of a free network need not be
one-to-one, and then T^{-1}(T(x)) is another point with the same image. The median hides such rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from brenier.datasets import LabelsLike, TableLike
from brenier.potentials import EntropicPotential, MaxAffine, Potential
from brenier.solve import Solution


@dataclasses.dataclass(frozen=True)
class RoundTripSettings:
    """When rows do not come back, and how many are too many.

    Attributes:
        missed_error: of the spread, from which on a row has not come back; what the tolerance of the inverse leaves is
            a hundredth of that in the median.
        max_missed_share: of the held-out rows of a fit that may be so without a warning.
    """

    missed_error: float = 1e-3
    max_missed_share: float = 0.01


ROUND_TRIP = RoundTripSettings()


class MissedRows(NamedTuple):
    """Why rows of a map do not come back, and what to do about it."""

    reason: str
    remedy: str


MISSED = {
    "free": MissedRows(
        "the map is not one-to-one there, and their inverse is another point with the same image",
        "Give more steps, or use potential='convex', whose inverses are unique",
    ),
    "convex": MissedRows(
        "the map is one-to-one, but so flat there that the tolerance of the inverse does not tell points apart",
        "Lower `map_.tol`, or give more steps",
    ),
    "entropic": MissedRows(
        "the map is not one-to-one there, and their inverse is another point with the same image",
        "It is one of a plan between rows: give more rows, or use potential='convex', whose inverses are unique",
    ),
    "plan": MissedRows(
        "the map of a plan sends many rows to nearly one point, and the inverse of that is one of them",
        "Do not rely on its inverse row by row; for a network give more steps",
    ),
}


class MeasuresLengths(Protocol):
    """Coordinates that say how long differences of rows are in the units of the cost."""

    @property
    def unit(self) -> Tensor:
        """The unit of the cost in every feature: (d,)."""
        ...

    def lengths(self, differences: Tensor) -> Tensor:
        """Return the lengths of differences of rows (n, d): (n,)."""
        ...


class InvertibleMap(Protocol):
    """A map that goes there and back, with or without a condition for every row.

    `TransportMap` takes rows alone; `ConditionalMap` takes rows and their labels or covariates.
    """

    @property
    def network(self) -> Potential:
        """The potential."""
        ...

    @property
    def coordinates(self) -> MeasuresLengths:
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
    coordinates = transport.coordinates
    x = x.detach().to(coordinates.unit)
    moved = transport(x, *condition)
    back, solution = transport.inverse(moved, *condition, return_solution=True)
    from_mean = coordinates.lengths(x - x.mean(0))
    spread = float(from_mean.square().mean().sqrt())
    if not spread:
        spread = 1.0  # all rows are equal: errors are absolute
    return coordinates.lengths(back - x) / spread, solution


@dataclasses.dataclass(frozen=True)
class RoundTrip:
    """How well a map inverts on some rows.

    Attributes:
        errors: (n,), |T^{-1}(T(x)) - x| relative to the spread of x, in the units of the cost.
        unconverged: rows whose inverse did not converge.
        kind: of the map, a name in `MISSED`.
        settings: when a row has not come back.
    """

    errors: NDArray[np.float64]
    unconverged: int
    kind: str = "free"
    settings: RoundTripSettings = ROUND_TRIP

    @property
    def missed(self) -> float:
        """The share of the rows that do not come back."""
        return float(np.mean(self.errors > self.settings.missed_error))

    def statement(self) -> str:
        """Return the figures in sentences."""
        median, high = np.median(self.errors), np.percentile(self.errors, 99)
        return (
            f"Round trip x -> T(x) -> back: median error {median:.2g}, 99th percentile {high:.2g} of the spread of "
            f"the source. {self.missed_statement()} {self.unconverged} of {len(self.errors)} rows unconverged."
        )

    def missed_statement(self) -> str:
        """Return in one sentence which share of the rows does not come back, and why."""
        error = f"{self.settings.missed_error:g} of the spread"
        if not self.missed:
            return f"All rows come back within {error}."
        reason = MISSED[self.kind].reason
        share = f"{100 * self.missed:.2g} %"
        return f"{share} of the rows do not come back within {error}: {reason}."


def round_trip(
    transport: InvertibleMap,
    x: Tensor,
    *condition: TableLike | LabelsLike,
    settings: RoundTripSettings = ROUND_TRIP,
) -> RoundTrip:
    """Return how well a map inverts on source rows x (n, d), given their labels or covariates where it takes any."""
    errors, solution = inverse_errors(transport, x, *condition)
    kind, network = "free", transport.network
    if isinstance(network, MaxAffine):
        kind = "plan"
    elif any(isinstance(member, EntropicPotential) for member in network.members()):
        kind = "entropic"
    elif network.strong_convexity() > 0:
        kind = "convex"
    return RoundTrip(errors.cpu().numpy(), solution.unconverged, kind, settings)
