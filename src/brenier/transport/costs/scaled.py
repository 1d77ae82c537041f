"""A cost in coordinates where features have variance about one, and its values are of order one."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from brenier.transport.costs.base import Cost, CostFacts, KnownCost, pairwise_cost


@dataclasses.dataclass(frozen=True)
class ScaledCost(KnownCost):
    """h(scale v) / level, of a cost h and displacements v in coordinates.

    The change of variables changes neither which map is optimal nor, up to the factor `level`, its cost.

    Attributes:
        cost: h, of displacements in units of the data.
        scale: units of the data per unit of the coordinates.
        level: cost per unit of cost in the coordinates.
    """

    cost: Cost
    scale: float
    level: float

    @classmethod
    def of(cls, cost: Cost, scale: float, dim: int) -> ScaledCost:
        """Return the cost in units of `scale`, with its level for standard normal displacements of `dim` features."""
        generator = torch.Generator().manual_seed(0)
        moves = torch.randn(1024, dim, generator=generator, dtype=torch.float64)
        return cls(cost, scale, cls.level_of(cost, scale, moves))

    @staticmethod
    def level_of(cost: Cost, scale: float, moves: Tensor) -> float:
        """Return the level at which <grad h(v), v> is |v|^2 on average over usual displacements.

        Of a cost with a quadratic part it is that at which this stays what it is.

        Args:
            cost: h.
            scale: units of the data per unit of the coordinates.
            moves: (n, d), usual displacements, in the coordinates.
        """
        squares = float(torch.linalg.vecdot(moves, moves).mean())
        if CostFacts.of(cost).contains_square or not squares > 0:
            return scale**2
        slopes = torch.linalg.vecdot(cost.gradient(scale * moves), scale * moves)
        return float(slopes.mean()) / squares

    @property
    def _facts(self) -> CostFacts:
        return CostFacts.of(self.cost)

    @property
    def degree(self) -> float | None:  # type: ignore[override]
        """That of the cost."""
        return self._facts.degree

    @property
    def kink(self) -> float:  # type: ignore[override]
        """That of the cost, in the coordinates."""
        return self._facts.kink * self.scale / self.level

    @property
    def contains_square(self) -> bool:  # type: ignore[override]
        """That of the cost, whose level leaves the square as it is."""
        return self._facts.contains_square

    @property
    def dominates_square(self) -> bool:  # type: ignore[override]
        """That of the cost."""
        return self._facts.dominates_square

    @property
    def of_distance(self) -> bool:  # type: ignore[override]
        """That of the cost."""
        return self._facts.of_distance

    @property
    def largest_slope(self) -> float:  # type: ignore[override]
        """That of the cost, in the coordinates."""
        return self._facts.largest_slope * self.scale / self.level

    def value(self, v: Tensor) -> Tensor:
        """Return h(scale v) / level: (n, d) -> (n,)."""
        return self.cost.value(self.scale * v) / self.level

    def gradient(self, v: Tensor) -> Tensor:
        """Return the gradient of that in v: (n, d)."""
        return self.cost.gradient(self.scale * v) * (self.scale / self.level)

    def conjugate_gradient(self, s: Tensor) -> Tensor:
        """Return the v of which that is s: (n, d)."""
        return self.cost.conjugate_gradient(s * (self.level / self.scale)) / self.scale

    def pairwise(self, x: Tensor, z: Tensor) -> Tensor:
        """Return the costs of all pairs of rows: (n, d), (m, d) -> (m, n)."""
        return pairwise_cost(self.cost, self.scale * x, self.scale * z) / self.level
