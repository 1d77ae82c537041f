"""The mean of several potentials: one potential, less dependent on any one network's initial weights.

    g = (g_1 + ... + g_K)/K,     T = (T_1 + ... + T_K)/K

J is convex in g: E_mu g is linear, and env, a minimum over y of functions linear in g, is concave. So J at a mean is at
most the mean of the J, and for networks that were trained independently on few samples it is well below. ("Simple and
Scalable Predictive Uncertainty Estimation using Deep Ensembles", Lakshminarayanan et al., 2017, for predictions.)
"""

from __future__ import annotations

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

    Raises:
        DataError: for an empty list, or where dimensions differ.
    """

    def __init__(self, networks: Sequence[Potential]) -> None:
        dims = sorted({network.dim for network in networks})
        if len(dims) != 1:
            raise DataError(
                f"networks: must be one or more potentials of one dimension, got dimensions {dims}"
            )
        super().__init__()
        self.networks, self.dim = nn.ModuleList(networks), dims[0]

    def members(self) -> list[Potential]:
        """Return the networks."""
        return list(self.networks)  # type: ignore[arg-type]  # modules, for mypy

    def forward(self, x: Tensor) -> Tensor:
        """Return g(x): (n, d) -> (n,)."""
        return torch.stack([network(x) for network in self.members()]).mean(0)

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(x) (n,) and grad g(x) (n, d), without a graph."""
        values, gradients = [], []
        for network in self.members():
            value, gradient = network.value_and_gradient(x)
            values.append(value)
            gradients.append(gradient)
        return torch.stack(values).mean(0), torch.stack(gradients).mean(0)

    def hessian_product(self, x: Tensor, v: Tensor) -> Tensor:
        """Return Hess g(x) v: (n, d)."""
        products = [network.hessian_product(x, v) for network in self.members()]
        return torch.stack(products).mean(0)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the groups of all networks."""
        groups = []
        for network in self.members():
            groups += network.parameter_groups()
        return groups

    def strong_convexity(self) -> float:
        """Return the mean of the bounds of the networks."""
        total = sum(network.strong_convexity() for network in self.members())
        return total / len(self.networks)

    def config(self) -> dict[str, Any]:
        """Return the arguments of the networks."""
        return {"networks": [network.config() for network in self.members()]}
