"""Where inner problems start: at given points, or at the best of some candidates."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from brenier.potentials import Potential, rows_at_once
from brenier.solve import positions
from brenier.transport.costs import Cost, CostFacts, pairwise_cost


@dataclasses.dataclass(frozen=True)
class StartSettings:
    """Where inner problems may start.

    Attributes:
        max_candidates: source points at which an inner problem may start; more cost more than they save.
        shortlist: of them, those whose costs are found for each target point where the cost is not a function of the
            distance, and dear for all: the best under the squared distance, which the level of the cost is that of.
        condition_penalty: what a squared difference of conditions counts in the choice of a start, where points carry
            conditions: so much that a start of the same condition is taken wherever there is one.
    """

    max_candidates: int = 1024
    shortlist: int = 16
    condition_penalty: float = 1e5
    bearable_penalty: float = 1.0


@dataclasses.dataclass(frozen=True)
class InitialPoints:
    """First iterates, of which several rows may share one.

    Attributes:
        points: (k, d), those that differ.
        index: (m,), which of them every row has.
    """

    points: Tensor
    index: Tensor

    @classmethod
    def per_row(cls, rows: Tensor) -> InitialPoints:
        """Return initial points of which every row (m, d) has its own."""
        return cls(rows, torch.arange(len(rows), device=rows.device))

    def rows(self) -> Tensor:
        """Return the first iterate of every row: (m, d)."""
        return self.points.index_select(0, self.index)

    def concatenate(self, others: InitialPoints) -> InitialPoints:
        """Return those of these rows and of others after them."""
        index = torch.cat([self.index, others.index + len(self.points)])
        return InitialPoints(torch.cat([self.points, others.points]), index)


@torch.no_grad()
def best_initial_points(
    potential: Potential,
    z: Tensor,
    x: Tensor,
    values: Tensor,
    condition_penalty: float = StartSettings.condition_penalty,
    cost: Cost | None = None,
    shortlist: int = StartSettings.shortlist,
) -> InitialPoints:
    """Return for every row of z where F is least among z itself and some points.

    Over the points this is the discrete c-transform. It sees every basin that holds a point, where a descent from z
    sees its own. A conditioned point may start at points of its own condition, or of one next to it.

    Args:
        potential: g.
        z: (m, d), target points.
        x: (n, d), candidates.
        values: (n,), g at the candidates.
        condition_penalty: see `StartSettings`.
        cost: another one than the squared distance, which knows no conditions.
        shortlist: see `StartSettings`.
    """
    if not len(x):
        return InitialPoints.per_row(z)
    if cost is not None:
        return _best_by_cost(potential, z, x, values, cost, shortlist)
    d = potential.transport_dim
    conditioned = d < potential.dim
    y, w = x[:, :d], z[:, :d]
    level = values + 0.5 * torch.linalg.vecdot(y, y)
    least, index = [], []
    for rows in z.split(rows_at_once(z, len(x))):
        heights = torch.addmm(
            level, rows[:, :d], y.mT, alpha=-1
        )  # F(x; z) less |z|^2/2
        if conditioned:
            distances = torch.cdist(rows[:, d:], x[:, d:])
            heights += condition_penalty * distances.square()
        lowest = heights.min(-1)
        least.append(lowest.values)
        index.append(lowest.indices)
    at_z = potential(z) - 0.5 * torch.linalg.vecdot(w, w)
    lower = torch.cat(least) < at_z
    nearest = torch.cat(index)
    if conditioned:  # such a start has the condition of its row
        moved = torch.cat([y[nearest], z[:, d:]], -1)
        return InitialPoints.per_row(torch.where(lower.unsqueeze(-1), moved, z))
    return _shared_points(x, z, nearest, lower)


def _best_by_cost(
    potential: Potential,
    z: Tensor,
    x: Tensor,
    values: Tensor,
    cost: Cost,
    shortlist: int,
) -> InitialPoints:
    """Return the best initial points under another cost than the squared distance."""
    least, index = [], []
    for rows in z.split(rows_at_once(z, len(x))):
        if CostFacts.of(cost).of_distance:
            lowest = (values + pairwise_cost(cost, x, rows)).min(-1)
            least.append(lowest.values)
            index.append(lowest.indices)
            continue
        heights = values + 0.5 * torch.cdist(rows, x).square()
        most = min(shortlist, len(x))
        chosen = heights.topk(most, largest=False, sorted=False).indices
        moves = rows.unsqueeze(1) - x[chosen]
        exact = values[chosen] + cost.value(moves.flatten(0, 1)).view(len(rows), most)
        lowest = exact.min(-1)
        least.append(lowest.values)
        index.append(chosen.gather(1, lowest.indices.unsqueeze(1)).squeeze(1))
    lower = torch.cat(least) < potential(z)  # h(0) = 0
    return _shared_points(x, z, torch.cat(index), lower)


def _shared_points(
    x: Tensor, z: Tensor, nearest: Tensor, lower: Tensor
) -> InitialPoints:
    """Return as initial points x[nearest] where that is lower, each point once, and z elsewhere."""
    uses = nearest.new_zeros(len(x)).index_add_(0, nearest, lower.to(nearest))
    chosen, own = uses > 0, ~lower
    shared, alone = torch.stack([chosen.sum(), own.sum()]).tolist()  # one question
    points = x[positions(chosen, shared)], z[positions(own, alone)]
    places = chosen.cumsum(0)[nearest], shared + own.cumsum(0)
    return InitialPoints(torch.cat(points), torch.where(lower, *places) - 1)
