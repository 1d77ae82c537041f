"""What a map does to a few rows in memory, for any cost c(x, z) = h(z - x), in plain coordinates.

forward   T(x) = x + grad h*(grad g(x))             one gradient per row
inverse   T^{-1}(z) = argmin_y h(z - y) + g(y)      one small minimisation per row

Displacements are found in the coordinates and added to the rows, so that what is not moved stays, to the bit.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import Solution
from brenier.transport.coordinates import Coordinates
from brenier.transport.costs import CostFacts, ScaledCost
from brenier.transport.maps.inverse import InverseSolver
from brenier.transport.maps.rows import constant_for


@dataclasses.dataclass(frozen=True)
class CostRowMap:
    """A map of some rows, float64, as `RowMap` is one for the squared distance; costs are in the units of h.

    Attributes:
        network: g, in the coordinates.
        coordinates: plain ones, of both sides alike.
        ground: h in the coordinates.
        solver: of inverse problems.
        reach: least and greatest displacement of every feature, in the coordinates, or None (see `Ground`).
    """

    network: Potential
    coordinates: Coordinates
    ground: ScaledCost
    solver: InverseSolver
    reach: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return T(x): (n, d) -> (n, d)."""
        return x + self._displacements(x)

    def backward(self, z: Tensor) -> tuple[Tensor, Solution]:
        """Return T^{-1}(z) (n, d), and how the solves went."""
        w = self.coordinates.encode_target(z).to(self._dtype)
        found = self.solver.solve(self._constant(w), w)
        moved = (w - found.point).to(z) * self.coordinates.unit
        return z - moved, found.solution

    def between(self, x: Tensor, t: float) -> Tensor:
        """Return x + t (T(x) - x): (n, d). Straight lines at constant speed are least in cost, for every convex h."""
        return x + t * self._displacements(x)

    def cost(self, x: Tensor) -> Tensor:
        """Return c(x, T(x)): (n,)."""
        return self.ground.level * self.ground.value(
            self._displacements(x) / self.coordinates.unit
        )

    def phi(self, x: Tensor) -> Tensor:
        """Return the terms of the source, -g(x): (n,)."""
        u = self.coordinates.encode_source(x).to(self._dtype)
        return -self.ground.level * self._constant(u)(u).to(x)

    def phi_c(self, z: Tensor) -> tuple[Tensor, Solution]:
        """Return the terms of the target, env(z) (m,), and how the inner solves went."""
        w = self.coordinates.encode_target(z).to(self._dtype)
        found = self.solver.solve(self.network, w)
        return self.ground.level * found.value.to(z), found.solution

    def steep(self, x: Tensor) -> Tensor:
        """Say of which rows grad g is no gradient of h, so that they are moved by less than they should be: (n,)."""
        u = self.coordinates.encode_source(x).to(self._dtype)
        slopes = self._constant(u).gradient(u).detach()
        return (slopes.abs() >= CostFacts.of(self.ground).largest_slope).any(-1)

    def _displacements(self, x: Tensor) -> Tensor:
        """Return T(x) - x: (n, d)."""
        u = self.coordinates.encode_source(x).to(self._dtype)
        slopes = self._constant(u).gradient(u)
        # In double precision: displacements far out in the domain of h* magnify rounding.
        return self.moves(slopes.to(x)) * self.coordinates.unit

    def moves(self, slopes: Tensor) -> Tensor:
        """Return the displacements, in the coordinates, of rows where g has these slopes: (n, d) -> (n, d)."""
        moves = self.ground.conjugate_gradient(slopes)
        return moves if self.reach is None else moves.clamp(*self.reach)

    def _constant(self, rows: Tensor) -> Potential:
        return constant_for(self.network, rows)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.network.parameters()).dtype
