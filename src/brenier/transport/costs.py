"""Costs. A cost owns its calculus: the value, and the twist that turns a potential's gradient into a map."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from torch import Tensor


class Cost(Protocol):
    """A cost c(x, y) whose x-gradient determines y."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Return c(x, y) row by row: (n, d), (n, d) -> (n,)."""
        ...

    def twist(self, x: Tensor, p: Tensor) -> Tensor:
        """Return the y at which the x-gradient of c(x, y) is p: (n, d)."""
        ...


@dataclasses.dataclass(frozen=True)
class SquaredEuclidean:
    """c(x, y) = |x - y|^2 / 2, whose x-gradient is x - y.

    >>> import torch
    >>> x, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 6.0]])
    >>> SquaredEuclidean()(x, y)
    tensor([12.5000])
    >>> SquaredEuclidean().twist(x, x - y)
    tensor([[4., 6.]])
    """

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Return |x - y|^2 / 2: (n, d), (n, d) -> (n,)."""
        return (x - y).square().sum(-1) / 2

    def twist(self, x: Tensor, p: Tensor) -> Tensor:
        """Return x - p: (n, d)."""
        return x - p
