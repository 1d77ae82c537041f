"""The dense network N of `icnn` and its derivatives by the chain rule written out: in place and without a graph.

Most of the time of training goes by here, and on a CPU most of that into moving intermediate results. So there is room
for those of some rows, used for all rows in turn, and every operation writes where the next one reads.

    up:    a = x A,   s_i = q(a_i) + x B_i + b_i + h_{i-1} W_i,   h_0 = s_0,   h_i = act(s_i),   N = h_k . w
    down:  d_k = w act'(s_k),   d_i = d_{i+1} W_{i+1}' act'(s_i),   d_0 = d_1 W_1'

with q the square up to `KNEE` and linear beyond; d_i is dN/ds_i.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from brenier.potentials.activations import Activation

KNEE = 8.0  # standard deviations of the data, for the coordinates in which potentials are trained


class Layers(NamedTuple):
    """The parameters of N with their signs, those of all k + 1 layers side by side in the first three."""

    quadratic: Tensor  # (d, total), A
    linear: Tensor  # (d, total), B
    bias: Tensor  # (total,), b
    readout: Tensor  # (width of layer k,), w
    weights: tuple[Tensor, ...]  # W_i: (width of layer i-1, width of layer i)

    def split(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return the columns of every layer of (n, total)."""
        later = [weight.shape[1] for weight in self.weights]
        return rows.split([self.bias.numel() - sum(later), *later], -1)

    def skips(self) -> Tensor:
        """Return what carries `Sweep.down` on to x: (2 total, d)."""
        return torch.cat([2 * self.quadratic, self.linear], -1).mT


class Sweep:
    """Room for n rows at a time, which the next sweep uses again."""

    def __init__(self, layers: Layers, activation: Activation, n: int) -> None:
        self.layers, self.activation = layers, activation
        total = layers.bias.numel()
        self._room = [
            layers.bias.new_empty(n, width)
            for width in (2 * total, total, total, total)
        ]

    def up(self, x: Tensor) -> Tensor:
        """Return h_k of some rows."""
        self._back, self._clipped, s, slopes = (room[: len(x)] for room in self._room)
        self._h, self._slopes = self.layers.split(s), self.layers.split(slopes)
        a, _ = self._back.tensor_split(2, -1)
        torch.mm(x, self.layers.quadratic, out=a)
        torch.addmm(self.layers.bias, x, self.layers.linear, out=s)
        torch.clamp(a, -KNEE, KNEE, out=self._clipped)
        s.addcmul_(self._clipped, a.sub_(self._clipped, alpha=0.5), value=2)
        for i, weight in enumerate(self.layers.weights, 1):
            self.activation.both_(
                self._h[i].addmm_(self._h[i - 1], weight), self._slopes[i]
            )
        return self._h[-1]

    def down(self, cotangent: Tensor) -> Tensor:
        """Return the derivatives of h_k . cotangent by 2a and s, for the rows of the last sweep up: (n, 2 total)."""
        a, s = self._back.tensor_split(2, -1)
        d = self.layers.split(s)
        d[-1].copy_(cotangent)
        for i, weight in reversed(list(enumerate(self.layers.weights, 1))):
            torch.mm(d[i].mul_(self._slopes[i]), weight.mT, out=d[i - 1])
        torch.mul(self._clipped, s, out=a)
        return self._back

    def by_parameters(self, x: Tensor, cotangent: Tensor) -> tuple[Tensor, ...]:
        """Return the derivatives of sum_j N(x_j) cotangent_j, in the order of `Layers`."""
        back = self.down(torch.outer(cotangent, self.layers.readout))
        quadratic, linear = (x.mT @ back).tensor_split(2, -1)
        by_s = back[:, linear.shape[1] :]
        weights = (
            h.mT @ d for h, d in zip(self._h, self.layers.split(by_s)[1:], strict=False)
        )
        return 2 * quadratic, linear, by_s.sum(0), self._h[-1].mT @ cotangent, *weights


class Value(torch.autograd.Function):
    """N(x) of some rows, differentiable once in the parameters."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        activation: Activation,
        quadratic: Tensor,
        linear: Tensor,
        bias: Tensor,
        readout: Tensor,
        *weights: Tensor,
    ) -> Tensor:
        """Return N(x), the parameters given as in `Layers`: (n,)."""
        ctx.save_for_backward(x, quadratic, linear, bias, readout, *weights)
        ctx.sweep = Sweep(
            Layers(quadratic, linear, bias, readout, weights), activation, len(x)
        )
        return ctx.sweep.up(x) @ readout

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """Return the derivatives by the arguments of `forward`."""
        x, *_ = ctx.saved_tensors  # raises where they have been changed since
        return None, None, *ctx.sweep.by_parameters(x, cotangent)
