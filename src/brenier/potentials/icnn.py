"""The densely connected network with quadratic skips: free, or input-convex by construction.

    q_i(x) = s(x A_i) + x B_i + b_i,     h_0 = q_0(x),     h_i = act(h_{i-1} W_i + q_i(x)),     N(x) = h_k . w
    psi(x) = x'(L L' + eps I)x/2 + c.x + N(x),     g = psi - |x|^2/2

"Wasserstein-2 Generative Networks" (Korotin et al., 2021), appendix B; there s is the square. Here s(a) = a^2 up to
|a| = `KNEE` and 2 KNEE |a| - KNEE^2 beyond (Huber's function): a square wherever data of variance one lie, and of
linear growth. For psi is to be coercive for every parameter value (see `potentials.base`):

* `convex=True`: W_i >= 0 and w >= 0 by parametrisation. N is convex, so psi is eps-strongly convex.
* `convex=False`: the signs are free; N grows at most linearly, whatever the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from brenier.errors import DataError
from brenier.potentials.activations import activation_named
from brenier.potentials.base import Potential
from brenier.potentials.quadratic import EPS, Quadratic

# Numbers per intermediate result on a CPU: those that leave the cache, or whose memory the system takes back at
# once, cost two to three times as much.
BLOCK = 2**17
KNEE = 8.0  # standard deviations of the data, for the coordinates in which potentials are trained


class DenseICNN(Potential):
    """The DenseICNN potential, free (default) or convex.

    A fresh free one is the affine map it is started at; a convex one is near it, since its weights cannot be zero.

    Args:
        dim: d.
        hidden: widths of h_0 ... h_k; (w, w, w/2) by default, w = 8d within 64 ... 128, or 2d where that is more.
        convex: whether psi is convex by construction.
        activation: "celu", "softplus" or "tanh" (not convex).
        matrix: (d, d), linear part of the affine map to start at; the identity by default.
        shift: (d,), its constant part; zero by default.
        eps: smallest curvature the quadratic part can reach.
        generator: source of the initial weights.

    Raises:
        DataError: where the activation is unknown, or not convex though convex=True.
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
        eps: float = EPS,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.convex = dim, convex
        self.activation = activation_named(activation)
        if convex and not self.activation.convex:
            raise DataError(f"activation: {activation!r} is not convex; with convex=True choose celu or softplus")
        width = max(2 * dim, 64, min(8 * dim, 128))
        self.hidden = tuple(hidden or (width, width, width // 2))
        self.affine = Quadratic(dim, matrix, shift, eps=eps)
        total = sum(self.hidden)
        self.quadratic = nn.Parameter(torch.randn(dim, total, generator=generator) / math.sqrt(dim))
        self.linear = nn.Parameter(torch.randn(dim, total, generator=generator) / math.sqrt(dim))
        self.bias = nn.Parameter(torch.zeros(total))
        self.weights = nn.ParameterList(
            _initial(fan_in, fan_out, convex, generator)
            for fan_in, fan_out in zip(self.hidden, self.hidden[1:], strict=False)
        )
        # Zero, or for a convex network small: a fresh potential is its affine map, or near it.
        self.readout = nn.Parameter(torch.full((self.hidden[-1],), RAW_ZERO if convex else 0.0))
        self.to(self.affine.factor)  # precision and device are those of the matrix

    def forward(self, x: Tensor) -> Tensor:
        """Return g(x): (n, d) -> (n,)."""
        return torch.cat([self._value(rows) for rows in self._blocks(x)])

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(x) (n,) and grad g(x) (n, d), by the chain rule written out."""
        values, gradients = zip(*map(self._value_and_gradient, self._blocks(x)), strict=True)
        return torch.cat(values), torch.cat(gradients)

    def _blocks(self, x: Tensor) -> Sequence[Tensor]:
        """Return the rows in blocks, where that is faster."""
        return (x,) if x.device.type != "cpu" else x.split(BLOCK // sum(self.hidden) + 1)

    def _value(self, x: Tensor) -> Tensor:
        states, _ = self._states(x)
        return self.affine(x) + states[-1][1] @ self._signed(self.readout)

    def _value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = self.affine.value_and_gradient(x)
        states, clipped = self._states(x)
        weights, readout = [self._signed(weight) for weight in self.weights], self._signed(self.readout)
        down, back = readout.expand(x.shape[0], -1), list[Tensor]()
        for (s, a), weight in zip(reversed(states[1:]), reversed(weights), strict=True):
            back.append(down * self.activation.derivative(s, a))
            down = back[-1] @ weight.mT
        dq = torch.cat([down, *reversed(back)], -1)
        skips = torch.cat([self.quadratic, self.linear], -1)
        gradient = gradient + torch.cat([dq * (2 * clipped), dq], -1) @ skips.mT
        return value + states[-1][1] @ readout, gradient

    def hessian_product(self, x: Tensor, v: Tensor) -> Tensor:
        """Return Hess g(x) v, by differentiating the written-out gradient; the Hessian is symmetric: (n, d)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.value_and_gradient(x)[1], x, v)[0]

    def strong_convexity(self) -> float:
        """Return the smallest eigenvalue of the quadratic part if psi is convex, else 0.0."""
        return self.affine.strong_convexity() if self.convex else 0.0

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "dim": self.dim,
            "hidden": list(self.hidden),
            "convex": self.convex,
            "activation": self.activation.name,
            "eps": self.affine.eps,
        }

    def _states(self, x: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Return per layer the argument and value of its activation, and half the slope of the skips' s."""
        both = x @ torch.cat([self.quadratic, self.linear], -1)
        a, b = both.tensor_split(2, dim=-1)
        clipped = a.clamp(-KNEE, KNEE)
        skips = torch.addcmul(b + self.bias, clipped, 2 * a - clipped).split(self.hidden, dim=-1)
        states = [(skips[0], skips[0])]
        for weight, part in zip(self.weights, skips[1:], strict=True):
            s = torch.addmm(part, states[-1][1], self._signed(weight))
            states.append((s, self.activation.value(s)))
        return states, clipped

    def _signed(self, raw: Tensor) -> Tensor:
        return nonnegative(raw) if self.convex else raw


SOFTNESS = 1e-4
RAW_ZERO = -0.3  # nonnegative(RAW_ZERO) is about 3e-4, with a gradient large enough to leave it


def nonnegative(raw: Tensor) -> Tensor:
    """Return (raw + sqrt(raw^2 + 4 SOFTNESS)) / 2 > 0, close to max(raw, 0) but never without gradient."""
    return 0.5 * (raw + (raw.square() + 4 * SOFTNESS).sqrt())


def _initial(fan_in: int, fan_out: int, convex: bool, generator: torch.Generator | None) -> Tensor:
    """Return raw weights: scaled normal, or half-normal about a mean of 1/fan_in so that sums stay of order one."""
    normal = torch.randn(fan_in, fan_out, generator=generator)
    return normal.abs() / fan_in if convex else normal / math.sqrt(fan_in)
