"""Entropic transport between two samples: the dual potentials of Sinkhorn's iteration.

Of the plan P_ij = exp((f_i + g_j - c_ij)/eps)/(n m) both marginals are to be uniform. Or they are weights p, q; f and
g then hold eps log(n p_i) and eps log(m q_j) as well. They are found by setting one after the other ("Sinkhorn
Distances", Cuturi, 2013), the kernel being taken out of the exponent once for many iterations ("Stabilized Sparse
Scaling Algorithms for Entropy Regularized Transport Problems", Schmitzer, 2019). Between a sample and itself f = g, and
the mean of old and new potential converges in a few iterations ("Interpolating between Optimal Transport and MMD using
Sinkhorn Divergences", Feydy et al., 2019).
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.statistics.weighted import RowWeights


@dataclasses.dataclass(frozen=True)
class SinkhornSettings:
    """How entropic potentials are found.

    Attributes:
        sinkhorn_steps: iterations at most; any potentials may be used, those of a plan that is nearly right too.
        steps_per_kernel: iterations from one evaluation of the kernel to the next, few enough that nothing overflows.
        marginal_tol: share of the mass by which the target's marginal may be wrong.
    """

    sinkhorn_steps: int = 100
    steps_per_kernel: int = 25
    marginal_tol: float = 1e-2


class EntropicPlan(NamedTuple):
    """The potentials of an entropic plan, f (n,) and g (m,)."""

    source: Tensor
    target: Tensor


def soft_minimum(costs: Tensor, potential: Tensor, epsilon: float) -> Tensor:
    """Return -eps log mean_j exp((potential_j - costs_ij)/eps): (n, m), (m,) -> (n,).

    As eps goes to zero this is min_j (costs_ij - potential_j), the c-transform.
    """
    scores = (potential - costs).div_(epsilon)
    return -epsilon * (torch.logsumexp(scores, 1) - math.log(costs.shape[1]))


def entropic_plan(
    costs: Tensor,
    epsilon: float,
    start: Tensor | None = None,
    settings: SinkhornSettings = SinkhornSettings(),
    weights: RowWeights = (None, None),
) -> EntropicPlan:
    """Return the potentials of the entropic plan between two samples.

    Args:
        costs: (n, m), float64.
        epsilon: the regularisation, in units of the cost.
        start: (m,), the g of a larger eps, say; zero by default.
        settings: how long to iterate.
        weights: (n,), (m,), of their rows.
    """
    p, q = (
        _marginal(own, costs[:, 0] if side == 0 else costs[0])
        for side, own in enumerate(weights)
    )
    g = costs.new_zeros(costs.shape[1]) if start is None else start
    for _ in range(0, settings.sinkhorn_steps, settings.steps_per_kernel):
        f = soft_minimum(costs, g, epsilon) + epsilon * p.log()
        g = soft_minimum(costs.mT, f, epsilon) + epsilon * q.log()
        kernel = (f.unsqueeze(1) + g).sub_(costs).div_(epsilon).exp_()
        a, b = torch.ones_like(f), torch.ones_like(g)
        for _ in range(settings.steps_per_kernel):
            a = p * (len(g) / (kernel @ b))
            sums = kernel.mT @ a / len(f)
            error = float((b * sums - q).abs().mean())
            if error < settings.marginal_tol:
                break
            b = q * (1 / sums)
        f, g = f + epsilon * a.log(), g + epsilon * b.log()
        if error < settings.marginal_tol:
            break
    return EntropicPlan(f, g)


def entropic_self_potential(
    costs: Tensor,
    epsilon: float,
    start: Tensor | None = None,
    settings: SinkhornSettings = SinkhornSettings(),
    weights: Tensor | None = None,
) -> Tensor:
    """Return the potential (n,) of the entropic plan of a sample to itself, given the costs (n, n), float64."""
    p = _marginal(weights, costs[0])
    f = costs.new_zeros(len(costs)) if start is None else start
    for _ in range(settings.sinkhorn_steps):
        update = soft_minimum(costs, f, epsilon) + epsilon * p.log()
        error = float((update - f).abs().mean()) / epsilon
        f = 0.5 * (f + update)
        if error < settings.marginal_tol:
            break
    return f


def _marginal(weights: Tensor | None, like: Tensor) -> Tensor:
    """Return weights of mean one, or ones: (n,)."""
    if weights is None:
        return torch.ones_like(like)
    return (weights / weights.mean()).to(like)
