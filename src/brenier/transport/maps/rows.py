"""What a map does to a few rows in memory, in given coordinates: the mathematics, without containers and batches.

forward   T(x) = x + grad g(x)              one gradient per row
inverse   T^{-1}(z) = argmin_y |y - z|^2/2 + g(y)    one small minimisation per row
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Protocol

import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import Solution
from brenier.transport.maps.inverse import InverseSolver


class EncodesRows(Protocol):
    """Coordinates of some rows of either side, of all rows alike or of each row by its condition."""

    def encode_source(self, x: Tensor) -> Tensor:
        """Return source rows in the coordinates."""
        ...

    def decode_source(self, u: Tensor) -> Tensor:
        """Return source rows, given in the coordinates."""
        ...

    def encode_target(self, z: Tensor) -> Tensor:
        """Return target rows in the coordinates."""
        ...

    def decode_target(self, w: Tensor) -> Tensor:
        """Return target rows, given in the coordinates."""
        ...

    def source_terms(self, x: Tensor, u: Tensor, value: Tensor) -> Tensor:
        """Return phi(x), given g in the coordinates: (n,)."""
        ...

    def target_terms(self, z: Tensor, w: Tensor, envelope: Tensor) -> Tensor:
        """Return phi^c(z), given env in the coordinates: (n,)."""
        ...

    def cost(self, x: Tensor, z: Tensor) -> Tensor:
        """Return c(x, z) row by row: (n,)."""
        ...

    def log_det(self) -> Tensor:
        """Return log det of the map that is the identity in the coordinates: (), or (n,)."""
        ...


@dataclasses.dataclass(frozen=True)
class RowMap:
    """A map of some rows, float64, in their coordinates.

    Of rows that require a gradient, results carry a graph to them, not to the parameters of the network.

    Attributes:
        network: g, in the coordinates.
        coordinates: of the rows.
        solver: of inverse problems.
    """

    network: Potential
    coordinates: EncodesRows
    solver: InverseSolver

    def forward(self, x: Tensor) -> Tensor:
        """Return T(x): (n, d) -> (n, d)."""
        u = self.coordinates.encode_source(x).to(self._dtype)
        moved = u + self._constant(u).gradient(u)
        return self.coordinates.decode_target(moved.to(x))

    def backward(self, z: Tensor) -> tuple[Tensor, Solution]:
        """Return T^{-1}(z) (n, d), and how the solves went."""
        w = self.coordinates.encode_target(z).to(self._dtype)
        found = self.solver.solve(self._constant(w), w)
        return self.coordinates.decode_source(found.point.to(z)), found.solution

    def between(self, x: Tensor, t: float) -> Tensor:
        """Return (1 - t) x + t T(x): (n, d)."""
        return torch.lerp(x, self.forward(x), t)

    def cost(self, x: Tensor) -> Tensor:
        """Return c(x, T(x)) in cost units: (n,)."""
        return self.coordinates.cost(x, self.forward(x))

    def phi(self, x: Tensor) -> Tensor:
        """Return the terms of the source in cost units: (n,)."""
        u = self.coordinates.encode_source(x)
        value = self._constant(u)(u.to(self._dtype))
        return self.coordinates.source_terms(x, u, value)

    def phi_c(self, z: Tensor) -> tuple[Tensor, Solution]:
        """Return the terms of the target in cost units (m,), and how the inner solves went."""
        w = self.coordinates.encode_target(z)
        found = self.solver.solve(self.network, w.to(self._dtype))
        return self.coordinates.target_terms(z, w, found.value), found.solution

    def _constant(self, rows: Tensor) -> Potential:
        return constant_for(self.network, rows)

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.network.parameters()).dtype


def constant_for(network: Potential, rows: Tensor) -> Potential:
    """Return a potential, or for rows with a graph one like it whose parameters take no gradients."""
    parameters = network.parameters()
    if rows.requires_grad and any(part.requires_grad for part in parameters):
        return copy.deepcopy(network).requires_grad_(False)
    return network
