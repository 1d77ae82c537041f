"""The audit of inner minima: whether a search from more starts finds lower ones than the map's own search.

The dual value of a free network is a lower bound only as far as every inner minimum is global: a minimum missed by b
raises it by b. So some rows are solved again, from the minimum found with noise added and from random source rows, and
what that lowers the mean by, raised by its error, is taken off the bound.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from brenier.transport.dual import Conjugate, InitialPoints
from brenier.transport.maps.certificates.pooling import all_known
from brenier.transport.maps.certificates.settings import CERTIFICATES
from brenier.transport.maps.cost_rows import CostRowMap
from brenier.transport.maps.rows import RowMap


@dataclasses.dataclass(frozen=True)
class Audit:
    """How well the inner minima of some target rows hold against a harder search.

    Attributes:
        rows: how many were searched again.
        starts: how often each.
        improved: rows of which a lower minimum was found.
        bias: what is taken off the dual value for minima missed, in the units of `Certificate.gap`: the mean
            improvement, raised by two of its standard errors.
        largest: the largest improvement of a row.
        unconverged: rows whose own search had not converged.
        needless: whether psi is convex by construction, so that there is nothing to search for.
    """

    rows: int
    starts: int
    improved: int
    bias: float
    largest: float
    unconverged: int
    needless: bool

    def statement(self) -> str:
        """Return in a sentence what was searched and found."""
        if self.needless:
            return "Every inner minimum is the only one, since psi is convex by construction."
        if not self.rows:
            return "No inner minimum was searched for again."
        found = (
            f"{self.rows} target rows were solved again from {self.starts} more starts each: "
            f"{self.improved} had a lower minimum"
        )
        if self.improved:
            found += f", and {self.bias:.2g} is taken off the bound for that"
        return f"{found}."


@torch.no_grad()
def audited(
    row_map: RowMap | CostRowMap,
    u: Tensor,
    z: Tensor,
    generator: torch.Generator,
    factor: float,
) -> Audit:
    """Return the audit of target rows z (m, d), float64, with starts at some source rows.

    Args:
        row_map: the map of these rows.
        u: (n, ...), source rows in their coordinates.
        z: in the units of the data, on the map's device.
        generator: the only source of randomness.
        factor: from cost units to those of `Audit.bias`.
    """
    solver, network = row_map.solver, row_map.network
    dtype = next(network.parameters()).dtype
    w = row_map.coordinates.encode_target(z).to(dtype)
    own = solver.solve(network, w)
    unconverged = int(own.solution.unconverged)
    if solver.starts is not None and solver.starts.one_minimum:
        return Audit(len(z), 0, 0, 0.0, 0.0, unconverged, needless=True)
    d = network.transport_dim
    starts = _starts(own, w, u.to(w), d, generator)
    margin = CERTIFICATES.audit_margin * own.value.abs().clamp(min=1.0)
    lowest = own.value.clone()
    for start in starts:
        tol = torch.full_like(own.value, solver.tol)
        other = solver.solve_from(network, w, InitialPoints.per_row(start), tol).value
        lowest = torch.fmin(lowest, other)
    better = (own.value - lowest).double() * (lowest < own.value - margin)
    better = torch.nan_to_num(better)  # rows without a finite minimum are unconverged
    if isinstance(row_map, CostRowMap):
        better = better * row_map.ground.level
    better = factor * better
    error = float(better.std()) / len(better) ** 0.5 if len(better) > 1 else 0.0
    bias = float(better.mean()) + CERTIFICATES.audit_errors * error
    return Audit(
        rows=len(z),
        starts=len(starts),
        improved=int((better > 0).sum()),
        bias=bias,
        largest=float(better.max()),
        unconverged=unconverged,
        needless=False,
    )


def pooled_audit(
    parts: Sequence[Audit | None], shares: Sequence[float]
) -> Audit | None:
    """Return the audit of several maps together, each counting by its share; None where there is none of one."""
    known = all_known(parts)
    if known is None:
        return None
    return Audit(
        rows=sum(part.rows for part in known),
        starts=max(part.starts for part in known),
        improved=sum(part.improved for part in known),
        bias=sum(share * part.bias for share, part in zip(shares, known, strict=True)),
        largest=max(part.largest for part in known),
        unconverged=sum(part.unconverged for part in known),
        needless=all(part.needless for part in known),
    )


def _starts(
    own: Conjugate, w: Tensor, u: Tensor, d: int, generator: torch.Generator
) -> list[Tensor]:
    """Return first iterates (m, ...), a list of them: minima with noise, and source rows u (n, ...) at random."""
    point = torch.where(own.point.isfinite(), own.point, w).detach()
    starts = []
    for size in CERTIFICATES.audit_noise:
        noise = torch.randn(len(w), d, generator=generator, dtype=torch.float64)
        start = point.clone()
        start[:, :d] += size * noise.to(w)
        starts.append(start)
    for _ in range(CERTIFICATES.audit_source_rows if len(u) else 0):
        chosen = torch.randint(len(u), (len(w),), generator=generator)
        # What follows the first d coordinates is the row's own condition.
        starts.append(torch.cat([u[chosen.to(u.device)][:, :d], w[:, d:]], -1))
    return starts
