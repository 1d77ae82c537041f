"""What normalising flows by differential equations share: rows carried from the data to a normal law, and back.

    dx/dt = v(x, t),   d log|det| / dt = div v,   log p(x) = log N(x(1); 0, I) + log|det dx(1)/dx(0)|

"Neural Ordinary Differential Equations" (Chen et al., 2018), section 4. In the words of the contract the normal law is
the source and the data are the target: the inverse map follows the equation from t = 0 to 1, the forward map, which
generates, goes back from t = 1 to 0.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from brenier.baselines.model import MapModel
from brenier.baselines.ode import Solver, solved


@dataclasses.dataclass(frozen=True)
class DensityNumbers:
    """How densities are computed.

    Attributes:
        entries_at_once: of the Jacobians of a layer that are held at once.
    """

    entries_at_once: int = 2**23


DENSITY = DensityNumbers()


class Stage(nn.Module):
    """One equation of a flow, over t from 0 to 1.

    Attributes:
        costs: integrals along the way beside the log determinant.
        entries: numbers per row that the divergence takes.
    """

    costs: int
    entries: int

    def velocity(self, t: float | Tensor, x: Tensor) -> Tensor:
        """Return v(x, t): (n, d) -> (n, d)."""
        raise NotImplementedError

    def rates(
        self, t: float | Tensor, rows: Tensor, probe: Tensor | None, costs: bool
    ) -> Tensor:
        """Return the rates of everything that is carried along.

        Args:
            t: the time.
            rows: (n, d + 1 + costs): where rows are, their log determinant so far, their costs so far.
            probe: (n, d), random vectors by which the divergence is estimated, or None: it is exact.
            costs: whether costs are carried along.

        Returns:
            (n, d + 1 + costs), the velocity, the divergence, the rates of the costs.
        """
        raise NotImplementedError


class Passage(NamedTuple):
    """Rows that went from the data to the normal law.

    Attributes:
        latent: (n, d), where they came to.
        change: (n,), the log determinant of the way there.
        costs: (n, k), what the way cost.
        evaluations: of the rates.
    """

    latent: Tensor
    change: Tensor
    costs: Tensor
    evaluations: int

    def nll(self) -> Tensor:
        """Return minus the log density of the rows where they started: (n,)."""
        constant = 0.5 * self.latent.shape[1] * math.log(2 * math.pi)
        return constant + 0.5 * self.latent.square().sum(1) - self.change


class DensityModel(MapModel):
    """A flow of some stages, one after the other; a subclass makes them and its `config`.

    Args:
        dim: d.
        stages: from the data on.
        solver: of maps and densities once trained.
    """

    def __init__(self, dim: int, stages: list[Stage], solver: Solver) -> None:
        super().__init__()
        self.dim, self.solver = dim, solver
        self.stages = nn.ModuleList(stages)

    def moved(self, x: Tensor) -> Tensor:
        """Return the data that normal rows (n, d) stand for: (n, d)."""
        for stage in reversed(list(self.each_stage())):
            x = solved(stage.velocity, x, self.solver, backwards=True).state
        return x

    def returned(self, z: Tensor) -> Tensor:
        """Return the normal rows that data (n, d) stand for: (n, d)."""
        for stage in self.each_stage():
            z = solved(stage.velocity, z, self.solver).state
        return z

    def passage(
        self,
        z: Tensor,
        solver: Solver | None = None,
        probe: Tensor | None = None,
        costs: bool = False,
    ) -> Passage:
        """Return how data go to the normal law.

        Args:
            z: (n, d), in the coordinates.
            solver: of the equation, by default that of maps.
            probe: (n, d), random vectors by which divergences are estimated, or None: they are exact.
            costs: whether costs are carried along.
        """
        stages = list(self.each_stage())
        count = stages[0].costs if costs else 0
        rows = torch.cat([z, z.new_zeros(len(z), 1 + count)], 1)
        evaluations = 0
        for stage in stages:
            rates = functools.partial(stage.rates, probe=probe, costs=costs)
            rows, taken = solved(
                rates,
                rows,
                self.solver if solver is None else solver,
                parameters=list(stage.parameters()),
            )
            evaluations += taken
        d = self.dim
        return Passage(rows[:, :d], rows[:, d], rows[:, d + 1 :], evaluations)

    def log_density(self, z: Tensor) -> Tensor:
        """Return the log density of data in the coordinates, by exact divergences: (n, d) -> (n,)."""
        most = max(stage.entries for stage in self.each_stage())
        rows = max(1, DENSITY.entries_at_once // most)
        return torch.cat([-self.passage(part).nll() for part in z.split(rows)])

    def evaluations_of_map(self, rows: Tensor) -> int:
        """Return how often the velocity is evaluated when data (n, d) become normal rows."""
        total = 0
        for stage in self.each_stage():
            rows, taken = solved(stage.velocity, rows, self.solver)
            total += taken
        return total

    def each_stage(self) -> Iterator[Stage]:
        """Yield the stages, from the data on."""
        for stage in self.stages:
            if isinstance(stage, Stage):
                yield stage
