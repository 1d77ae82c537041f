"""Consumption with habits: agents share wealth, and enjoy only what they consume beyond what they are used to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from brenier.control.checks import require_count, require_number
from brenier.control.problem import Bounds, ControlProblem
from brenier.control.problems.habits import HabitHamiltonian, crra, positive_power
from brenier.control.problems.swarm import require_choice
from brenier.errors import DataError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Consumption(ControlProblem):
    """m agents consume from one wealth x and get used to it: d = 1 + m, states x and habits, m controls u.

        x' = interest x - sum_i u_i,  habit' = u^eta - habit^theta,  u > habit
        L = -e^{-discount t} sum_i U(u_i - habit_i),  G = -bequest U(x),  U(c) = c^{1 - aversion} / (1 - aversion)

    Utility is maximised, hence its negative is the cost. (The public code minimises utility itself.)

    Bad policies must have finite costs that lead training back. So utility of wealth goes on below a least wealth as
    its expansion of second order there. And what each consumes beyond its habit stays between `least_ratio` and
    `largest_ratio` times what is optimal for eta = theta = 1: utility has no end at zero, and where costates have the
    wrong sign H falls without end in u. At the optima of the published and the usual numbers that ratio lies between
    0.9 and 1.3, and wealth ends at ten times the least or more.

    For eta = theta = 1 everything but utility is linear. What counts is then the wealth that is left at the horizon if
    all consume their habits, and the value function is a power of it: see `value_guess` and `optimal_cost`.

    Attributes:
        agents: m.
        interest: growth rate of wealth.
        discount: of utility, per unit time.
        aversion: to risk, not 1.
        bequest: the weight of wealth at the horizon.
        eta: the power of consumption in the habits.
        theta: the power of habits in their decay.
        wealth: at the start, the least.
        wealth_range: what is added to it, uniform between 0 and this.
        habit: at the start, the least.
        habit_range: what is added to it, uniform between 0 and this.
        least_wealth: for one agent, below which utility of wealth is continued; for m agents 1/m of it.
        least_excess: the least consumption beyond habits, where these are zero; with habits, 1 + habit times it.
        least_ratio: the least consumption beyond habits, over what is optimal for eta = theta = 1.
        largest_ratio: the most of it.
        guess: "linear" or "even", the simpler problem of `value_guess`.
        nodes: of the quadrature in `value_guess`.
    """

    horizon: float = 2.0
    steps: int = 100
    agents: int = 10
    interest: float = 0.3
    discount: float = 0.01
    aversion: float = 2.0
    bequest: float = 5.0
    eta: float = 1.0
    theta: float = 1.0
    wealth: float = 25.0
    wealth_range: float = 0.1
    habit: float = 0.01
    habit_range: float = 0.1
    least_wealth: float = 2.0
    least_excess: float = 1e-5
    least_ratio: float = 0.01
    largest_ratio: float = 5.0
    guess: str = "linear"
    nodes: int = 24

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("agents", self.agents, "agents")
        require_count("nodes", self.nodes, "nodes of the quadrature")
        for name in (
            *("interest", "aversion", "bequest", "eta", "theta", "wealth"),
            *("habit", "least_wealth", "least_excess", "least_ratio", "largest_ratio"),
        ):
            require_number(name, getattr(self, name), f"the {name.replace('_', ' ')}")
        for name in ("discount", "wealth_range", "habit_range"):
            what = f"the {name.replace('_', ' ')}"
            require_number(name, getattr(self, name), what, zero=True)
        require_choice("guess", self.guess, ("linear", "even"))
        if self.aversion == 1:
            raise DataError(
                "aversion: must not be 1, where utility is a logarithm; give another positive number",
                argument="aversion",
            )
        if not self.least_ratio < 1 < self.largest_ratio:
            raise DataError(
                f"largest_ratio: must be above 1, and least_ratio below it, got {self.largest_ratio!r} and "
                f"{self.least_ratio!r}; what is optimal lies near a ratio of 1",
                argument="largest_ratio",
            )

    @classmethod
    def published(cls, agents: int = 100) -> Self:
        """Return the problem with the numbers of the published experiment."""
        return cls(
            agents=agents,
            interest=3.0,
            discount=0.1,
            aversion=0.5,
            bequest=0.1,
            eta=0.9,
            theta=0.9,
        )

    @property
    def state_dim(self) -> int:
        """Wealth, and a habit for each agent."""
        return 1 + self.agents

    @property
    def control_dim(self) -> int:
        """One for each agent."""
        return self.agents

    def dynamics(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return f: (n, 1 + m)."""
        wealth = self.interest * z[:, :1] - u.sum(-1, keepdim=True)
        gained = positive_power(u, self.eta) - positive_power(z[:, 1:], self.theta)
        return torch.cat([wealth, gained], -1)

    def running_cost(self, t: Tensor, z: Tensor, u: Tensor) -> Tensor:
        """Return L: (n,)."""
        enjoyed = crra(u - z[:, 1:], self.aversion, self.least_excess).sum(-1)
        return -torch.exp(-self.discount * t) * enjoyed

    def terminal_cost(self, z: Tensor) -> Tensor:
        """Return G: (n,)."""
        return -self.bequest * crra(z[:, 0], self.aversion, self._least)

    def bounds(self, t: Tensor, z: Tensor) -> Bounds:
        """Return the least and the largest consumption, without a graph: (n, m) each."""
        with torch.no_grad():
            habits, excess = z[:, 1:], self._linear_excess(t, z)
            floor = self.least_excess * (1 + habits.clamp(min=0))
            least = torch.maximum(self.least_ratio * excess, floor)
            most = torch.maximum(self.largest_ratio * excess, 2 * least)
            return Bounds(habits + least, habits + most)

    def first_control(self, t: Tensor, z: Tensor) -> Tensor:
        """Return the consumption that is optimal for eta = theta = 1, within the bounds: (n, m)."""
        with torch.no_grad():
            return self.bounds(t, z).clip(z[:, 1:] + self._linear_excess(t, z))

    def hamiltonian(self, t: Tensor, z: Tensor, p: Tensor) -> HabitHamiltonian:
        """Return H(t, z, p, .) with known derivatives, and for eta = 1 its minimiser."""
        return HabitHamiltonian(
            discounted=torch.exp(-self.discount * t)[:, None],
            habits=z[:, 1:],
            price=p[:, :1],
            pulled=p[:, 1:],
            limits=self.bounds(t, z.detach()),
            aversion=self.aversion,
            eta=self.eta,
            least=self.least_excess,
        )

    def initial_states(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw wealth and habits, uniform: (n, 1 + m), float64, on the CPU."""
        drawn = torch.rand(n, 1 + self.agents, generator=generator, dtype=torch.float64)
        wealth = self.wealth + self.wealth_range * drawn[:, :1]
        return torch.cat([wealth, self.habit + self.habit_range * drawn[:, 1:]], -1)

    def value_guess(self, t: Tensor, z: Tensor) -> Tensor:
        """Return the value function of a simpler problem: (n,).

        With guess "linear", of the same problem with eta = theta = 1 in continuous time: -K(t) U(W), where W is the
        wealth at the horizon if all consume their habits from now on. Its policy is close to the optimum. With guess
        "even", of the problem without interest, discount and habits, whose optimum is to consume evenly: wealth is W.
        Its policy spends too much, and is a start from which a network has all to learn. Both are continued as G is,
        and their costates have no wrong sign anywhere: wealth is good, habits are bad or do not matter.
        """
        left, power = self.horizon - t, 1 / self.aversion
        if self.guess == "even":
            scale, rest = self.bequest**power + self.agents * left, z[:, 0]
        else:
            scale, rest = self._scale(t), self._left(left, z)
        return -(scale**self.aversion) * crra(rest, self.aversion, self._least)

    def optimal_cost(self, z: Tensor) -> Tensor:
        """Return the least cost from z (n, 1 + m) at time 0 by `steps` Euler steps, L at the start of each: (n,).

        Raises:
            DataError: eta or theta is not 1; then there is no closed form.
        """
        if (self.eta, self.theta) != (1, 1):
            raise DataError(
                f"eta: must be 1, as theta, for a closed form; got eta={self.eta!r}, theta={self.theta!r}",
                argument="eta",
            )
        step, power = self.horizon / self.steps, 1 / self.aversion
        # What a unit spent in each step is worth at the horizon, and a unit of habit from then on.
        spent = step * (1 + self.interest * step) ** np.arange(self.steps)[::-1]
        habit = step * (spent.sum() - np.cumsum(spent))
        grown = (1 + self.interest * step) ** self.steps
        enjoyed = step * np.exp(-self.discount * step * np.arange(self.steps))
        terms = enjoyed**power * (spent + habit) ** (1 - power)
        scale = self.bequest**power + self.agents * float(terms.sum())
        left = grown * z[:, 0] - float(spent.sum()) * z[:, 1:].sum(-1)
        return -(scale**self.aversion) * crra(left, self.aversion, self._least)

    @property
    def state_names(self) -> Sequence[str]:
        """Wealth and the agents' habits."""
        return ["wealth", *(f"habit [{i}]" for i in range(self.agents))]

    @property
    def control_names(self) -> Sequence[str]:
        """The agents' consumption."""
        return [f"consumption [{i}]" for i in range(self.agents)]

    @property
    def _least(self) -> float:
        """The wealth below which its utility is continued."""
        return self.least_wealth / self.agents

    def _price(self, left: Tensor) -> Tensor:
        """Return what a unit of consumption beyond habits costs at the horizon: left's shape."""
        grown = torch.exp(self.interest * left)
        return grown + (grown - 1) / self.interest

    def _left(self, left: Tensor, z: Tensor) -> Tensor:
        """Return the wealth at the horizon, after times left (n,), if all consume their habits: (n,)."""
        grown = torch.exp(self.interest * left)
        eaten = (grown - 1) / self.interest * z[:, 1:].sum(-1)
        return grown * z[:, 0] - eaten

    def _scale(self, t: Tensor) -> Tensor:
        """Return K(t)^{1/aversion}, by Gauss-Legendre quadrature, differentiable: (n,).

        bequest^{1/aversion} + m int_t^T e^{-discount s / aversion} price(T - s)^{1 - 1/aversion} ds.
        """
        nodes, weights = np.polynomial.legendre.leggauss(self.nodes)
        left = (self.horizon - t)[:, None]
        later = left * t.new_tensor((1 - nodes) / 2)
        power = 1 / self.aversion
        worth = torch.exp(-self.discount * power * (self.horizon - later))
        terms = worth * self._price(later) ** (1 - power)
        total = left.squeeze(-1) * (terms @ t.new_tensor(weights / 2))
        return self.bequest**power + self.agents * total

    def _linear_excess(self, t: Tensor, z: Tensor) -> Tensor:
        """Return what each consumes beyond its habit at the optimum for eta = theta = 1: (n, 1)."""
        left = self.horizon - t
        rest = self._left(left, z).clamp(min=self._least)
        cost = torch.exp(self.discount * t) * self._price(left)
        return (rest / self._scale(t) * cost ** (-1 / self.aversion))[:, None]
