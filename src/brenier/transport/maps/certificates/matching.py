"""Exact matchings between rows of both sides, which bound transport costs from above without trusting the map.

The mean cost of the best matching between n rows of a side each is in expectation none below the transport cost between
the laws (the empirical laws are unbiased, and the cost is a minimum over linear functions of plans). Less the terms of
a potential it is the mean of

    FY(x, z) = c(x, z) - phi(x) - phi^c(z) >= 0,

which is zero where the potential is right, so most of the noise of the rows cancels.
"""

from __future__ import annotations

import dataclasses

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from brenier.statistics import spread_numbers
from brenier.transport.costs import pairwise_cost
from brenier.transport.maps.certificates.settings import CERTIFICATES
from brenier.transport.maps.cost_rows import CostRowMap
from brenier.transport.maps.map import TransportMap


@dataclasses.dataclass(frozen=True)
class MatchedRows:
    """Rows of both sides and their dual terms, in cost units, float64.

    Attributes:
        x, z: (n, d), (m, d), in the units of the data.
        phi, phi_c: (n,), (m,).
        effective: how many rows of equal weights each side is worth, at most; None where weights are equal.
    """

    x: Tensor
    z: Tensor
    phi: Tensor
    phi_c: Tensor
    effective: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        transport: TransportMap,
        x: Tensor,
        z: Tensor,
        effective: tuple[float, float] | None = None,
    ) -> MatchedRows:
        """Return those of a map; target rows without a finite minimum are left out."""
        phi, (phi_c, _) = transport.phi(x), transport.phi_c(z)
        usable = phi_c.isfinite()
        kept = usable.to(z.device)
        return cls(x, z[kept], phi.cpu(), phi_c[usable].cpu(), effective)

    def worth(self) -> tuple[float, float]:
        """Return how many rows of equal weights either side is worth."""
        n, m = len(self.phi), len(self.phi_c)
        if self.effective is None:
            return n, m
        return min(n, self.effective[0]), min(m, self.effective[1])

    def batches(self, most: int) -> int:
        """Return how many rows a part of either side has, `most` at most."""
        return min(most, min(len(self.x), len(self.z)) // CERTIFICATES.batches)


def excesses(transport: TransportMap, terms: MatchedRows, rows: int) -> Tensor:
    """Return the mean of FY over the best matching of every part of so many rows a side: (batches,), in cost units."""
    found = []
    for k in range(CERTIFICATES.batches):
        part = slice(k * rows, (k + 1) * rows)
        pair = terms.x[part], terms.z[part]
        found.append(matched(transport, *pair, terms.phi[part], terms.phi_c[part]))
    return torch.tensor(found, dtype=torch.float64)


def own_excesses(transport: TransportMap, terms: MatchedRows, rows: int) -> Tensor:
    """Return what `excesses` would be if the map were right: (batches,).

    Between source rows and the images of others, whose map is known to be the fitted one; and between inverse images of
    target rows and others; the mean of both.
    """
    moved = transport(terms.x[: CERTIFICATES.batches * rows])
    back, _ = transport.inverse(
        terms.z[: CERTIFICATES.batches * rows], return_solution=True
    )
    images = MatchedRows.of(transport, terms.x[: len(moved)], moved)
    preimages = transport.phi(back).cpu()
    found = []
    for k in range(CERTIFICATES.batches):
        here = slice(k * rows, (k + 1) * rows)
        other = (k + 1) % CERTIFICATES.batches
        there = slice(other * rows, (other + 1) * rows)
        forward = terms.x[here], images.z[there], terms.phi[here], images.phi_c[there]
        backward = back[here], terms.z[there], preimages[here], terms.phi_c[there]
        found.append((matched(transport, *forward) + matched(transport, *backward)) / 2)
    return torch.tensor(found, dtype=torch.float64)


def matched(
    transport: TransportMap, x: Tensor, z: Tensor, phi: Tensor, phi_c: Tensor
) -> float:
    """Return the mean of FY over the best matching of rows x (n, d) and z (n, d) with these dual terms (n,), (n,).

    The same matching is best in c, but with the terms taken off it is found several times as fast: where the potential
    is nearly right they nearly solve the dual of the matching.
    """
    n = min(len(x), len(z))
    costs = costs_between(transport, x[:n], z[:n]).cpu()
    costs = costs - phi[:n] - phi_c[:n].unsqueeze(1)
    first, second = linear_sum_assignment(costs.numpy())
    return float(costs[first, second].mean())


def costs_between(transport: TransportMap, x: Tensor, z: Tensor) -> Tensor:
    """Return c(x, z) of all pairs of rows (n, d) and (m, d), in cost units: (m, n)."""
    row_map, coordinates = transport.rows(), transport.coordinates
    a, b = (coordinates.measured(side) / coordinates.unit for side in (x, z))
    if not isinstance(row_map, CostRowMap):
        return 0.5 * torch.cdist(b, a).square()
    rows = max(1, CERTIFICATES.batch_rows**2 // max(1, x.numel()))
    parts = [pairwise_cost(row_map.ground, a, part) for part in b.split(rows)]
    return row_map.ground.level * torch.cat(parts)


def some_rows(rows: Tensor, generator: torch.Generator, most: int) -> Tensor:
    """Return at most so many of some rows, in random order, so that parts of them are alike."""
    order = torch.randperm(len(rows), generator=generator)
    return rows[order[spread_numbers(len(rows), most)].to(rows.device)]
