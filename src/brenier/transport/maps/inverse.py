"""How inverse problems are solved, and where they start.

Where psi is not convex F may have several minima, one in each basin, and a descent ends in that of the basin where it
begins. So it begins at the best of z and of source rows that the map has kept, which see every basin that a row lies
in. Where a map has none, the rows of a batch serve each other: first as they are, for in these coordinates target rows
are their own preimages under the affine map, then by the minima that were found for them.
"""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import Method, detached, implicit
from brenier.transport.dual import (
    Conjugate,
    InitialPoints,
    StartSettings,
    best_initial_points,
    conjugate,
    lowest_candidates,
)


@dataclasses.dataclass(frozen=True)
class Starts:
    """Where the inverse problems of one call may start; what it needs to know of the potential is found once.

    Attributes:
        potential: g.
        rows: (k, d), source rows in the coordinates, or None.
        settings: how many rows of a batch serve the others, and what a difference of conditions counts.
    """

    potential: Potential
    rows: Tensor | None = None
    settings: StartSettings = dataclasses.field(default_factory=StartSettings)

    @functools.cached_property
    def one_minimum(self) -> bool:
        """Whether psi is certainly convex, so that any start will do."""
        return self.potential.strong_convexity() > 0

    @functools.cached_property
    def values(self) -> Tensor:
        """The values of g at the rows: (k,)."""
        with torch.no_grad():
            none = next(self.potential.parameters()).new_empty(0)
            return none if self.rows is None else self.potential(self.rows)

    def of_rows(self, w: Tensor) -> InitialPoints:
        """Return for points w (n, d) the best of themselves and of the rows; without rows, and of each other."""
        if self.one_minimum:
            return InitialPoints.per_row(w)
        if self.rows is not None:
            return self._best(w, self.rows, self.values)
        some = w[self._spread(len(w), w.device)]
        with torch.no_grad():
            return self._best(w, some, self.potential(some))

    @torch.no_grad()
    def lower_elsewhere(self, w: Tensor, found: Conjugate) -> tuple[Tensor, Tensor]:
        """Return which points w (n, d) have a lower F at the minimum found for another, and that minimum.

        Args:
            w: target points.
            found: what was found for them.

        Returns:
            The numbers of those points (k,), and the minima where these are to start: (k, d).
        """
        d = self.potential.transport_dim
        some = self._spread(len(w), w.device)
        usable = torch.isfinite(found.solution.residual[some])
        y = found.solution.point[some[usable]]
        if not len(y):
            return some[:0], y
        penalty = self.settings.condition_penalty
        least, nearest = lowest_candidates(w, y, self.potential(y), d, penalty)
        constant = 0.5 * torch.linalg.vecdot(w[:, :d], w[:, :d])
        own = found.value.detach().nan_to_num(torch.inf) - constant
        # A row that is among the candidates is no lower than itself, but for rounding.
        rounding = self.settings.rounding * torch.finfo(w.dtype).eps
        margin = rounding * (constant + least.abs())
        index = (least < own - margin).nonzero().squeeze(-1)
        start = torch.cat([y[nearest[index], :d], w[index, d:]], -1)
        return index, start

    def _best(self, w: Tensor, rows: Tensor, values: Tensor) -> InitialPoints:
        penalty = self.settings.condition_penalty
        return best_initial_points(self.potential, w, rows, values, penalty)

    def _spread(self, n: int, device: torch.device) -> Tensor:
        """Return the numbers of as many of n rows as may serve the others, evenly spread."""
        count = min(n, self.settings.max_candidates)
        places = torch.arange(count, device=device)
        return places * n // max(1, count)


@dataclasses.dataclass(frozen=True)
class InverseSolver:
    """How inverse problems are solved.

    Attributes:
        method: inner solver.
        tol: bound on the inner residual in the coordinates; rows more than one standard deviation out are held to this
            share of their distance, since rounding grows with it.
        max_steps: inner steps after which a row is unconverged.
        starts: where problems may start; None where the map has no rows for that.
    """

    method: Method
    tol: float
    max_steps: int
    starts: Starts | None = None

    def solve(self, network: Potential, w: Tensor) -> Conjugate:
        """Return the conjugate of a potential at points w (n, d); where these have a graph, so has its point.

        Without kept rows, and where psi may have several minima, rows are solved a second time where the minimum of
        another row of the batch is better: results depend on the batch, and cost up to twice as much.
        """
        distance = torch.linalg.vector_norm(w, dim=-1) / w.shape[-1] ** 0.5
        tol = (self.tol * distance.clamp(min=1.0)).detach()
        starts = self.starts or Starts(network)
        found = self._from(network, w, starts.of_rows(w.detach()), tol)
        if starts.one_minimum or starts.rows is not None:
            return found
        index, start = starts.lower_elsewhere(w.detach(), found)
        if not len(index):
            return found
        again = self._from(network, w[index], InitialPoints.per_row(start), tol[index])
        return _replaced(found, index, again)

    def _from(
        self, network: Potential, w: Tensor, start: InitialPoints, tol: Tensor
    ) -> Conjugate:
        """Return the conjugate from these starts."""
        return conjugate(
            network,
            w,
            method=self.method,
            start=start,
            tol=tol,
            max_steps=self.max_steps,
            gradients=implicit if w.requires_grad else detached,
        )


def _replaced(found: Conjugate, index: Tensor, again: Conjugate) -> Conjugate:
    """Return what was found, with some rows (k,) as they were found again."""
    solution, other = found.solution, again.solution
    parts = {
        name: getattr(solution, name).index_copy(0, index, getattr(other, name))
        for name in ("point", "residual", "steps", "status")
    }
    evaluations = solution.evaluations + other.evaluations
    return Conjugate(
        found.value.index_copy(0, index, again.value),
        found.point.index_copy(0, index, again.point),
        dataclasses.replace(solution, **parts, evaluations=evaluations),
    )
