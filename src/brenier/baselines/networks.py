"""The networks of the baselines: a perceptron, and the published dense input-convex network with free or clamped signs.

Initial weights are drawn from a generator that is passed in; a network that is about to be loaded needs none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

ACTIVATION_LAYERS: dict[str, type[nn.Module]] = {
    "celu": nn.CELU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}


class Perceptron(nn.Sequential):
    """Linear layers with an activation between them: (n, sizes[0]) -> (n, sizes[-1]).

    Args:
        sizes: numbers into the first layer, between layers, and out of the last.
        activation: a name of `ACTIVATION_LAYERS`.
        generator: source of the weights, uniform as those of torch's layers.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "silu",
        generator: torch.Generator | None = None,
    ) -> None:
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layer = nn.Linear(before, after)
            for part in (layer.weight, layer.bias):
                _draw_uniform(part, 1 / math.sqrt(before), generator)
            layers += [layer, ACTIVATION_LAYERS[activation]()]
        super().__init__(*layers[:-1])


def _draw_uniform(
    part: Tensor, bound: float, generator: torch.Generator | None
) -> None:
    """Fill a tensor with numbers from -bound to bound."""
    if part.device.type == "meta":  # shapes alone are asked for
        return
    with torch.no_grad():
        part.uniform_(-bound, bound, generator=generator)


class DenseSquares(nn.Module):
    """psi: R^d -> R, the dense network with quadratic skips of the published benchmarks.

        q_i(x) = sum_k (x A_ik)^2 + x B_i + b_i,   u_1 = q_1(x),   u_i = act(u_{i-1} W_i + q_i(x)),
        psi(x) = w . u_3 + eps |x|^2 / 2

    With W_i and w at zero or above it is convex (`clamp_`); with free signs it need not be. "Do Neural Optimal
    Transport Solvers Work?" (Korotin et al., 2021).

    Args:
        dim: d.
        hidden: units of the layers; by default max(2 d, 64), max(2 d, 64), max(d, 32).
        rank: squares per unit.
        activation: "celu" or "softplus".
        curvature: eps.
        deviation: standard deviation of all initial weights.
        generator: their source.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] | None = None,
        *,
        rank: int = 1,
        activation: str = "celu",
        curvature: float = 1e-4,
        deviation: float = 0.1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.rank = dim, rank
        self.hidden = dense_widths(dim) if hidden is None else list(hidden)
        self.activation, self.curvature = activation, curvature
        total = sum(self.hidden)
        shapes = [(rank, dim, total), (dim, total), (total,)]
        shapes += list(itertools.pairwise(self.hidden))
        shapes.append((self.hidden[-1],))
        parts = [
            nn.Parameter(deviation * torch.randn(shape, generator=generator))
            for shape in shapes
        ]
        self.quadratic, self.linear, self.bias, *inner, self.readout = parts
        self.weights = nn.ParameterList(inner)

    def forward(self, x: Tensor) -> Tensor:
        """Return psi(x): (n, d) -> (n,)."""
        skips = self._skips(x, self._products(x))
        u = skips[0]
        for weight, skip in zip(self.weights, skips[1:], strict=True):
            u = self._activated(torch.addmm(skip, u, weight))
        return u @ self.readout + 0.5 * self.curvature * torch.linalg.vecdot(x, x)

    def gradient(self, x: Tensor) -> Tensor:
        """Return grad psi(x), differentiable in x and the parameters: (n, d) -> (n, d)."""
        products = self._products(x)
        skips = self._skips(x, products)
        u, slopes = skips[0], []
        for weight, skip in zip(self.weights, skips[1:], strict=True):
            before = torch.addmm(skip, u, weight)
            u = self._activated(before)
            slopes.append(self._slope(before))
        down = self.readout * slopes[-1]
        downs = [down]
        # From the last layer down: what enters the first one has no activation.
        for weight, slope in zip(
            reversed(self.weights), [*reversed(slopes[:-1]), None], strict=True
        ):
            down = down @ weight.mT
            down = down if slope is None else down * slope
            downs.insert(0, down)
        each = torch.cat(downs, -1)
        squares = (2 * products * each) @ self.quadratic.mT  # (rank, n, d)
        return squares.sum(0) + each @ self.linear.mT + self.curvature * x

    def clamp_(self) -> None:
        """Put weights below zero to zero, so that psi is convex."""
        with torch.no_grad():
            for part in (*self.weights, self.readout):
                part.clamp_(min=0.0)

    def _products(self, x: Tensor) -> Tensor:
        """Return x A: (rank, n, total)."""
        return x @ self.quadratic

    def _skips(self, x: Tensor, products: Tensor) -> tuple[Tensor, ...]:
        """Return q_i(x) of every layer: (n, h_i)."""
        q = products.square().sum(0) + torch.addmm(self.bias, x, self.linear)
        return q.split(self.hidden, -1)

    def _activated(self, s: Tensor) -> Tensor:
        if self.activation == "celu":
            return nn.functional.celu(s)
        return nn.functional.softplus(s)

    def _slope(self, s: Tensor) -> Tensor:
        return s.clamp(max=0.0).exp() if self.activation == "celu" else s.sigmoid()


def dense_widths(dim: int) -> list[int]:
    """Return the published widths for d features."""
    return [max(2 * dim, 64), max(2 * dim, 64), max(dim, 32)]


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Build a graph without these modules' parameters: what they were trained by before holds again afterwards."""
    parts = [part for module in modules for part in module.parameters()]
    before = [part.requires_grad for part in parts]
    for part in parts:
        part.requires_grad_(False)
    try:
        yield
    finally:
        for part, needed in zip(parts, before, strict=True):
            part.requires_grad_(needed)


def slope_of(potential: nn.Module, x: Tensor) -> Tensor:
    """Return the gradient of a network (n, d) -> (n,) at rows x, with a graph where gradients are wanted: (n, d)."""
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        at = x if x.requires_grad else x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(potential(at).sum(), at, create_graph=keep)
    return slope
