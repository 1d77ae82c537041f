"""The Hamiltonian of consumption with habits: one equation for each agent, bounded below by what it is used to."""

from __future__ import annotations

import dataclasses
import functools

import torch
from torch import Tensor

from brenier.control.hamiltonian import DiagonalHamiltonian
from brenier.control.problem import Bounds


@dataclasses.dataclass(frozen=True)
class HabitHamiltonian(DiagonalHamiltonian):
    """-D U(u - habit) - p_x u + p_h u^eta, summed over m agents, U(c) = c^{1 - aversion} / (1 - aversion).

    Below `least`, U is continued by its expansion of second order, so that H is twice differentiable for all u. For
    eta = 1 it is convex; for other powers, only where p_h (eta - 1) is not very negative.

    Attributes:
        discounted: D = e^{-discount t}, (n, 1).
        habits: (n, m).
        price: p_x, (n, 1).
        pulled: p_h, (n, m).
        limits: the bounds of u.
        aversion: to risk, not 1.
        eta: the power of consumption in the habits.
        least: consumption beyond habits below which U is continued.
    """

    discounted: Tensor
    habits: Tensor
    price: Tensor
    pulled: Tensor
    limits: Bounds
    aversion: float
    eta: float
    least: float

    @property
    def bounds(self) -> Bounds:  # type: ignore[override]
        """The bounds of u: (n, m) each."""
        return self.limits

    def value(self, u: Tensor) -> Tensor:
        """Return H up to a constant of each row: (n,)."""
        enjoyed = self.discounted * crra(u - self.habits, self.aversion, self.least)
        kept = self.pulled * positive_power(u, self.eta) - self.price * u
        return (kept - enjoyed).sum(-1)

    def gradient(self, u: Tensor) -> Tensor:
        """Return grad_u H: (n, m)."""
        excess = u - self.habits
        slope = marginal(excess, self.aversion, self.least)
        return self._pull(u) - self.price - self.discounted * slope

    @torch.no_grad()
    def diagonal(self, u: Tensor) -> Tensor:
        """Return the second derivatives, one for each agent: (n, m)."""
        c = (u - self.habits).clamp(min=self.least)
        bend = self.aversion * c ** (-self.aversion - 1)
        if self.eta == 1:
            return self.discounted * bend
        used = self.eta * (self.eta - 1) * positive_power(u, self.eta - 2)
        return self.discounted * bend + self.pulled * used

    def rows(self, index: Tensor) -> HabitHamiltonian:
        """Return the Hamiltonians of the rows in index."""
        return dataclasses.replace(
            self,
            discounted=self.discounted[index],
            habits=self.habits[index],
            price=self.price[index],
            pulled=self.pulled[index],
            limits=Bounds(self.limits.lower[index], self.limits.upper[index]),
        )

    def detached(self) -> HabitHamiltonian:
        """Return the same without a graph."""
        return dataclasses.replace(
            self,
            discounted=self.discounted.detach(),
            habits=self.habits.detach(),
            price=self.price.detach(),
            pulled=self.pulled.detach(),
        )

    @functools.cached_property
    @torch.no_grad()
    def scale(self) -> Tensor:  # type: ignore[override]
        """1 + |f_u' p| at the least consumption: (n,)."""
        slope = self._pull(self.limits.lower) - self.price
        return 1 + torch.linalg.vector_norm(slope, dim=-1)

    @torch.no_grad()
    def exact(self) -> Tensor | None:
        """Return habit + ((p_h - p_x) / D)^{-1/aversion} within the bounds for eta = 1, otherwise None: (n, m).

        Where p_h does not exceed p_x, H falls in u: the upper bound.
        """
        if self.eta != 1:
            return None
        cost = (self.pulled - self.price) / self.discounted
        excess = cost.clamp(min=torch.finfo(cost.dtype).tiny) ** (-1 / self.aversion)
        return self.limits.clip(self.habits + excess)

    def _pull(self, u: Tensor) -> Tensor:
        """Return eta u^{eta - 1} p_h: (n, m)."""
        if self.eta == 1:
            return self.pulled
        return self.eta * positive_power(u, self.eta - 1) * self.pulled


def crra(c: Tensor, aversion: float, least: float) -> Tensor:
    """Return utility of constant relative risk aversion, c^{1 - aversion} / (1 - aversion): c's shape.

    Below least it goes on as its expansion of second order there: concave, and defined for all c.
    """
    inside = c < least
    above = torch.where(inside, least, c)
    below = torch.where(inside, c - least, 0.0)
    first = least**-aversion
    second = -aversion * least ** (-aversion - 1)
    known = above ** (1 - aversion) / (1 - aversion)
    return known + below * (first + second / 2 * below)


def marginal(c: Tensor, aversion: float, least: float) -> Tensor:
    """Return the derivative of `crra` in c: c's shape."""
    inside = c < least
    bend = -aversion * least ** (-aversion - 1)
    below = torch.where(inside, c - least, 0.0)
    return torch.where(inside, least, c) ** -aversion + bend * below


def positive_power(x: Tensor, power: float) -> Tensor:
    """Return x to a power, where x is positive; numbers near zero and below count as the smallest.

    Only powers other than 1 do: x itself needs no floor.
    """
    floor = 1e-6  # where the derivative of a power below 1 is still moderate
    return x if power == 1 else x.clamp(min=floor) ** power
