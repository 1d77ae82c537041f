"""The dense network N of `icnn` and its derivatives by the chain rule written out: in place and without a graph.

Training spends most of its time here, and on a CPU most of that goes into moving intermediate results. So memory is
taken once, for those of a block of rows, and used for one block after another; every operation writes where the next
one reads.

    up:    a = x A,   s_i = q(a_i) + x B_i + b_i + h_{i-1} W_i,   h_0 = s_0,   h_i = act(s_i),   N = h_k . w
    down:  d_k = w act'(s_k),   d_i = d_{i+1} W_{i+1}' act'(s_i),   d_0 = d_1 W_1'

with q the `HuberSquare`; d_i is dN/ds_i.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from brenier.potentials.activations import SQUARE, Activation


class Layers(NamedTuple):
    """The parameters of N with their signs; the first three hold those of all k + 1 layers side by side."""

    quadratic: Tensor  # (d, total), A
    linear: Tensor  # (d, total), B
    bias: Tensor  # (total,), b
    readout: Tensor  # (width of layer k,), w
    weights: tuple[Tensor, ...]  # W_i: (width of layer i-1, width of layer i)

    def split(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return the columns of every layer, from those of all layers (n, total)."""
        later = [weight.shape[1] for weight in self.weights]
        return rows.split([self.bias.numel() - sum(later), *later], -1)

    def skips(self) -> Tensor:
        """Return the matrix that takes the derivatives of `Sweep.down` to those by x: (2 total, d)."""
        return torch.cat([2 * self.quadratic, self.linear], -1).mT


class Sweep:
    """Sweeps up and down the layers for at most n rows at a time, all in the same memory.

    What a sweep returns lies in that memory too, and holds until the next sweep.
    """

    def __init__(self, layers: Layers, activation: Activation, n: int) -> None:
        self.layers, self.activation = layers, activation
        total = layers.bias.numel()
        self._memory = [
            layers.bias.new_empty(n, width)
            for width in (2 * total, total, total, total)
        ]

    def up(self, x: Tensor) -> Tensor:
        """Return h_k of some rows: (n, d) -> (n, width of layer k)."""
        rows = [memory[: len(x)] for memory in self._memory]
        self._back, self._clipped, s, slopes = rows
        self._h, self._slopes = self.layers.split(s), self.layers.split(slopes)
        a, _ = self._back.tensor_split(2, -1)
        torch.mm(x, self.layers.quadratic, out=a)
        torch.addmm(self.layers.bias, x, self.layers.linear, out=s)
        # q(a) = c (2 a - c) with c = a clipped, written as 2 c (a - c/2); c is half of q'(a), which `down` needs.
        torch.clamp(a, -SQUARE.knee, SQUARE.knee, out=self._clipped)
        s.addcmul_(self._clipped, a.sub_(self._clipped, alpha=0.5), value=2)
        for i, weight in enumerate(self.layers.weights, 1):
            h = self._h[i].addmm_(self._h[i - 1], weight)
            self.activation.value_and_slope_(h, self._slopes[i])
        return self._h[-1]

    def down(self, cotangent: Tensor) -> Tensor:
        """Return the derivatives of h_k . cotangent by 2a and s, for the rows of the last sweep up: (n, 2 total).

        Its slopes are used up: there is one sweep down for every sweep up.
        """
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
        # W_i takes h_{i-1} to s_i: the h of a layer meets the d of the next.
        later = self.layers.split(by_s)[1:]
        weights = [h.mT @ d for h, d in zip(self._h, later, strict=False)]
        readout = self._h[-1].mT @ cotangent
        return 2 * quadratic, linear, by_s.sum(0), readout, *weights


class _ValueContext(Protocol):
    """What `Value` keeps for its backward pass."""

    sweep: Sweep
    saved_tensors: tuple[Tensor, ...]

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class Value(torch.autograd.Function):
    """N(x) of some rows, differentiable once in the parameters."""

    @staticmethod
    def forward(
        ctx: _ValueContext,
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
        layers = Layers(quadratic, linear, bias, readout, weights)
        ctx.sweep = Sweep(layers, activation, len(x))
        return ctx.sweep.up(x) @ readout

    @staticmethod
    @once_differentiable
    def backward(ctx: _ValueContext, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """Return the derivatives by the arguments of `forward`."""
        x, *_ = ctx.saved_tensors  # raises where they have been changed since
        return None, None, *ctx.sweep.by_parameters(x, cotangent)
