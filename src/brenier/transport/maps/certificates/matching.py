"""Exact matchings between rows of both sides, which bound transport costs from above without trusting the map.

The mean cost of the best matching between n rows of a side each is in expectation none below the transport cost between
the laws (the empirical laws are unbiased, and the cost is a minimum over linear functions of plans). Less the terms of
a potential it is the mean of

    FY(x, z) = c(x, z) - phi(x) - phi^c(z) >= 0,

which is zero where the potential is right, so most of the noise of the rows cancels.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

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

    def pairs(self, most: int) -> int:
        """Return how many rows of the one side can be matched with others, `most` at most."""
        return min(most, len(self.x), len(self.z))


class Matching(NamedTuple):
    """The mean of FY over best matchings, in cost units.

    Attributes:
        mean: of the matching of all rows.
        parts: (batches,), of the rows in parts, each matched by itself. The mean over all rows is taken to vary as that
            over the parts does: the coverage of bounds bears that out (`benchmarks/certificates`), no proof does.
    """

    mean: float
    parts: Tensor

    def less(self, other: Matching) -> Matching:
        """Return what is left of it without another, as of as many rows."""
        return Matching(self.mean - other.mean, self.parts - other.parts)

    def halfway(self, other: Matching) -> Matching:
        """Return the mean of both."""
        return Matching((self.mean + other.mean) / 2, (self.parts + other.parts) / 2)

    @property
    def variance(self) -> float:
        """The variance of the mean."""
        return float(self.parts.var()) / len(self.parts)


def matching(terms: MatchedRows, transport: TransportMap, rows: int) -> Matching:
    """Return the best matching of the first rows of either side, so many."""
    pairs = terms.x[:rows], terms.z[:rows]
    return _matching(transport, *pairs, terms.phi[:rows], terms.phi_c[:rows])


def own_matching(terms: MatchedRows, transport: TransportMap, rows: int) -> Matching:
    """Return what `matching` would be if the map were right, from twice as many rows.

    Between source rows and the images of others, whose map is known to be the fitted one; and between inverse images of
    target rows and others; the mean of both.
    """
    here, there = slice(0, rows), slice(rows, 2 * rows)
    images = transport(terms.x[there])
    of_images = transport.phi_c(images)[0].cpu()
    origins, _ = transport.inverse(terms.z[here], return_solution=True)
    of_origins = transport.phi(origins).cpu()
    forward = _matching(transport, terms.x[here], images, terms.phi[here], of_images)
    backward = _matching(
        transport, origins, terms.z[there], of_origins, terms.phi_c[there]
    )
    return forward.halfway(backward)


def _matching(
    transport: TransportMap, x: Tensor, z: Tensor, phi: Tensor, phi_c: Tensor
) -> Matching:
    """Return the best matching of rows x (n, d) and z (n, d) with these dual terms (n,), (n,)."""
    count = min(CERTIFICATES.batches, len(x))
    rows, found = len(x) // count, []
    for k in range(count):
        part = slice(k * rows, (k + 1) * rows)
        found.append(matched(transport, x[part], z[part], phi[part], phi_c[part]))
    parts = torch.tensor(found, dtype=torch.float64)
    return Matching(matched(transport, x, z, phi, phi_c), parts)


def matched(
    transport: TransportMap, x: Tensor, z: Tensor, phi: Tensor, phi_c: Tensor
) -> float:
    """Return the mean of FY over the best matching of rows x (n, d) and z (n, d) with these dual terms (n,), (n,).

    The same matching is best in c, but with the terms taken off it is found several times as fast: where the potential
    is nearly right they nearly solve the dual of the matching.
    """
    costs = costs_between(transport, x, z).cpu()
    costs -= phi
    costs -= phi_c.unsqueeze(1)
    costs = torch.nan_to_num(costs)  # of rows without a finite inner minimum
    first, second = linear_sum_assignment(costs.numpy())
    return float(costs[first, second].mean())


def costs_between(transport: TransportMap, x: Tensor, z: Tensor) -> Tensor:
    """Return c(x, z) of all pairs of rows (n, d) and (m, d), in cost units: (m, n)."""
    row_map, coordinates = transport.rows(), transport.coordinates
    a, b = (coordinates.measured(side) / coordinates.unit for side in (x, z))
    if not isinstance(row_map, CostRowMap):
        return 0.5 * torch.cdist(b, a).square()
    rows = max(1, CERTIFICATES.matched_rows**2 // max(1, x.numel()))
    parts = [pairwise_cost(row_map.ground, a, part) for part in b.split(rows)]
    return row_map.ground.level * torch.cat(parts)


def some_rows(rows: Tensor, generator: torch.Generator, most: int) -> Tensor:
    """Return at most so many of some rows, in random order, so that parts of them are alike."""
    order = torch.randperm(len(rows), generator=generator)
    return rows[order[spread_numbers(len(rows), most)].to(rows.device)]
