"""How inverse problems are solved, and where they start.

Where psi is not convex F may have several minima, one in each basin, and a descent ends in that of the basin where
it begins. So it begins at the best of z and of source rows that the map has kept, as in training: rows of the source
lie in the basins that matter, where other points may lead to basins in which the source has nothing. Where a map has no
rows, the minima found for some rows of a batch take their place for the others, in a second solve.
"""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import Method, detached, implicit
from brenier.statistics import some_of
from brenier.transport.costs import Cost, CostFacts
from brenier.transport.dual import (
    Conjugate,
    InitialPoints,
    StartSettings,
    best_initial_points,
    conjugate,
)


@dataclasses.dataclass(frozen=True)
class Starts:
    """Where the inverse problems of one call may start; what it needs to know of the potential is found once.

    Attributes:
        potential: g.
        rows: (k, d), source rows in the coordinates, or None.
        cost: in the coordinates, or None for the squared distance.
        settings: how many rows of a batch serve the others, and what a difference of conditions counts.
    """

    potential: Potential
    rows: Tensor | None = None
    cost: Cost | None = None
    settings: StartSettings = dataclasses.field(default_factory=StartSettings)

    @functools.cached_property
    def one_minimum(self) -> bool:
        """Whether inner problems are certainly convex, so that any start will do."""
        convexity = self.potential.strong_convexity()
        if self.cost is None or CostFacts.of(self.cost).contains_square:
            return convexity > 0
        return convexity >= 1 - 1e-6  # that of a shift is one, up to rounding

    @functools.cached_property
    def values(self) -> Tensor:
        """The values of g at the rows: (k,)."""
        with torch.no_grad():
            values: Tensor = self.potential(self.rows)
        return values

    def of_points(self, w: Tensor) -> InitialPoints:
        """Return for points w (n, d) the best of themselves and of the rows, where there are any."""
        if self.rows is None or self.one_minimum:
            return InitialPoints.per_row(w)
        return self._best(w, self.rows, self.values)

    @torch.no_grad()
    def of_others(self, w: Tensor, found: Conjugate) -> Tensor:
        """Return the best of points w (n, d), two or more, and of the minima found for others of them: (n, d).

        A point's own minimum would be better than all of these, and tells nothing: so points of even numbers start at
        minima of those of odd numbers, and these at those of even ones.
        """
        usable = torch.isfinite(found.solution.residual)
        starts = []
        for k in (0, 1):
            others = found.solution.point[1 - k :: 2][usable[1 - k :: 2]]
            others = some_of(others, self.settings.max_candidates)
            starts.append(self._best(w[k::2], others, self.potential(others)).rows())
        mixed = torch.empty_like(w)
        mixed[0::2], mixed[1::2] = starts
        return mixed

    def _best(self, w: Tensor, rows: Tensor, values: Tensor) -> InitialPoints:
        penalty = self.settings.condition_penalty
        shortlist = self.settings.shortlist
        return best_initial_points(
            self.potential, w, rows, values, penalty, self.cost, shortlist
        )


@dataclasses.dataclass(frozen=True)
class InverseSolver:
    """How inverse problems are solved.

    Attributes:
        method: inner solver.
        tol: bound on the inner residual in the coordinates; rows more than one standard deviation out are held to this
            share of their distance, since rounding grows with it.
        max_steps: inner steps after which a row is unconverged.
        starts: where problems may start; None where the map has no rows for that.
        cost: in the coordinates, or None for the squared distance.
    """

    method: Method | None
    tol: float
    max_steps: int
    starts: Starts | None = None
    cost: Cost | None = None

    def solve(self, network: Potential, w: Tensor) -> Conjugate:
        """Return the conjugate of a potential at points w (n, d); where these have a graph, so has its point.

        Without kept rows, and where F may have several minima, rows are solved a second time from the minima found for
        other rows of the batch, and where that ends lower by more than the tolerance the result depends on these rows.
        It costs about twice as much.
        """
        distance = torch.linalg.vector_norm(w, dim=-1) / w.shape[-1] ** 0.5
        tol = (self.tol * distance.clamp(min=1.0)).detach()
        starts, at = self.starts or Starts(network, cost=self.cost), w.detach()
        found = self.solve_from(network, w, starts.of_points(at), tol)
        if starts.one_minimum or starts.rows is not None:
            return found
        start = at if len(at) < 2 else starts.of_others(at, found)
        index = (start != at).any(-1).nonzero().squeeze(-1)
        if not len(index):
            return found
        again = self.solve_from(
            network, w[index], InitialPoints.per_row(start[index]), tol[index]
        )
        return _lower(found, index, again, tol[index])

    def solve_from(
        self, network: Potential, w: Tensor, start: InitialPoints, tol: Tensor
    ) -> Conjugate:
        """Return the conjugate from these starts."""
        return conjugate(
            network,
            w,
            cost=self.cost,
            method=self.method,
            start=start,
            tol=tol,
            max_steps=self.max_steps,
            gradients=implicit if w.requires_grad else detached,
        )


def _lower(
    first: Conjugate, index: Tensor, second: Conjugate, margin: Tensor
) -> Conjugate:
    """Return what was found first, but of some rows (k,) what was found second where its value is lower.

    It must be so by a margin (k,): values of one minimum differ by less, and then the first stays, to the bit.
    """
    before, after = first.value[index], second.value
    better = (after < before - margin) | before.isnan()
    index, places = index[better], better.nonzero().squeeze(-1)
    solution, other = first.solution, second.solution
    parts = {
        name: getattr(solution, name).index_copy(0, index, getattr(other, name)[places])
        for name in ("point", "residual", "steps", "status")
    }
    evaluations = solution.evaluations + other.evaluations
    return Conjugate(
        first.value.index_copy(0, index, second.value[places]),
        first.point.index_copy(0, index, second.point[places]),
        dataclasses.replace(solution, **parts, evaluations=evaluations),
    )
