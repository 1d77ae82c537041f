"""Regularised duals: the penalty on pairs whose dual constraint is broken, and the plan that its slope is.

    min over psi, chi:  E_mu psi(x) + E_nu chi(y) + E_{mu x nu} P(s),   s = <x, y> - psi(x) - chi(y)

At the optimum h = P'(s) is the density of the regularised plan with respect to the product of both laws. From it comes
the barycentric map f(x) = E_nu[h y] / E_nu[h], where E h |y - f(x)|^2 is least.

"Large-Scale Optimal Transport and Mapping Estimation" (Seguy et al., 2018).
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

PENALTIES = ("quadratic", "entropic")


@dataclasses.dataclass(frozen=True)
class Penalty:
    """P: quadratic, relu(s)^2 / (4 epsilon), or entropic, epsilon exp(s / epsilon).

    Attributes:
        kind: "quadratic" or "entropic".
        epsilon: of the regularisation, in squared units of the coordinates.
        largest_exponent: where the exponential goes on as a straight line, so that neither it nor the square of its
            slope, which Adam keeps, overflows single precision.
    """

    kind: str
    epsilon: float
    largest_exponent: float = 40.0

    def __call__(self, s: Tensor) -> Tensor:
        """Return P(s), element by element."""
        if self.kind == "quadratic":
            return s.relu().square() / (4 * self.epsilon)
        exponent = s / self.epsilon
        beyond = (exponent - self.largest_exponent).relu()
        held = exponent.clamp(max=self.largest_exponent)
        return self.epsilon * held.exp() * (1 + beyond)

    def density(self, s: Tensor) -> Tensor:
        """Return P'(s), element by element."""
        if self.kind == "quadratic":
            return s.relu() / (2 * self.epsilon)
        return (s / self.epsilon).clamp(max=self.largest_exponent).exp()


def slacks(x: Tensor, y: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return s of all pairs: of x (n, d), y (m, d), u = psi(x) (n,), v = chi(y) (m,) -> (n, m)."""
    return x @ y.mT - u.unsqueeze(1) - v.unsqueeze(0)


def barycentric_loss(density: Tensor, f: Tensor, y: Tensor) -> Tensor:
    """Return the mean over all pairs of density_ij |y_j - f_i|^2, without forming the differences.

    Args:
        density: (n, m).
        f: rows (n, d), whose gradient is wanted.
        y: rows (m, d).
    """
    pulled = density @ y / len(y)
    own = density.mean(1) * f.square().sum(-1)
    constant = density.mean(0) * y.square().sum(-1)
    return (own - 2 * torch.linalg.vecdot(f, pulled)).mean() + constant.mean()
