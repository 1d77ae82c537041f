"""Where inner problems start."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from brenier.potentials import Potential, rows_at_once

APART = 1e5  # what a squared difference of conditions counts, in the choice of a start


@dataclasses.dataclass(frozen=True)
class Starts:
    """First iterates, of which several rows may share one.

    Attributes:
        points: (k, d), those that differ.
        index: (m,), which of them every row has.
    """

    points: Tensor
    index: Tensor

    @classmethod
    def apart(cls, rows: Tensor) -> Starts:
        """Return starts of which every row (m, d) has its own."""
        return cls(rows, torch.arange(len(rows), device=rows.device))

    def rows(self) -> Tensor:
        """Return the first iterate of every row: (m, d)."""
        return self.points.index_select(0, self.index)

    def then(self, others: Starts) -> Starts:
        """Return those of these rows and of others after them."""
        index = torch.cat([self.index, others.index + len(self.points)])
        return Starts(torch.cat([self.points, others.points]), index)


@torch.no_grad()
def best_start(potential: Potential, z: Tensor, x: Tensor, values: Tensor) -> Starts:
    """Return for every row of z where F is least among z itself and some points.

    Over the points this is the discrete c-transform. It sees every basin that holds a point, where a descent from z
    sees its own. A conditioned point may start at points of its own condition, or of one next to it.

    Args:
        potential: g.
        z: (m, d), target points.
        x: (n, d), candidates.
        values: (n,), g at the candidates.
    """
    d = potential.transport_dim
    y, w = x[:, :d], z[:, :d]
    level, found = values + 0.5 * torch.linalg.vecdot(y, y), []
    for rows in z.split(rows_at_once(z, len(x))):
        heights = torch.addmm(
            level, rows[:, :d], y.mT, alpha=-1
        )  # F(x; z) less |z|^2/2
        if d < potential.dim:
            heights += APART * torch.cdist(rows[:, d:], x[:, d:]).square()
        found.append(heights.min(-1))
    least, index = map(torch.cat, zip(*found, strict=True))
    lower = least < potential(z) - 0.5 * torch.linalg.vecdot(w, w)
    if d < potential.dim:  # such a start has the condition of its row
        return Starts.apart(
            torch.where(lower.unsqueeze(-1), torch.cat([y[index], z[:, d:]], -1), z)
        )
    own = Starts.apart(z[~lower])
    chosen, index[lower] = index[lower].unique(return_inverse=True)
    index[~lower] = own.index + len(chosen)
    return Starts(torch.cat([x[chosen], own.points]), index)
