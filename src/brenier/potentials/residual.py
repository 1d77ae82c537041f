"""The residual potential of the image experiments: a residual network beside a quadratic part.

    psi(x) = x'(L L' + eps I)x/2 + c.x + w.N(x),   N: u_0 = act(W_0 x + b_0),  u_i = u_{i-1} + h act(W_i u_{i-1} + b_i)

with h = 1 / number of layers: "Fixed-Point Neural Optimal Transport..." (Park et al., 2026), equation (77), where
the quadratic part is of low rank and not bounded below. The activations being Lipschitz, N grows at most linearly.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from brenier.potentials.activations import activation_named
from brenier.potentials.base import Potential
from brenier.potentials.quadratic import CURVATURE_FLOOR, Quadratic


class ResidualPotential(Potential):
    """A residual network of the given width and number of layers. A new one is the affine map it is started at.

    Args:
        dim: d.
        width: units per layer.
        layers: residual layers after the first one.
        activation: "softplus", "celu" or "tanh".
        matrix: (d, d), linear part of the affine map to start at; the identity by default.
        shift: (d,), its constant part; zero by default.
        eps: smallest curvature the quadratic part can reach.
        bounded_below: whether g is, and not only psi, as costs other than the squared distance ask.
        generator: source of the initial weights.

    Raises:
        DataError: where the activation is unknown, or the matrix not symmetric with eigenvalues above eps.
    """

    def __init__(
        self,
        dim: int,
        width: int = 128,
        layers: int = 2,
        *,
        activation: str = "softplus",
        matrix: Tensor | None = None,
        shift: Tensor | None = None,
        eps: float = CURVATURE_FLOOR,
        bounded_below: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.layers = dim, layers
        self.activation = activation_named(activation)
        self.affine = Quadratic(
            dim, matrix, shift, eps=eps, bounded_below=bounded_below
        )
        self.opening = nn.Parameter(
            torch.randn(dim, width, generator=generator) / math.sqrt(dim)
        )
        self.weights = nn.ParameterList(
            torch.randn(width, width, generator=generator) / math.sqrt(width)
            for _ in range(layers)
        )
        self.biases = nn.ParameterList(
            torch.randn(width, generator=generator) for _ in range(layers + 1)
        )
        self.readout = nn.Parameter(torch.zeros(width))
        self.to(self.affine.factor)  # precision and device are those of the matrix

    def forward(self, x: Tensor) -> Tensor:
        """Return g(x): (n, d) -> (n,)."""
        u = self.activation.value(x @ self.opening + self.biases[0])
        for weight, bias in self._residual():
            u = u + self.activation.value(u @ weight + bias) / self.layers
        return self.affine(x) + u @ self.readout

    @torch.no_grad()
    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(x) (n,) and grad g(x) (n, d), without a graph: the chain rule written out."""
        value, gradient = self.affine.value_and_gradient(x)
        u = x @ self.opening + self.biases[0]
        slopes = [torch.empty_like(u) for _ in self.biases]
        self.activation.value_and_slope_(u, slopes[0])
        # Up through the layers, keeping the slopes of the activations.
        for (weight, bias), slope in zip(self._residual(), slopes[1:], strict=True):
            s = u @ weight + bias
            self.activation.value_and_slope_(s, slope)
            u.add_(s, alpha=1 / self.layers)
        # Down again: `down` is the derivative of the value by u_i.
        down = self.readout.expand_as(u)
        layers = list(zip(self._residual(), slopes[1:], strict=True))
        for (weight, _), slope in reversed(layers):
            down = torch.addmm(down, slope.mul_(down), weight.mT, alpha=1 / self.layers)
        value.addmv_(u, self.readout)
        gradient.addmm_(slopes[0].mul_(down), self.opening.mT)
        return value, gradient

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {"bounded_below": True} if self.affine.bounded_below else {}
        return {
            "dim": self.dim,
            "width": self.opening.shape[1],
            "layers": self.layers,
            "activation": self.activation.name,
            "eps": self.affine.eps,
            **own,
        }

    def _residual(self) -> list[tuple[Tensor, Tensor]]:
        """Return weight and bias of every residual layer."""
        return list(zip(self.weights, list(self.biases)[1:], strict=True))
