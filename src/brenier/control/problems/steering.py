"""The Hamiltonian of bicycles: not convex in the steering angle, so that its minimiser jumps."""

from __future__ import annotations

import dataclasses
import functools
import math

import torch
from torch import Tensor

from brenier.control.hamiltonian import DiagonalHamiltonian
from brenier.control.problem import Bounds


@dataclasses.dataclass(frozen=True)
class BicycleHamiltonian(DiagonalHamiltonian):
    """delta^2 / 2 + q tan(delta) + a^2 / 2 + p_v a, summed over agents, with q = p_theta v / wheelbase.

    The acceleration is explicit, a = -p_v. In delta there is a stationary point inside (-pi/2, pi/2) only for |q| of
    at most 0.411949, the largest value of delta cos^2(delta), reached at delta = 0.653271. Up to there `exact`
    follows the stationary point that starts from delta = 0 at q = 0, a local minimum; beyond, it gives the bound that
    H falls towards. That is what a descent from delta = 0 finds, and it is smooth in p up to the fold. Where the
    bound on delta is 0.653271 or less, it is continuous in p everywhere and the global minimiser too. With a wider
    bound, tan is so large there that H is lowest at the bound already for smaller |q| (from 0.24 on for pi/2 - 0.25).
    `global_minimiser` gives that, at the price of a policy that jumps earlier and then steers as hard as it can.

    Attributes:
        pulled: q and p_v, agent by agent: (n, 2 N), also f_u' p at delta = 0.
        largest: bound on |delta|, less than pi/2.
    """

    pulled: Tensor
    largest: float

    @property
    def bounds(self) -> Bounds:  # type: ignore[override]
        """The bound on delta of each agent: (2 N,)."""
        return steering_bounds(self.pulled, self.largest)

    def value(self, u: Tensor) -> Tensor:
        """Return H up to a constant of each row: (n,)."""
        return (u.square() / 2 + self.pulled * self._bent(u)).sum(-1)

    def gradient(self, u: Tensor) -> Tensor:
        """Return grad_u H: (n, 2 N)."""
        slopes = torch.where(self._steers(u), u.cos().square().reciprocal(), 1.0)
        return u + self.pulled * slopes

    @torch.no_grad()
    def diagonal(self, u: Tensor) -> Tensor:
        """Return the second derivatives, one for each control: (n, 2 N)."""
        bends = 2 * u.tan() / u.cos().square()
        return 1 + self.pulled * torch.where(self._steers(u), bends, 0.0)

    def rows(self, index: Tensor) -> BicycleHamiltonian:
        """Return the Hamiltonians of the rows in index."""
        return BicycleHamiltonian(self.pulled[index], self.largest)

    def detached(self) -> BicycleHamiltonian:
        """Return the same without a graph."""
        return BicycleHamiltonian(self.pulled.detach(), self.largest)

    @functools.cached_property
    def scale(self) -> Tensor:  # type: ignore[override]
        """1 + |f_u' p| at delta = 0: (n,)."""
        return 1 + torch.linalg.vector_norm(self.pulled.detach(), dim=-1)

    @torch.no_grad()
    def exact(self) -> Tensor:
        """Return the controls that continuation from delta = 0 finds: (n, 2 N)."""
        pulled = self.pulled.detach()
        steers = nearest_steering(pulled[..., ::2], self.largest)
        return torch.stack([steers, -pulled[..., 1::2]], -1).flatten(-2)

    @torch.no_grad()
    def global_minimiser(self) -> Tensor:
        """Return the controls with the lowest H within the bounds: (n, 2 N)."""
        near = self.exact()
        q = self.pulled.detach()
        hard = torch.where(self._steers(q), -q.sign() * self.largest, near)
        lower = [u.square() / 2 + q * self._bent(u) for u in (hard, near)]
        return torch.where(lower[0] < lower[1], hard, near)

    def _bent(self, u: Tensor) -> Tensor:
        """Return tan(delta) and a: (n, 2 N)."""
        return torch.where(self._steers(u), u.tan(), u)

    @staticmethod
    def _steers(u: Tensor) -> Tensor:
        """Return which controls are steering angles: (m,)."""
        return torch.arange(u.shape[-1], device=u.device) % 2 == 0


def steering_bounds(like: Tensor, largest: float) -> Bounds:
    """Return bounds on delta and none on a, for controls of this shape (n, 2 N): (2 N,) each."""
    pairs = like.new_tensor([largest, math.inf]).repeat(like.shape[-1] // 2)
    return Bounds(-pairs, pairs)


@torch.no_grad()
def nearest_steering(q: Tensor, largest: float) -> Tensor:
    """Return delta in [-largest, largest], the minimum of delta^2 / 2 + q tan(delta) found from delta = 0: q's shape.

    With s = |delta|, it is the smaller root of s cos^2(s) = |q|. Where there is no root, it is the bound.
    """
    fold = 0.6532711870944031  # 2 s tan(s) = 1
    top = min(largest, fold)
    size = q.abs()
    s = size.clamp(max=top)
    # From the left of a root of a concave function, Newton's steps go up to it and never past it.
    for _ in range(60):
        cosine = s.cos()
        slope = cosine.square() - s * torch.sin(2 * s)
        step = (size - s * cosine.square()) / slope.clamp(min=1e-12)
        new = (s + step).clamp(0, top)
        if torch.equal(new, s):
            break
        s = new
    runs_away = size > top * math.cos(top) ** 2
    return -q.sign() * torch.where(runs_away, largest, s)
