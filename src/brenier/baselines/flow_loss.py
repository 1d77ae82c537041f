"""Hamilton-Jacobi characteristics: a potential u(x, t), the maps it gives both ways, and the loss that trains it.

"Neural Hamilton-Jacobi Characteristic Flows for Optimal Transport" (Park, Liu, Zhou and Osher, 2025, arXiv 2510.01153).
With a cost c(x, z) = h(z - x) and time from 0 to 1, mass moves along the characteristics of

    u_t + h*(grad u) = 0,

straight lines on which grad u does not change. With v(x, t) = grad h*(grad u(x, t)), the velocity,

    forward    F(x) = x + v(x, 0)
    backward   B(z) = z - v(z, 1)
    between    x_t = x + t v(x, 0)

Along the line through (x, t) u grows by t (p . v - h*(p)) with p = grad u(x, t), which is t h(v), since h* is the
conjugate of h. So the solution with the values u(., 0) at time 0 has no residual

    r(x, t) = u(x, t) - t h(v(x, t)) - u(x - t v(x, t), 0)

("Neural Implicit Solution Formula for Hamilton-Jacobi Equations", Park and Osher, 2025, arXiv 2501.19351). The loss is

    E r(x, t)^2 + energy_weight * (2 E|F(X) - Y| - E|F(X) - F(X')| - E|Y - Y'|)

where (x, t) cover the region that mass moves through, and the second term is the energy distance of the moved source to
the target, its mean over classes where there are any.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from brenier.baselines.flow_network import Jet, SavedTensors
from brenier.transport.costs import Cost, conjugate_value

RESIDUALS = ("characteristics", "equation", "none")


class TimePotential(Protocol):
    """A function u(x, t) with its derivatives."""

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """Return u(x, t): (n, d), (n,) -> (n,)."""
        ...

    def jet(self, x: Tensor, t: Tensor) -> Jet:
        """Return u with its derivatives."""
        ...


def velocity(u: TimePotential, cost: Cost, x: Tensor, t: Tensor) -> Tensor:
    """Return v(x, t) = grad h*(grad u(x, t)): (n, d), (n,) -> (n, d)."""
    return cost.conjugate_gradient(u.jet(x, t).gradient)


def forward_map(u: TimePotential, cost: Cost, x: Tensor) -> Tensor:
    """Return F(x): (n, d) -> (n, d)."""
    return x + velocity(u, cost, x, x.new_zeros(len(x)))


def backward_map(u: TimePotential, cost: Cost, z: Tensor) -> Tensor:
    """Return B(z): (n, d) -> (n, d)."""
    return z - velocity(u, cost, z, z.new_ones(len(z)))


def residuals(
    u: TimePotential,
    cost: Cost,
    x: Tensor,
    t: Tensor,
    jet: Jet | None = None,
    kind: str = "characteristics",
) -> Tensor:
    """Return what of the Hamilton-Jacobi formula does not hold at some points: (n, d), (n,) -> (n,).

    Args:
        u: the potential.
        cost: h.
        x, t: the points.
        jet: of u there, if it is known.
        kind: "characteristics", the formula above, or "equation", u_t + h*(grad u), as a physics-informed network has
            it.
    """
    jet = u.jet(x, t) if jet is None else jet
    if kind == "equation":
        return jet.speed + conjugate_value(cost, jet.gradient)
    v = cost.conjugate_gradient(jet.gradient)
    start = x - t.unsqueeze(-1) * v
    return jet.value - t * cost.value(v) - u(start, torch.zeros_like(t))


class EnergyTerms(NamedTuple):
    """The parts of an energy distance row by row, of which the noise can be told.

    Attributes:
        value: 2 E|a - b| - E|a - a'| - E|b - b'|, without bias.
        of_first: (n,), what each row of the first sample adds; half the mean of both is half the value.
        of_second: (m,), likewise.
        chance: standard deviation of the value where both laws are equal.
    """

    value: float
    of_first: Tensor
    of_second: Tensor
    chance: float


def moved_energy(moved: Tensor, target: Tensor) -> Tensor:
    """Return 2 E|a - b| - E|a - a'| of moved rows a (n, d) and target rows b (m, d), differentiable in a.

    That is the energy distance but for a term of the target alone; the mean over pairs a, a' of different rows has no
    bias. Where rows coincide their distance counts for nothing in the derivative.
    """
    return _MovedEnergy.apply(moved, target)


def mean_distance(rows: Tensor) -> Tensor:
    """Return E|b - b'| over pairs of different rows (m, d)."""
    n = len(rows)
    return _distances(rows, rows).sum() / (n * (n - 1))


def energy_terms(moved: Tensor, target: Tensor) -> EnergyTerms:
    """Return the energy distance of two samples (n, d), (m, d), more than one row each, and its noise."""
    n, m = len(moved), len(target)
    across = _distances(moved, target)
    within = _distances(moved, moved).sum(1) / (n - 1)
    own = _distances(target, target)
    among = own.sum(1) / (m - 1)
    value = float(2 * across.mean() - within.mean() - among.mean())
    # The kernel of the target, centred both ways: its square gives the noise under equal laws.
    centred = own - among[:, None] - among + among.mean()
    centred.fill_diagonal_(0.0)
    spread = float(centred.square().sum() / (m * (m - 1)))
    chance = (2 * spread) ** 0.5 * (1 / n + 1 / m)
    of_first = 2 * (across.mean(1) - within) - value / 2
    of_second = 2 * (across.mean(0) - among) - value / 2
    return EnergyTerms(value, of_first, of_second, chance)


class _MovedEnergy(torch.autograd.Function):
    """The value and its derivative at once, by products of matrices."""

    @staticmethod
    def forward(ctx: FunctionCtx, moved: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        n, m = len(moved), len(target)
        across, within = _distances(moved, target), _distances(moved, moved)
        value = 2 * across.mean() - within.sum() / (n * (n - 1))
        first, second = _reciprocals(across), _reciprocals(within)
        first *= 2 / (n * m)
        second *= 2 / (n * (n - 1))
        slope = moved * (first.sum(1) - second.sum(1)).unsqueeze(-1)
        slope.addmm_(first, target, alpha=-1).addmm_(second, moved)
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: SavedTensors, of_value: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (slope,) = ctx.saved_tensors
        return of_value * slope, None


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Return |a_i - b_j|: (n, m), zero on the diagonal where both are the same rows."""
    few = a.shape[1] <= 8  # then differences are as fast as products, and more exact
    mode = "donot_use_mm_for_euclid_dist" if few else "use_mm_for_euclid_dist"
    found = torch.cdist(a, b, compute_mode=mode)
    return found.fill_diagonal_(0.0) if a is b else found


def _reciprocals(distances: Tensor) -> Tensor:
    """Return one over every distance, zero where it is zero; in place."""
    return distances.reciprocal_().nan_to_num_(posinf=0.0)
