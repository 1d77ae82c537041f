"""A smooth maximum of affine functions: the potential of a plan to finitely many points.

    psi(x) = t log sum_j exp((<x, z_j> - h_j) / t) + c |x|^2/2

With the heights h of an exact plan to the points z, and t and c going to zero, grad psi sends every row to its point.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from brenier.errors import DataError
from brenier.potentials.base import Potential


class MaxAffine(Potential):
    """g(x) = psi(x) - |x|^2/2 with the psi above: T(x) is a mean of the points, near one for small t, plus c x.

    Args:
        dim: d.
        count: k, how many points there are.
        temperature: t.
        curvature: c.

    Raises:
        DataError: where the temperature or the curvature is not positive.
    """

    def __init__(
        self,
        dim: int,
        count: int,
        *,
        temperature: float = 1e-2,
        curvature: float = 1e-3,
    ) -> None:
        super().__init__()
        if not (temperature > 0 and curvature > 0):
            raise DataError(
                f"temperature, curvature: must be positive, got {temperature} and {curvature}"
            )
        self.dim, self.count = dim, count
        self.temperature, self.curvature = temperature, curvature
        self.points = nn.Parameter(torch.zeros(count, dim))
        self.heights = nn.Parameter(torch.zeros(count))

    @classmethod
    def of_plan(
        cls,
        points: Tensor,
        heights: Tensor,
        temperature: float,
        curvature: float = 1e-3,
    ) -> MaxAffine:
        """Return the potential of a plan to points (k, d) with heights (k,), in their precision."""
        made = cls(
            points.shape[1], len(points), temperature=temperature, curvature=curvature
        ).to(points)
        made.points.data.copy_(points)
        made.heights.data.copy_(heights)
        return made

    def forward(self, x: Tensor) -> Tensor:
        """Return g(x): (n, d) -> (n,)."""
        smooth = self.temperature * torch.logsumexp(self._scores(x), -1)
        return smooth + 0.5 * (self.curvature - 1) * torch.linalg.vecdot(x, x)

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(x) (n,) and grad g(x) (n, d), without a graph."""
        with torch.no_grad():
            scores = self._scores(x)
            smooth = self.temperature * torch.logsumexp(scores, -1)
            value = smooth + 0.5 * (self.curvature - 1) * torch.linalg.vecdot(x, x)
            gradient = torch.softmax(scores, -1) @ self.points
        return value, gradient + (self.curvature - 1) * x

    def strong_convexity(self) -> float:
        """Return c."""
        return self.curvature

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "dim": self.dim,
            "count": self.count,
            "temperature": self.temperature,
            "curvature": self.curvature,
        }

    def _scores(self, x: Tensor) -> Tensor:
        return (x @ self.points.mT - self.heights) / self.temperature
