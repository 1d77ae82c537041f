"""What J makes of its terms: balanced mass, or mass that may be created and destroyed at a price.

With rho_s, rho_t the prices of either side,

    min over plans pi of   int c dpi + rho_s KL(pi_0 | mu) + rho_t KL(pi_1 | nu)

has the dual objective ("Optimal entropy-transport problems...", Liero, Mielke and Savare, 2018, section 4)

    J(g) = rho_s E_mu(e^(g/rho_s) - 1) + rho_t E_nu(e^(-env/rho_t) - 1),      -J(g) <= the minimum,

with equality at the best g, where e^(g/rho_s) is how much of a source row is transported, and e^(-env/rho_t) how much
of a target row is explained. J is least over constants k added to g where both sides have the same mass; with
S_s = rho_s log E e^(g/rho_s), S_t = rho_t log E e^(-env/rho_t) that is at

    k = (S_t/rho_t - S_s/rho_s) / (1/rho_s + 1/rho_t),      J = R (e^((S_s + S_t)/R) - 1),   R = rho_s + rho_t.

A side of infinite rho is exact: S is then a mean, and with either J = S_s + S_t, which with both is the balanced J.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from brenier.errors import DataError


@dataclasses.dataclass(frozen=True)
class UnbalancedMass:
    """Mass that need not be kept: prices, in units of the cost, of creating and destroying it.

    Mass is moved where that is cheaper than about rho_s + rho_t, and else destroyed at the source and created at the
    target. Both sides are taken as laws of mass one.

    Args:
        source, target: rho of either side, above 0; infinity for a side whose mass is all transported, or explained.

    Raises:
        DataError: where one is not above 0, or both are infinite.

    >>> UnbalancedMass(source=math.inf, target=2.0).total
    inf
    """

    source: float
    target: float

    def __post_init__(self) -> None:
        for name in ("source", "target"):
            value = getattr(self, name)
            known = isinstance(value, int | float) and not isinstance(value, bool)
            if not (known and value > 0):
                raise DataError(
                    f"mass: its {name} must be a number above 0, or infinity, got {value!r}; about half the cost that "
                    "is too much to move a row"
                )
        if math.isinf(self.source) and math.isinf(self.target):
            raise DataError("mass: both sides are exact; leave mass='balanced'")

    @property
    def total(self) -> float:
        """rho_s + rho_t."""
        return self.source + self.target

    def scaled(self, level: float) -> UnbalancedMass:
        """Return the same in units of cost in which so many are one."""
        return UnbalancedMass(self.source / level, self.target / level)

    def loss(self, source: Tensor, target: Tensor, weights: Weights) -> Tensor:
        """Return S_s + S_t, a scalar that is differentiable in its terms and least where J is.

        Far from the best g it grows linearly where J grows exponentially.

        Args:
            source, target: g(x) (n,), env(z) (m,).
            weights: of either side, each of sum one.
        """
        first = soft_mean(source, self.source, weights[0])
        return first + soft_mean(-target, self.target, weights[1])

    def value(self, loss: float) -> float:
        """Return J at the best constant, of that loss."""
        if math.isinf(self.total) or not math.isfinite(loss):
            return loss
        exponent = loss / self.total
        largest = math.log(torch.finfo(torch.float64).max)
        return self.total * math.expm1(exponent) if exponent < largest else math.inf

    def constant(self, source: Tensor, target: Tensor, weights: Weights) -> float:
        """Return the best constant to add to g and to env."""
        first = float(soft_mean(source, self.source, weights[0]))
        second = float(soft_mean(-target, self.target, weights[1]))
        if math.isinf(self.source):
            return second
        if math.isinf(self.target):
            return -first
        apart = second / self.target - first / self.source
        return apart / (1 / self.source + 1 / self.target)

    def terms(
        self, source: Tensor, target: Tensor, constant: float
    ) -> tuple[Tensor, Tensor]:
        """Return terms of either side, float64, whose means add up to J at a constant: (n,), (m,)."""
        shifted = source.double() + constant, -target.double() - constant
        return priced(shifted[0], self.source), priced(shifted[1], self.target)


Weights = tuple[Tensor, Tensor]


def soft_mean(values: Tensor, rho: float, weights: Tensor) -> Tensor:
    """Return rho log E e^(values / rho) in float64, the mean for infinite rho; (n,) -> ()."""
    values, weights = values.double(), weights.double()
    if not len(values):
        return values.new_full((), torch.nan)
    mean = values @ weights
    if math.isinf(rho):
        return mean
    # Of what is left of the mean, so that a large rho loses no digits.
    rest = (values - mean) / rho
    most = rest.detach().max().clamp(min=0)
    if float(most) < 1:
        return mean + rho * torch.log1p(torch.expm1(rest) @ weights)
    return mean + rho * (most + torch.log(torch.exp(rest - most) @ weights))


def priced(values: Tensor, rho: float) -> Tensor:
    """Return rho (e^(values / rho) - 1), the values themselves for infinite rho."""
    return values if math.isinf(rho) else rho * torch.expm1(values / rho)


def share_of_mass(values: Tensor, rho: float) -> Tensor:
    """Return e^(values / rho), how much of a row's mass is transported or explained; one for infinite rho."""
    return torch.ones_like(values) if math.isinf(rho) else torch.exp(values / rho)
