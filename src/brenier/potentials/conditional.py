"""Potentials of points that carry a condition: a class, a dose, a time.

A *conditioned point* is s = [y; c], a point y followed by the code c of its condition. For a network psi on such points

    g(s) = psi(s) - |s|^2/2   as a function of y alone, c held fixed,

is one potential per condition from one set of weights ("Fixed-Point Neural Optimal Transport...", Park et al., 2026,
(37)-(40)). Its gradient is zero in the coordinates of the code, so that T(s) = s + grad g(s) keeps the condition, and
so does every step of an inner solve: code for potentials works for these unchanged. A psi that is coercive or convex
in s is so in y.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from brenier.errors import DataError
from brenier.potentials.base import Potential


class Conditional(Potential):
    """A potential of conditioned points.

    Args:
        network: a potential of dimension d + c.
        transport_dim: d, the number of coordinates, the first ones, that transport may change.

    Raises:
        DataError: where that leaves no coordinate to change, or none for the condition.
    """

    def __init__(self, network: Potential, transport_dim: int) -> None:
        if not 0 < transport_dim < network.dim:
            raise DataError(
                f"transport_dim: must be between 1 and {network.dim - 1}, got {transport_dim}"
            )
        super().__init__()
        self.network, self.dim = network, network.dim
        self._transport_dim = transport_dim

    @property
    def transport_dim(self) -> int:
        """The number d of coordinates that transport may change."""
        return self._transport_dim

    def condition_on(self, code: Tensor) -> ConditionedPotential:
        """Return the ordinary potential of dimension d for one condition, whose code is (c,)."""
        return ConditionedPotential(self, code)

    def forward(self, x: Tensor) -> Tensor:
        """Return g(s): (n, d + c) -> (n,)."""
        value: Tensor = self.network(x)
        return value

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(s) (n,) and its gradient in y, zero in c: (n, d + c)."""
        value, gradient = self.network.value_and_gradient(x)
        return value, self._without_condition(gradient)

    def gradient(self, x: Tensor) -> Tensor:
        """Return the gradient in y, zero in c: (n, d + c)."""
        return self._without_condition(self.network.gradient(x))

    def hessian_product(self, x: Tensor, v: Tensor) -> Tensor:
        """Return the Hessian in y times v, whose part in c is ignored: (n, d + c)."""
        product = self.network.hessian_product(x, self._without_condition(v))
        return self._without_condition(product)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the groups of the network."""
        return self.network.parameter_groups()

    def members(self) -> list[Potential]:
        """Return the members of the network, each as a conditional potential that shares its weights."""
        return [
            Conditional(member, self.transport_dim) for member in self.network.members()
        ]

    def strong_convexity(self) -> float:
        """Return that of the network: a restriction is at least as convex."""
        return self.network.strong_convexity()

    def config(self) -> dict[str, Any]:
        """Return the arguments of the network, and d under the name that checkpoints of version 0.1 know."""
        return {"network": self.network.config(), "space": self.transport_dim}

    def _without_condition(self, rows: Tensor) -> Tensor:
        """Return rows (n, d + c) with zeros in the coordinates of the condition."""
        zeros = torch.zeros_like(rows[:, self.transport_dim :])
        return torch.cat([rows[:, : self.transport_dim], zeros], -1)


class ConditionedPotential(Potential):
    """A conditional potential at one fixed condition: an ordinary potential of dimension d.

    Args:
        whole: the conditional potential; weights are shared with it.
        code: (c,), the code of the condition.
    """

    def __init__(self, whole: Conditional, code: Tensor) -> None:
        super().__init__()
        self.whole, self.dim = whole, whole.transport_dim
        self.code: Tensor
        self.register_buffer("code", code)

    def forward(self, x: Tensor) -> Tensor:
        """Return g(y): (n, d) -> (n,)."""
        value: Tensor = self.whole(self._with_code(x))
        return value

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(y) (n,) and grad g(y) (n, d)."""
        value, gradient = self.whole.value_and_gradient(self._with_code(x))
        return value, gradient[:, : self.dim]

    def hessian_product(self, x: Tensor, v: Tensor) -> Tensor:
        """Return Hess g(y) v: (n, d)."""
        padded = torch.cat([v, v.new_zeros(len(v), len(self.code))], -1)
        return self.whole.hessian_product(self._with_code(x), padded)[:, : self.dim]

    def strong_convexity(self) -> float:
        """Return that of the conditional potential."""
        return self.whole.strong_convexity()

    def _with_code(self, y: Tensor) -> Tensor:
        """Return the conditioned points [y; c]: (n, d) -> (n, d + c)."""
        return torch.cat([y, self.code.to(y).expand(y.shape[0], -1)], -1)
