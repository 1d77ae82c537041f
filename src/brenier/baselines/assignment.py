"""Costs between rows of both sides, and the exact plan between as many rows of either: an assignment."""

from __future__ import annotations

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def half_squares(x: Tensor, z: Tensor) -> Tensor:
    """Return |x_i - z_j|^2/2, differentiable in both: (n, d), (m, d) -> (n, m)."""
    norms = 0.5 * (x.square().sum(1).unsqueeze(1) + z.square().sum(1))
    return norms - x @ z.mT


def assigned(x: Tensor, z: Tensor) -> Tensor:
    """Return the row of z (n, d) that each row of x (n, d) goes to under the optimal plan for |x - z|^2: (n,)."""
    costs = half_squares(x.detach().double(), z.detach().double())
    _, index = linear_sum_assignment(costs.cpu().numpy())
    return torch.from_numpy(index).to(z.device)
