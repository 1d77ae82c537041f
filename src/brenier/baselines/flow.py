"""A fitted characteristic flow in the units of the data: both maps, what lies between, and the potential.

Networks see centred rows in one common unit s of all features. Where h is quadratic, either side has a centre of its
own: with m_t = (1 - t) m_0 + t m_1 between them and D = m_1 - m_0, mass moves by D beside what the network says, and

    u(x, t) = level u~((x - m_t) / s, t) + grad h(D) . x - t h(D)

solves the equation of h where u~ solves that of h(s v) / level. For other costs such a shift would change which map is
optimal, and both centres are the same.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from brenier.baselines.flow_loss import velocity
from brenier.baselines.flow_network import FlowNetwork
from brenier.transport.costs import Cost, Mahalanobis, ScaledCost, SquaredEuclidean


@dataclasses.dataclass(frozen=True)
class FlowUnits:
    """Coordinates of both sides.

    Attributes:
        source, target: (d,), the centre of either side, float64.
        scale: s, units of the data per unit of the coordinates.
    """

    source: Tensor
    target: Tensor
    scale: float

    @classmethod
    def of(cls, x: Tensor, z: Tensor, cost: Cost) -> FlowUnits:
        """Return the coordinates in which the features of rows (n, d), (m, d) have variance one on average."""
        x, z = x.double(), z.double()
        source, target = x.mean(0), z.mean(0)
        if not is_quadratic(cost):
            source = target = (source + target) / 2
        spread = torch.cat([x - source, z - target]).square().mean()
        # Where nothing varies any unit will do: that of what is moved, or one.
        scale = float(spread.sqrt()) or float((target - source).abs().max()) or 1.0
        return cls(source, target, scale)

    @property
    def shift(self) -> Tensor:
        """D, what the network need not learn: (d,)."""
        return self.target - self.source

    def at(self, t: float) -> Tensor:
        """Return the centre m_t: (d,)."""
        return torch.lerp(self.source, self.target, t)

    def cost(self, cost: Cost, dim: int) -> ScaledCost | SquaredEuclidean:
        """Return a cost in the coordinates; the squared distance is the same there."""
        if isinstance(cost, SquaredEuclidean):
            return cost
        return ScaledCost.of(cost, self.scale, dim)

    def to(self, device: torch.device) -> FlowUnits:
        """Return the coordinates on a device."""
        return FlowUnits(self.source.to(device), self.target.to(device), self.scale)


class Flow:
    """A potential u(x, t) between two sides, in the units of the data.

    Args:
        network: u~.
        units: its coordinates.
        cost: h, in the units of the data.
    """

    def __init__(self, network: FlowNetwork, units: FlowUnits, cost: Cost) -> None:
        self.network, self.cost, self.dim = network, cost, network.dim
        self.units = units.to(self.device)
        self.own_cost = units.cost(cost, network.dim)

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return self.network.slope.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the network."""
        return self.network.slope.dtype

    @property
    def level(self) -> float:
        """Cost per unit of cost in the coordinates."""
        if isinstance(self.own_cost, ScaledCost):
            return self.own_cost.level
        return self.units.scale**2

    def forward(self, x: Tensor) -> Tensor:
        """Return F(x): (n, d) -> (n, d), float64."""
        return x + self._moves(x, 0.0)

    def backward(self, z: Tensor) -> Tensor:
        """Return B(z): (n, d) -> (n, d), float64."""
        return z - self._moves(z, 1.0)

    def between(self, x: Tensor, t: float) -> Tensor:
        """Return where source rows x are at time t: (n, d) -> (n, d), float64."""
        return x + t * self._moves(x, 0.0)

    def potential(self, x: Tensor, t: float) -> Tensor:
        """Return u(x, t) up to a constant, in units of the cost: (n, d) -> (n,), float64."""
        rows, time = self.encode(x, t)
        value = self.level * self.network(rows, time).double()
        shift = self.units.shift
        if not bool(shift.any()):
            return value
        moved = self.cost.gradient(shift[None])[0], self.cost.value(shift[None])[0]
        return value + x @ moved[0] - t * moved[1]

    def encode(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """Return rows at time t in the coordinates and precision of the network, and the time of each."""
        rows = ((x - self.units.at(t)) / self.units.scale).to(self.dtype)
        return rows, rows.new_full((len(rows),), t)

    def _moves(self, x: Tensor, t: float) -> Tensor:
        """Return the displacement of the characteristic through x at time t, from time 0 to 1."""
        v = velocity(self.network, self.own_cost, *self.encode(x, t))
        return self.units.shift + self.units.scale * v.double()


def is_quadratic(cost: Cost) -> bool:
    """Say whether a cost is one of those of which a shift of one side shifts the map."""
    return isinstance(cost, SquaredEuclidean | Mahalanobis)
