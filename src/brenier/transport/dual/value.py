"""J on some rows, its terms and their errors."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from brenier.solve import Solution
from brenier.statistics import RowWeights, Weighted, even_terms, standard_error
from brenier.transport.dual.marginals import UnbalancedMass


def uniform_weights(points: Tensor) -> Tensor:
    """Return equal weights of sum one for points (n, d): (n,)."""
    n = len(points)
    return points.new_full((n,), 1 / n if n else torch.nan)


def both_uniform(x: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return equal weights of sum one for points of either side (n, d), (m, d): (n,), (m,)."""
    return uniform_weights(x), uniform_weights(z)


def shares_of(side: Weighted) -> Tensor:
    """Return the weights of rows, of sum one: (n,)."""
    return uniform_weights(side.rows) if side.masses is None else side.masses


@dataclasses.dataclass(frozen=True)
class DualValue:
    """J on a batch.

    Attributes:
        loss: J, a scalar with the envelope gradient; with unbalanced mass what is least where J is.
        source: (n,), g(x), whose mean is the first term.
        target: (m,), env(z), whose mean is the second.
        solution: how the inner solves went.
        mass: unbalanced mass, or None.
        weights: (n,), (m,), of rows that are no batch, None where they count alike (see `weighted`).
    """

    loss: Tensor
    source: Tensor
    target: Tensor
    solution: Solution
    mass: UnbalancedMass | None = None
    weights: RowWeights = (None, None)

    def value(self) -> float:
        """Return J."""
        return self.value_of(float(self.loss.detach()))

    def value_of(self, loss: float) -> float:
        """Return J where `loss` is known to be this number."""
        return loss if self.mass is None else self.mass.value(loss)

    def terms(self) -> tuple[Tensor, Tensor]:
        """Return numbers such that J is the sum of their means, the target's of rows that have one.

        They are g(x) and minus env(z), or what unbalanced mass makes of these. Of weighted rows their spread gives the
        error of J (see `brenier.statistics.even_terms`).
        """
        source, target = self.row_terms()
        return source, target[torch.isfinite(self.solution.residual)]

    def row_terms(self) -> tuple[Tensor, Tensor]:
        """Return the same of all rows, of which those of rows without a finite iterate are not finite."""
        usable = torch.isfinite(self.solution.residual)
        of_x, of_z = self.weights
        source, target = self.source, -self.target
        if self.mass is not None:
            weights = self._usable_weights(usable)
            constant = self.mass.constant(source, self.target[usable], weights)
            source, target = self.mass.terms(source, self.target, constant)
        source = even_terms(source, of_x)
        if of_z is None:
            return source, target
        spread = even_terms(target[usable], of_z[usable.to(of_z.device)])
        return source, target.to(spread).masked_scatter(usable, spread)

    def weighted(self, weights: RowWeights) -> DualValue:
        """Return J on the same rows where each counts by its weight; itself where all count alike."""
        if all(side is None for side in weights):
            return self
        value = dataclasses.replace(self, weights=weights)
        if self.mass is None:
            first, second = value.terms()
            return dataclasses.replace(value, loss=first.mean() + second.mean())
        usable = torch.isfinite(self.solution.residual)
        own = value._usable_weights(usable)
        loss = self.mass.loss(self.source, self.target[usable], own)
        return dataclasses.replace(value, loss=loss)

    def _usable_weights(self, usable: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights of rows that have a finite iterate, each side of sum one."""
        of_x, of_z = self.weights
        chosen = None if of_z is None else of_z[usable.to(of_z.device)]
        sides = Weighted(self.source, of_x), Weighted(self.target[usable], chosen)
        return shares_of(sides[0]), shares_of(sides[1])

    def standard_error(self) -> float:
        """Return the standard error of J as an average over independent samples; inf for fewer than two rows."""
        return standard_error(*self.terms())
