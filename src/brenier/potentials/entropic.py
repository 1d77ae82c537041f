"""The potential of an entropic plan between two samples, less that of the source to itself.

    g(x) = t log sum_j exp((<x, w_j> - h_j)/t) - t log sum_i exp((<x, u_i> - k_i)/t)
    T(x) = x + sum_j p_j(x) w_j - sum_i q_i(x) u_i       with softmax weights p and q

With the potentials of Sinkhorn's iteration the first term alone is the entropic map ("Entropic estimation of optimal
transport maps", Pooladian and Niles-Weed, 2021), which draws all rows to the middle; the second takes that back
("Debiaser Beware: Pitfalls of Centering Regularized Transport Maps", Pooladian et al., 2022). As t goes to zero,
T(x) = x + w_j - u_i for the nearest u_i and its partner; as it grows T becomes a translation. So in coordinates in
which the affine map is the identity, t leads from the exact plan to the affine map.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from brenier.errors import DataError
from brenier.potentials.base import Potential


class EntropicPotential(Potential):
    """The g above. The displacement is bounded, so psi is coercive; it need not be convex everywhere.

    Args:
        dim: d.
        source_count: n, how many source points there are.
        target_count: m, how many target points.
        temperature: t.

    Raises:
        DataError: where the temperature is not positive and finite.
    """

    def __init__(
        self, dim: int, source_count: int, target_count: int, *, temperature: float
    ) -> None:
        super().__init__()
        if not (math.isfinite(temperature) and temperature > 0):
            raise DataError(
                f"temperature: must be positive and finite, got {temperature}"
            )
        self.dim, self.temperature = dim, temperature
        self.source_points = nn.Parameter(torch.zeros(source_count, dim))
        self.source_heights = nn.Parameter(torch.zeros(source_count))
        self.target_points = nn.Parameter(torch.zeros(target_count, dim))
        self.target_heights = nn.Parameter(torch.zeros(target_count))

    @classmethod
    def of_potentials(
        cls,
        source: tuple[Tensor, Tensor],
        target: tuple[Tensor, Tensor],
        temperature: float,
    ) -> EntropicPotential:
        """Return the potential of entropic potentials for |x - z|^2/2.

        Args:
            source: points u (n, d) and the potential of their plan to themselves (n,).
            target: points w (m, d) and their potential in the plan between both (m,).
            temperature: the regularisation of both.
        """
        u, w = source[0], target[0]
        made = cls(u.shape[1], len(u), len(w), temperature=temperature).to(u)
        parameters = made.parameters()
        for points, potential in (source, target):
            heights = 0.5 * torch.linalg.vecdot(points, points) - potential
            next(parameters).data.copy_(points)
            next(parameters).data.copy_(heights)
        return made

    def forward(self, x: Tensor) -> Tensor:
        """Return g(x): (n, d) -> (n,)."""
        scores, own_scores = self._scores(x)
        difference = torch.logsumexp(scores, -1) - torch.logsumexp(own_scores, -1)
        return self.temperature * difference

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(x) (n,) and grad g(x) (n, d), without a graph."""
        with torch.no_grad():
            scores, own_scores = self._scores(x)
            value, weights = _soft_maximum(scores)
            own_value, own_weights = _soft_maximum(own_scores)
            gradient = weights @ self.target_points
            gradient.addmm_(own_weights, self.source_points, alpha=-1)
        return self.temperature * (value - own_value), gradient

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "dim": self.dim,
            "source_count": len(self.source_points),
            "target_count": len(self.target_points),
            "temperature": self.temperature,
        }

    def _scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of the target points (n, m) and of the source points (n, k)."""
        target = torch.addmm(self.target_heights, x, self.target_points.mT, beta=-1)
        source = torch.addmm(self.source_heights, x, self.source_points.mT, beta=-1)
        return target / self.temperature, source / self.temperature


def _soft_maximum(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log-sum-exp of every row (n,) and the softmax (n, m), one exponential each; the scores are spent."""
    top = scores.amax(-1, keepdim=True)
    weights = scores.sub_(top).exp_()
    total = weights.sum(-1, keepdim=True)
    return (total.log() + top).squeeze(-1), weights.div_(total)
