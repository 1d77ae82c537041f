"""The network u(x, t) of a characteristic flow, with its gradient by the chain rule written out.

    u(x, t) = w . h_k + c . x + [x'(S + t R) x / 2 + t e . x],   h_i = silu(h_{i-1} W_i + b_i),   h_0 = (x, t)

The part in brackets is the quadratic head, there on request: S and R are free symmetric matrices, so that the potential
of two Gaussians, whose Hessian is indefinite, is near at hand. Without it only the linear part is beside the layers.

The loss holds grad u, so that a step differentiates it once more: every operation here has a derivative, and SiLU gives
its value and slope at once, for one sigmoid.
"""

from __future__ import annotations

import itertools
import math
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable


class Jet(NamedTuple):
    """u, its gradient in x, and its derivative in t: (n,), (n, d), (n,)."""

    value: Tensor
    gradient: Tensor
    speed: Tensor


class SavedTensors(Protocol):
    """What an operation kept for its derivative."""

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        """The tensors."""
        ...


class FlowNetwork(nn.Module):
    """A smooth function u(x, t), whose gradient in x is nearly zero at first.

    Args:
        dim: d.
        width: units per layer.
        layers: hidden layers, one at least.
        quadratic_head: whether a free quadratic function of x, linear in t, is added.
        generator: source of the initial weights.
    """

    def __init__(
        self,
        dim: int,
        width: int = 64,
        layers: int = 3,
        *,
        quadratic_head: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.width, self.layers = dim, width, layers
        self.quadratic_head = quadratic_head
        sides = [dim + 1, *[width] * layers]
        self.weights = nn.ParameterList(
            torch.randn(before, after, generator=generator) / math.sqrt(before)
            for before, after in itertools.pairwise(sides)
        )
        self.biases = nn.ParameterList(
            0.1 * torch.randn(width, generator=generator) for _ in range(layers)
        )
        # A hundredth of the usual size, so that the first map is nearly the identity.
        readout = torch.randn(width, generator=generator)
        self.readout = nn.Parameter(0.01 * readout / math.sqrt(width))
        self.slope = nn.Parameter(torch.zeros(dim))
        if quadratic_head:
            self.curvature = nn.Parameter(torch.zeros(2, dim, dim))
            self.drift = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return u(x, t): (n, d), (n,) -> (n,)."""
        h = torch.cat([x, t.unsqueeze(-1)], -1)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            h = nn.functional.silu(torch.addmm(bias, h, weight))
        value = h @ self.readout + x @ self.slope
        if not self.quadratic_head:
            return value
        bent, turned = self._bent(x)
        quadratic = torch.linalg.vecdot(x, torch.addcmul(bent, t.unsqueeze(-1), turned))
        return value + quadratic / 2 + t * (x @ self.drift)

    def jet(self, x: Tensor, t: Tensor) -> Jet:
        """Return u with its derivatives, differentiable in the parameters, x and t: (n, d), (n,) -> `Jet`."""
        h = torch.cat([x, t.unsqueeze(-1)], -1)
        slopes = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            h, slope = silu_and_slope(torch.addmm(bias, h, weight))
            slopes.append(slope)
        value = h @ self.readout + x @ self.slope
        # Down again: `down` is the derivative of w . h_k by what enters a layer.
        down = self.readout
        for weight, slope in zip(reversed(self.weights), reversed(slopes), strict=True):
            down = (slope * down) @ weight.mT
        gradient, speed = down[:, : self.dim] + self.slope, down[:, self.dim]
        if not self.quadratic_head:
            return Jet(value, gradient, speed)
        bent, turned = self._bent(x)
        at = torch.addcmul(bent, t.unsqueeze(-1), turned)
        drifted = x @ self.drift
        return Jet(
            value + torch.linalg.vecdot(x, at) / 2 + t * drifted,
            gradient + at + t.unsqueeze(-1) * self.drift,
            speed + torch.linalg.vecdot(x, turned) / 2 + drifted,
        )

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {
            "dim": self.dim,
            "width": self.width,
            "layers": self.layers,
            "quadratic_head": self.quadratic_head,
        }

    def _bent(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return S x and R x row by row: (n, d), (n, d)."""
        matrices = (self.curvature + self.curvature.mT) / 2
        return x @ matrices[0], x @ matrices[1]


def silu_and_slope(s: Tensor) -> tuple[Tensor, Tensor]:
    """Return SiLU and its derivative at s, both differentiable once."""
    return _SiluAndSlope.apply(s)


class _SiluAndSlope(torch.autograd.Function):
    """s sigma(s) and its slope; their derivatives for the same sigmoid, where autograd would keep six tensors."""

    @staticmethod
    def forward(ctx: FunctionCtx, s: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        sigma = s.sigmoid()
        value = s * sigma
        slope = torch.addcmul(sigma, value, 1 - sigma)
        ctx.save_for_backward(s, sigma, slope)
        return value, slope

    @staticmethod
    @once_differentiable
    def backward(  # type: ignore[override]
        ctx: SavedTensors, of_value: Tensor, of_slope: Tensor
    ) -> Tensor:
        s, sigma, slope = ctx.saved_tensors
        # silu'' = sigma (1 - sigma) (2 + s (1 - 2 sigma))
        inner = torch.addcmul(s, s, sigma, value=-2).add_(2)
        second = torch.addcmul(sigma, sigma, sigma, value=-1).mul_(inner)
        return torch.addcmul(of_value * slope, of_slope, second)
