"""The exact transport plan between two samples of the same size, and the dual potentials that prove it.

The plan is an assignment (`scipy.optimize.linear_sum_assignment`). Its potentials are the lengths of shortest paths in
the graph of what a row would lose by going to another target ("Network Flows", Ahuja, Magnanti and Orlin, 1993,
section 9.3), which Bellman-Ford's iteration finds: of an optimal plan no cycle has negative length.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


class ExactPlan(NamedTuple):
    """An optimal plan for |x - z|^2/2.

    Attributes:
        target: (n,), the row of z that each row of x goes to.
        heights: (n,), the h with <x_i, z_j> - h_j largest at j = target_i: the plan is the gradient of their maximum.
    """

    target: Tensor
    heights: Tensor


def exact_plan(x: Tensor, z: Tensor) -> ExactPlan:
    """Return the optimal plan between x (n, d) and z (n, d), float64 on the CPU; time is like n^3, memory like n^2."""
    products = x @ z.mT
    _, found = linear_sum_assignment(products.numpy(), maximize=True)
    index = torch.from_numpy(found)
    # Row i stays at its target j where h_k - h_j >= <x_i, z_k> - <x_i, z_j> for every k.
    own = products.gather(1, index.unsqueeze(1))
    gains = torch.empty_like(products)
    gains[index] = products - own  # of the row that goes to j, if it went to k
    heights = x.new_zeros(len(x))
    rounding = 1e-12 * float(products.abs().max())
    for _ in range(len(x)):
        raised = (heights.unsqueeze(1) + gains).max(0).values.maximum(heights)
        if not bool((raised > heights + rounding).any()):
            break
        heights = raised
    return ExactPlan(index, heights)
