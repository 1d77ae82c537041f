"""Value functions phi(z, t), with the derivatives that control needs.

The network of Onken et al. ("A Neural Network Approach for High-Dimensional Optimal Control", 2021), with x = (z, t):

    phi(z, t) = w . y_M + |A x|^2 / 2 + c . x,   y_0 = a(K_0 x + b_0),   y_i = y_{i-1} + a(K_i y_{i-1} + b_i) / M

where a(s) = log(2 cosh s), whose slope is tanh. Its gradient is written out, so that it is differentiated once only.

`ValueFunction` adds what is known of a problem: a first guess, or the terminal condition, built in as
phi(z, t) = G(z) + (1 - t/T) N(z, t).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.linalg import vecdot

from brenier.control.problem import ControlProblem
from brenier.errors import DataError


class ValueJet(NamedTuple):
    """phi, its gradient in z, which is the costate, and its derivative in t: (n,), (n, d), (n,)."""

    value: Tensor
    costate: Tensor
    speed: Tensor


@runtime_checkable
class GivesJet(Protocol):
    """A module that gives its own derivatives."""

    def jet(self, z: Tensor, t: Tensor) -> ValueJet:
        """Return phi and its derivatives at (n, d), (n,), with a graph to the parameters and to z."""
        ...


class ValueNetwork(nn.Module):
    """The network above.

    Args:
        state_dim: d.
        width: units per layer.
        layers: residual layers after the first one: M.
        rank: of A, at most d + 1; 10 as published. Of many states the costate of a simple quadratic has full rank.
        generator: source of the initial weights.
    """

    def __init__(
        self,
        state_dim: int,
        width: int = 64,
        layers: int = 2,
        rank: int = 128,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.state_dim, self.width, self.layers = state_dim, width, layers
        x = state_dim + 1
        self.rank = min(rank, x)
        self.opening = _xavier(width, x, generator)
        # Copies of each other, as the layers of a differential equation that does not change at first.
        first = _xavier(width, width, generator)
        self.weights = nn.ParameterList(
            nn.Parameter(first.detach().clone()) for _ in range(layers)
        )
        self.biases = nn.ParameterList(torch.zeros(width) for _ in range(layers + 1))
        self.readout = nn.Parameter(torch.ones(width))
        self.factor = _xavier(self.rank, x, generator)
        self.slope = nn.Parameter(torch.zeros(x))

    def jet(self, z: Tensor, t: Tensor) -> ValueJet:
        """Return phi and its derivatives at (n, d), (n,): the chain rule written out."""
        x = torch.cat([z, t.unsqueeze(-1)], -1)
        biases = list(self.biases)
        s = torch.addmm(biases[0], x, self.opening.mT)
        slopes, y = [s.tanh()], log_two_cosh(s)
        for weight, bias in zip(self.weights, biases[1:], strict=True):
            s = torch.addmm(bias, y, weight.mT)
            slopes.append(s.tanh())
            y = y + log_two_cosh(s) / self.layers
        bent = x @ self.factor.mT
        value = y @ self.readout + vecdot(bent, bent) / 2 + x @ self.slope
        down = self.readout.expand_as(y)
        for weight, slope in zip(
            reversed(self.weights), reversed(slopes[1:]), strict=True
        ):
            down = torch.addmm(down, slope * down, weight, alpha=1 / self.layers)
        gradient = (slopes[0] * down) @ self.opening + bent @ self.factor + self.slope
        return ValueJet(value, gradient[:, :-1], gradient[:, -1])

    def forward(self, x: Tensor) -> Tensor:
        """Return phi at x = (z, t): (n, d + 1) -> (n,)."""
        return self.jet(x[:, :-1], x[:, -1]).value

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {
            "state_dim": self.state_dim,
            "width": self.width,
            "layers": self.layers,
            "rank": self.rank,
        }


def log_two_cosh(s: Tensor) -> Tensor:
    """Return log(2 cosh s), without overflow."""
    size = s.abs()
    return size + torch.log1p(torch.exp(-2 * size))


class ValueFunction(nn.Module):
    """The value function of a problem: a network, and what is known beside it.

    Args:
        problem: what it is the value function of.
        network: a module N: (n, d + 1) -> (n,) of x = (z, t), such as a potential; or one that `GivesJet`.
        terminal_condition: whether phi(T, .) = G holds by construction, and not only after training.
    """

    def __init__(
        self,
        problem: ControlProblem,
        network: nn.Module,
        terminal_condition: bool = False,
    ) -> None:
        super().__init__()
        self.problem, self.network = problem, network
        self.terminal_condition = terminal_condition
        state = problem.initial_states(1, torch.Generator())
        self._guessed = problem.value_guess(state[:, 0] * 0, state) is not None

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        """Return phi: (n, d), (n,) -> (n,)."""
        return self.jet(z, t).value

    def jet(self, z: Tensor, t: Tensor) -> ValueJet:
        """Return phi and its derivatives at (n, d), (n,); with a graph where autograd is on."""
        found = self._network_jet(z, t)
        if self.terminal_condition:
            left = 1 - t / self.problem.horizon
            found = ValueJet(
                left * found.value,
                left.unsqueeze(-1) * found.costate,
                left * found.speed - found.value / self.problem.horizon,
            )
        known = self._known_jet(z, t)
        return found if known is None else _sum(found, known)

    def _network_jet(self, z: Tensor, t: Tensor) -> ValueJet:
        """Return N and its derivatives."""
        if isinstance(self.network, GivesJet):
            return self.network.jet(z, t)
        return _autodiff_jet(self._network_value, z, t)

    def _network_value(self, z: Tensor, t: Tensor) -> Tensor:
        """Return N: (n,)."""
        value = self.network(torch.cat([z, t.unsqueeze(-1)], -1))
        if value.shape != t.shape:
            raise DataError(
                f"network: must return one number for each state, shape {tuple(t.shape)}, got {tuple(value.shape)}; "
                "end it with nn.Flatten(0) where it returns a column",
                argument="network",
            )
        return value

    def _known_jet(self, z: Tensor, t: Tensor) -> ValueJet | None:
        """Return what is known beside the network, or None where nothing is."""
        if self._guessed:
            return _autodiff_jet(self._guess, z, t)
        if not self.terminal_condition:
            return None
        value, gradient = (
            self.problem.terminal_cost(z),
            self.problem.terminal_gradient(z),
        )
        return ValueJet(value, gradient, torch.zeros_like(value))

    def _guess(self, z: Tensor, t: Tensor) -> Tensor:
        """Return the guess of the problem: (n,)."""
        found = self.problem.value_guess(t, z)
        return torch.zeros_like(t) if found is None else found


def _sum(first: ValueJet, second: ValueJet) -> ValueJet:
    """Return the sum of two functions with their derivatives."""
    return ValueJet(*(a + b for a, b in zip(first, second, strict=True)))


def _autodiff_jet(
    function: Callable[[Tensor, Tensor], Tensor], z: Tensor, t: Tensor
) -> ValueJet:
    """Return a function of (z, t) and its derivatives by automatic differentiation."""
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        z = z if z.requires_grad and keep else z.detach().requires_grad_()
        t = t if t.requires_grad and keep else t.detach().requires_grad_()
        value = function(z, t)
        costate, speed = torch.autograd.grad(
            value.sum(), (z, t), create_graph=keep, allow_unused=True
        )
    parts = (
        value,
        torch.zeros_like(z) if costate is None else costate,
        torch.zeros_like(t) if speed is None else speed,
    )
    return ValueJet(*parts if keep else (part.detach() for part in parts))


def _xavier(rows: int, columns: int, generator: torch.Generator | None) -> nn.Parameter:
    """Return a matrix of uniform numbers of Xavier's variance."""
    bound = math.sqrt(6 / (rows + columns))
    return nn.Parameter(
        (2 * torch.rand(rows, columns, generator=generator) - 1) * bound
    )
