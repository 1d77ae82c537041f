"""The mean of several potentials: one potential, less dependent on any one network's initial weights.

    g = (g_1 + ... + g_K)/K,     T = (T_1 + ... + T_K)/K

J is convex in g: E_mu g is linear, and env, a minimum over y of functions linear in g, is concave. So J at a mean is at
most the mean of the J, and for networks that were trained independently on few samples it is well below. ("Simple and
Scalable Predictive Uncertainty Estimation using Deep Ensembles", Lakshminarayanan et al., 2017, for predictions.)
"""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from brenier.errors import DataError
from brenier.potentials.base import Potential


class MeanPotential(Potential):
    """The mean of potentials of the same dimension: an ensemble, of which each member is trained on its own.

    Args:
        networks: one or more potentials, the members.
        weights: of the members, positive and of sum one; equal by default.

    Raises:
        DataError: for an empty list, where dimensions differ, or for weights that are none.
    """

    def __init__(
        self, networks: Sequence[Potential], weights: Sequence[float] | None = None
    ) -> None:
        dims = sorted({network.dim for network in networks})
        if len(dims) != 1:
            raise DataError(
                f"networks: must be one or more potentials of one dimension, got dimensions {dims}"
            )
        if weights is not None and not _are_weights(weights, len(networks)):
            raise DataError(
                f"weights: must be {len(networks)} positive numbers of sum one, got {weights}"
            )
        super().__init__()
        self.networks, self.dim = nn.ModuleList(networks), dims[0]
        self.weights = None if weights is None else tuple(map(float, weights))

    def members(self) -> list[Potential]:
        """Return the networks."""
        return list(self.networks)  # type: ignore[arg-type]  # modules, for mypy

    def forward(self, x: Tensor) -> Tensor:
        """Return g(x): (n, d) -> (n,)."""
        return self._mean([network(x) for network in self.members()])

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(x) (n,) and grad g(x) (n, d), without a graph."""
        values, gradients = [], []
        for network in self.members():
            value, gradient = network.value_and_gradient(x)
            values.append(value)
            gradients.append(gradient)
        return self._mean(values), self._mean(gradients)

    def hessian_product(self, x: Tensor, v: Tensor) -> Tensor:
        """Return Hess g(x) v: (n, d)."""
        return self._mean([network.hessian_product(x, v) for network in self.members()])

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the groups of all networks."""
        groups = []
        for network in self.members():
            groups += network.parameter_groups()
        return groups

    def strong_convexity(self) -> float:
        """Return the mean of the bounds of the networks, 0.0 where any has none."""
        bounds = [network.strong_convexity() for network in self.members()]
        if min(bounds) == 0:  # of one whose psi may be concave in places, by any amount
            return 0.0
        if self.weights is None:
            return sum(bounds) / len(bounds)
        return sum(map(operator.mul, self.weights, bounds))

    def config(self) -> dict[str, Any]:
        """Return the arguments of the networks."""
        return {
            "networks": [network.config() for network in self.members()],
            "weights": self.weights,
        }

    def _mean(self, parts: list[Tensor]) -> Tensor:
        """Return the mean over the members of what each has."""
        if self.weights is None:
            return torch.stack(parts).mean(0)
        weighted = zip(self.weights, parts, strict=True)
        return torch.stack([weight * part for weight, part in weighted]).sum(0)


def _are_weights(weights: Sequence[float], count: int) -> bool:
    """Say whether there are so many numbers, positive and of sum one."""
    fitting = len(weights) == count and all(
        isinstance(weight, numbers.Real) and weight > 0 for weight in weights
    )
    return fitting and math.isclose(sum(weights), 1.0, abs_tol=1e-6)
