"""A potential by ELU layers with its gradient in closed form: the network of the expectile dual and of w2ot."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

QUADRATICS = ("none", "fixed", "learnt")


class EluPotential(nn.Module):
    """D: R^d -> R, layers with ELU between them, plus a quadratic.

        u_0 = x,  u_i = elu(W_i u_{i-1} + b_i),  D(x) = out(w . u_L + b) + s |x|^2 / 2

    Args:
        dim: d.
        widths: units of the layers.
        outer_elu: whether out is the ELU as well, which bounds it from below; else it is the identity.
        quadratic: s is 0 for "none", 1 for "fixed", and exp(a) with a learnt for "learnt".
        generator: source of the weights, normal with variance 1 / inputs as those of JAX's layers; biases are zero.
    """

    def __init__(
        self,
        dim: int,
        widths: Sequence[int],
        *,
        outer_elu: bool = False,
        quadratic: str = "none",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.widths = dim, list(widths)
        self.outer_elu, self.quadratic = outer_elu, quadratic
        sizes = [dim, *widths, 1]
        self.weights = nn.ParameterList(
            torch.randn(after, before, generator=generator) / math.sqrt(before)
            for before, after in itertools.pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(size) for size in sizes[1:])
        if quadratic == "learnt":
            self.log_curvature = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Return D(x): (n, d) -> (n,)."""
        return self._value(x, self._before(x)[-1])

    def gradient(self, x: Tensor) -> Tensor:
        """Return grad D(x), differentiable in x and the parameters: (n, d) -> (n, d)."""
        return self._gradient(x, self._before(x))

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return D(x) (n,) and grad D(x) (n, d)."""
        before = self._before(x)
        return self._value(x, before[-1]), self._gradient(x, before)

    def _curvature(self) -> Tensor | float:
        """Return s."""
        if self.quadratic == "learnt":
            return self.log_curvature.exp()
        return 1.0 if self.quadratic == "fixed" else 0.0

    def _before(self, x: Tensor) -> list[Tensor]:
        """Return what every layer gives before its activation: (n, width)."""
        found, u = [], x
        for weight, bias in zip(self.weights, self.biases, strict=True):
            s = torch.addmm(bias, u, weight.mT)
            found.append(s)
            u = nn.functional.elu(s)
        return found

    def _value(self, x: Tensor, out: Tensor) -> Tensor:
        """Return D(x) from what the last layer gives (n, 1)."""
        value = (nn.functional.elu(out) if self.outer_elu else out).squeeze(-1)
        return value + 0.5 * self._curvature() * torch.linalg.vecdot(x, x)

    def _gradient(self, x: Tensor, before: Sequence[Tensor]) -> Tensor:
        """Return grad D(x) from what the layers give."""
        weights = list(self.weights)
        *hidden, out = before
        slope = elu_slope(out) if self.outer_elu else torch.ones_like(out)
        down = slope * weights[-1]
        for s, weight in zip(reversed(hidden), reversed(weights[:-1]), strict=True):
            down = (down * elu_slope(s)) @ weight
        return down + self._curvature() * x


def elu_slope(s: Tensor) -> Tensor:
    """Return the derivative of the ELU."""
    return s.clamp(max=0.0).exp()
