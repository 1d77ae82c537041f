"""The densely connected network with quadratic skips: free, or input-convex by construction.

    q_i(x) = s(x A_i) + x B_i + b_i,     h_0 = q_0(x),     h_i = act(h_{i-1} W_i + q_i(x)),     N(x) = h_k . w
    psi(x) = x'(L L' + eps I)x/2 + c.x + N(x),     g = psi - |x|^2/2

"Wasserstein-2 Generative Networks" (Korotin et al., 2021), appendix B; there s is the square. Here it is the
`HuberSquare`: a square wherever there are data, and of linear growth beyond, since psi is to be coercive for every
parameter value (see `potentials.base`):

* `convex=True`: W_i >= 0 and w >= 0 by parametrisation. N is convex, so psi is eps-strongly convex.
* `convex=False`: the signs are free; N grows at most linearly, whatever the parameters.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from brenier.errors import DataError
from brenier.potentials.activations import SQUARE, activation_named
from brenier.potentials.base import Potential, rows_at_once
from brenier.potentials.quadratic import CURVATURE_FLOOR, Quadratic
from brenier.potentials.sweeps import Layers, Sweep, Value


@dataclasses.dataclass(frozen=True)
class DenseSettings:
    """Numbers of the network that are the same for all potentials.

    Attributes:
        lr_multiplier: factor, in short runs, on the learning rate of the squares and of the weights between layers. On
            all parameters it would cost accuracy.
        softness: how smooth `nonnegative` is: nonnegative(0) is its square root, 0.01.
        raw_readout: readout of a new convex network, before `nonnegative`, which makes it about 3e-4: near zero, with a
            gradient large enough to leave it.
    """

    lr_multiplier: float = 2.0
    softness: float = 1e-4
    raw_readout: float = -0.3


DENSE = DenseSettings()


def widths(dim: int, layers: int = 3) -> tuple[int, ...]:
    """Return w for every layer and w/2 for the last: w = 8d within 64 ... 128, or 2d where that is more."""
    width = max(2 * dim, 64, min(8 * dim, 128))
    return (width,) * (layers - 1) + (width // 2,)


class DenseICNN(Potential):
    """The DenseICNN potential, free (default) or convex.

    A new free one is the affine map it is started at; a convex one is near it, since its weights cannot be zero.

    Args:
        dim: d.
        hidden: widths of h_0 ... h_k; `widths(dim)` by default.
        convex: whether psi is convex by construction.
        activation: "celu", "softplus" or "tanh" (not convex).
        matrix: (d, d), linear part of the affine map to start at; the identity by default.
        shift: (d,), its constant part; zero by default.
        eps: smallest curvature the quadratic part can reach.
        bounded_below: whether g is, and not only psi, as costs other than the squared distance ask.
        generator: source of the initial weights.
        squares: initial size of the weights A_i within the squares, beside that of the B_i. Random squares of many
            features are noise to be unlearnt.
        bias: initial deviation of the b_i.

    Raises:
        DataError: where the activation is unknown, or not convex though convex=True; where the matrix is not symmetric
            with eigenvalues above eps.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int] | None = None,
        *,
        convex: bool = False,
        activation: str = "celu",
        matrix: Tensor | None = None,
        shift: Tensor | None = None,
        eps: float = CURVATURE_FLOOR,
        bounded_below: bool = False,
        generator: torch.Generator | None = None,
        squares: float = 1.0,
        bias: float = 0.0,
    ) -> None:
        super().__init__()
        self.dim, self.convex = dim, convex
        self.activation = activation_named(activation)
        if convex and not self.activation.convex:
            raise DataError(
                f"activation: {activation!r} is not convex; with convex=True choose celu or softplus"
            )
        self.hidden = tuple(hidden or widths(dim))
        self.affine = Quadratic(
            dim, matrix, shift, eps=eps, bounded_below=bounded_below
        )
        total = sum(self.hidden)
        self.quadratic = nn.Parameter(
            torch.randn(dim, total, generator=generator) / math.sqrt(dim)
        )
        self.linear = nn.Parameter(
            torch.randn(dim, total, generator=generator) / math.sqrt(dim)
        )
        self.bias = nn.Parameter(torch.zeros(total))
        self.weights = nn.ParameterList(
            _initial_weights(fan_in, fan_out, convex, generator)
            for fan_in, fan_out in zip(self.hidden, self.hidden[1:], strict=False)
        )
        if squares != 1.0 or bias:
            with torch.no_grad():
                self.quadratic.mul_(squares)
                self.bias.copy_(bias * torch.randn(total, generator=generator))
        # Zero, or for a convex network small: a new potential is its affine map, or near it.
        readout = DENSE.raw_readout if convex else 0.0
        self.readout = nn.Parameter(torch.full((self.hidden[-1],), readout))
        self.to(self.affine.factor)  # precision and device are those of the matrix

    def forward(self, x: Tensor) -> Tensor:
        """Return g(x): (n, d) -> (n,). Where x needs no gradient, it is differentiable once in the parameters."""
        if x.requires_grad:
            return self.affine(x) + self._value(x)
        layers, n = self._layers(), self._rows_at_once(x)
        if torch.is_grad_enabled():
            values = [
                Value.apply(rows, self.activation, *layers[:4], *layers.weights)
                for rows in x.split(n)
            ]
        else:
            sweep = Sweep(layers, self.activation, min(n, len(x)))
            values = [sweep.up(rows) @ layers.readout for rows in x.split(n)]
        return self.affine(x) + torch.cat(values)

    @torch.no_grad()
    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(x) (n,) and grad g(x) (n, d), without a graph."""
        value, gradient = self.affine.value_and_gradient(x)
        layers, n = self._layers(), self._rows_at_once(x)
        sweep, skips = Sweep(layers, self.activation, min(n, len(x))), layers.skips()
        blocks = zip(x.split(n), value.split(n), gradient.split(n), strict=True)
        for rows, values, gradients in blocks:
            values.addmv_(sweep.up(rows), layers.readout)
            gradients.addmm_(sweep.down(layers.readout), skips)
        return value, gradient

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return two groups: in short runs the squares and the weights between layers have a higher learning rate."""
        others = [self.linear, self.bias, self.readout, *self.affine.parameters()]
        faster = [self.quadratic, *self.weights]
        return [
            {"params": others, "lr_multiplier": 1.0},
            {"params": faster, "lr_multiplier": DENSE.lr_multiplier},
        ]

    def strong_convexity(self) -> float:
        """Return the smallest eigenvalue of the quadratic part if psi is convex, else 0.0."""
        return self.affine.strong_convexity() if self.convex else 0.0

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {"bounded_below": True} if self.affine.bounded_below else {}
        return {
            "dim": self.dim,
            "hidden": list(self.hidden),
            "convex": self.convex,
            "activation": self.activation.name,
            "eps": self.affine.eps,
            **own,
        }

    def _value(self, x: Tensor) -> Tensor:
        """Return N(x) with a graph of any order: (n,)."""
        layers = self._layers()
        square = SQUARE(x @ layers.quadratic)
        h, *later = layers.split(square + x @ layers.linear + layers.bias)
        for weight, skip in zip(layers.weights, later, strict=True):
            h = self.activation.value(h @ weight + skip)
        return h @ layers.readout

    def _layers(self) -> Layers:
        """Return the parameters with their signs."""
        weights = tuple(self._signed(weight) for weight in self.weights)
        readout = self._signed(self.readout)
        return Layers(self.quadratic, self.linear, self.bias, readout, weights)

    def _rows_at_once(self, x: Tensor) -> int:
        """Return how many rows are worked on at once."""
        return rows_at_once(x, sum(self.hidden))

    def _signed(self, raw: Tensor) -> Tensor:
        """Return weights as they are used: positive ones for a convex network."""
        return nonnegative(raw) if self.convex else raw


def nonnegative(raw: Tensor) -> Tensor:
    """Return (raw + sqrt(raw^2 + 4 softness)) / 2 > 0, close to max(raw, 0) but never without gradient."""
    return 0.5 * (raw + (raw.square() + 4 * DENSE.softness).sqrt())


def _initial_weights(
    fan_in: int, fan_out: int, convex: bool, generator: torch.Generator | None
) -> Tensor:
    """Return raw weights of a layer: (fan_in, fan_out).

    Normal and scaled by 1/sqrt(fan_in); for a convex network half-normal and scaled by 1/fan_in, so that sums of
    positive terms stay of order one.
    """
    normal = torch.randn(fan_in, fan_out, generator=generator)
    if convex:
        return normal.abs() / fan_in
    return normal / math.sqrt(fan_in)
