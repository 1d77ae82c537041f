"""What a potential is.

A potential g: R^d -> R gives the forward map T(x) = x + grad g(x), which is optimal for the quadratic cost exactly when
psi(y) = |y|^2/2 + g(y), the Brenier potential, is convex (Brenier, 1991). Its inverse is the proximal point of g.

Every potential here is *coercive by construction*: psi = y'(L L' + eps I) y / 2 + c.y + N(y), where N either is bounded
below by a linear function (it is convex) or grows at most linearly. So for every parameter value psi(y) - z.y has
a minimum, and the inverse problem a solution.
"""

from __future__ import annotations

import abc
from typing import Any

import torch
from torch import Tensor, nn


class Potential(nn.Module, abc.ABC):
    """A function g: (n, d) -> (n,), with its gradient and Hessian products.

    A subclass writes `forward`. It may write `value_and_gradient` too, by hand, which is what the inner solver calls;
    the laws in the tests then compare it with automatic differentiation.

    Attributes:
        dim: d.
    """

    dim: int

    @property
    def transport_dim(self) -> int:
        """How many coordinates, the first ones, transport may change: all, except where points carry a condition."""
        return self.dim

    @abc.abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return g(x): (n, d) -> (n,), differentiable in x and in the parameters."""

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(x) (n,) and grad g(x) (n, d), without a graph."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            value = self(x)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient

    def gradient(self, x: Tensor) -> Tensor:
        """Return grad g(x), with a graph to the parameters and to x if autograd is on: (n, d) -> (n, d)."""
        if not torch.is_grad_enabled():
            return self.value_and_gradient(x)[1]
        x = x if x.requires_grad else x.detach().requires_grad_()
        return torch.autograd.grad(self(x).sum(), x, create_graph=True)[0]

    def hessian_product(self, x: Tensor, v: Tensor) -> Tensor:
        """Return Hess g(x) v row by row: (n, d), (n, d) -> (n, d)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            gradient = torch.autograd.grad(self(x).sum(), x, create_graph=True)[0]
            if not gradient.requires_grad:  # g is linear
                return torch.zeros_like(v)
            product = torch.autograd.grad(gradient, x, v, allow_unused=True)[0]
        if product is None:  # g is linear in x, though not in the parameters
            return torch.zeros_like(v)
        return product.detach()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the parameters as groups for an optimiser.

        Each group has an `lr_multiplier`, a factor on its learning rate that short runs use.
        """
        return [{"params": list(self.parameters()), "lr_multiplier": 1.0}]

    def members(self) -> list[Potential]:
        """Return the members of the ensemble, each trained on its own J: those this is the mean of, or itself alone."""
        return [self]

    def strong_convexity(self) -> float:
        """Return an m for which psi is certainly m-strongly convex, or 0.0 where none is known."""
        return 0.0

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them, that rebuild a potential for these weights.

        Raises:
            NotImplementedError: where a subclass does not write it; such a potential cannot be saved.
        """
        raise NotImplementedError(
            f"{type(self).__name__} does not say how it is rebuilt; write `config`"
        )


def rows_at_once(x: Tensor, numbers: int, block: int = 2**18) -> int:
    """Return how many rows of x are worked on at once: all, or on a CPU a block of them.

    Args:
        x: (n, d), the rows.
        numbers: numbers per row of one intermediate result.
        block: numbers per intermediate result on a CPU. Larger results leave the cache, or lie in memory that the
            system takes back at once, and cost two to three times as much.
    """
    if x.device.type != "cpu":
        return max(1, len(x))
    return block // numbers + 1
