"""The cost and the mass of a map, where these are other than the squared distance and balanced mass."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.errors import DataError
from brenier.solve import Solution
from brenier.statistics import RowWeights, Weighted
from brenier.transport.coordinates import Coordinates
from brenier.transport.costs import Cost, CostFacts, ScaledCost
from brenier.transport.dual import (
    UnbalancedMass,
    share_of_mass,
    shares_of,
)
from brenier.transport.maps.cost_distance import CostDistance, MeasuredCost


@dataclasses.dataclass(frozen=True)
class Ground:
    """A cost, and what becomes of mass.

    Attributes:
        cost: h, of displacements in the units of the cost.
        mass: unbalanced mass, in the units of h, or None for balanced.
        constant: what is added to g and to env, in the units of h, so that with unbalanced mass both sides agree.
        reach: (d,) least and (d,) greatest displacement of every feature, in the units of the cost, where that has a
            largest slope: a steeper one of g would ask for any length. None for no bounds.
        level: cost, in the units of h, per unit of cost in the coordinates; by default the square of their scale.
    """

    cost: Cost
    mass: UnbalancedMass | None = None
    constant: float = 0.0
    level: float | None = None
    reach: tuple[tuple[float, ...], tuple[float, ...]] | None = None

    def scaled(self, coordinates: Coordinates) -> ScaledCost:
        """Return the cost in plain coordinates."""
        scale = float(coordinates.scale)
        return ScaledCost(self.cost, scale, self.level or scale**2)

    def reach_in(self, coordinates: Coordinates) -> tuple[Tensor, Tensor] | None:
        """Return the least and the greatest displacements in the coordinates: (d,), (d,)."""
        if self.reach is None:
            return None
        least, greatest = (
            torch.tensor(side).to(coordinates.unit) / coordinates.scale
            for side in self.reach
        )
        return least, greatest

    def with_constant_of(self, phi: Weighted, phi_c: Weighted) -> Ground:
        """Return the ground with the best constant for terms phi(x) (n,) and phi^c(z) (m,)."""
        if self.mass is None:
            return self
        shares = shares_of(phi), shares_of(phi_c)
        constant = self.mass.constant(-phi.rows, phi_c.rows, shares)
        return dataclasses.replace(self, constant=constant)

    def growth(self, phi: Tensor) -> Tensor:
        """Return how much of each row's mass is transported, of phi(x) = -g(x) in the units of h: (n,)."""
        if self.mass is None:
            return torch.ones_like(phi)
        return share_of_mass(self.constant - phi, self.mass.source)

    def explained(self, phi_c: Tensor) -> Tensor:
        """Return how much of each row's mass is explained, of phi^c(z) = env(z) in the units of h: (m,)."""
        if self.mass is None:
            return torch.ones_like(phi_c)
        return share_of_mass(-phi_c - self.constant, self.mass.target)

    def terms(self, phi: Tensor, phi_c: Tensor) -> tuple[Tensor, Tensor]:
        """Return terms of minus J, of phi(x) and phi^c(z): these themselves where mass is balanced: (n,), (m,)."""
        if self.mass is None:
            return phi, phi_c
        source, target = self.mass.terms(-phi, phi_c, self.constant)
        return -source, -target


def check_plain(ground: Ground, coordinates: Coordinates) -> Ground:
    """Return the cost and mass of a map, whose coordinates leave its displacements what they are but for a factor.

    Raises:
        DataError: where they do not.
    """
    eye = torch.eye(coordinates.dim).to(coordinates.basis)
    same = torch.equal(coordinates.basis, eye) and torch.equal(
        coordinates.source_mean, coordinates.target_mean
    )
    if not same:
        raise DataError(
            "coordinates: change a cost that is not the squared distance; give `plain_coordinates`, or none"
        )
    return ground


class MapTerms(NamedTuple):
    """What a map says of some rows of either side.

    Attributes:
        phi: (n,), phi(x) = -g(x), in the units of the cost.
        phi_c: (m,), phi^c(z) = env(z).
        cost: (n,), c(x, T(x)).
        solution: of the inner problems of the target.
        weights: (n,), (m,), of the rows, None where all of a side count alike.
    """

    phi: Tensor
    phi_c: Tensor
    cost: Tensor
    solution: Solution
    weights: RowWeights = (None, None)


def measured_cost(
    ground: Ground, found: MapTerms, certified: bool, held_out: bool
) -> CostDistance:
    """Return the transport cost that a map was measured at.

    Args:
        ground: the cost and the mass.
        found: what the map says of the rows.
        certified: whether all inner minima are certainly global.
        held_out: whether training never saw these rows.
    """
    shares = ground.growth(found.phi), ground.explained(found.phi_c)
    return MeasuredCost(
        # At the constant of the ground: that of these rows would be chosen to make J small.
        terms=ground.terms(found.phi, found.phi_c),
        cost=found.cost,
        shares=shares,
        weights=found.weights,
        balanced=ground.mass is None,
        certified=certified,
        unconverged=found.solution.unconverged,
        unit="units of the cost",
    ).distance(CostFacts.of(ground.cost).degree, held_out)
