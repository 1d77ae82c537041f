"""OT-Flow: a normalising flow along the gradient of a potential, with the exact trace of its Hessian in closed form.

    s = (x, t),   Phi(s) = w . u1 + |A s|^2 / 2 + b . s + c,   u0 = sig(K0 s + b0),   u1 = u0 + sig(K1 u0 + b1)
    dx/dt = -grad_x Phi,   minimise  E[ L + alpha_C C + alpha_R R ]

with sig(a) = log(2 cosh a), the antiderivative of tanh; C minus the log density, L the integral of |v|^2 / 2, and R
that of the residual |-d_t Phi + |v|^2 / 2| of the Hamilton-Jacobi-Bellman equation. "OT-Flow: Fast and Accurate
Continuous Normalizing Flows via Optimal Transport" (Onken et al., 2021).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from brenier.baselines.concat_squash import uniform_part
from brenier.baselines.density_model import DensityModel, Stage
from brenier.baselines.model import MapModel
from brenier.baselines.normalising_flow import NormalisingFlow, PublishedSet
from brenier.baselines.ode import Solver
from brenier.baselines.ot_flow_settings import OT_FLOW_SETS, OTFlowSettings
from brenier.baselines.pair_task import PairSides


class OTFlowPotential(nn.Module):
    """Phi: R^{d+1} -> R, with r (d + 1) + (d + 2) + m + (d + 2) m + m^2 + m numbers, its gradient and trace by hand.

    Args:
        dim: d.
        width: m.
        rank: r, rows of A.
        generator: source of the weights.
    """

    def __init__(
        self,
        dim: int,
        width: int,
        rank: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, size = dim, dim + 1
        first, second = 1 / math.sqrt(size), 1 / math.sqrt(width)
        xavier = math.sqrt(6 / (rank + size))
        self.squares = uniform_part((rank, size), xavier, generator)  # A
        self.linear = nn.Parameter(torch.zeros(size))  # b
        self.constant = nn.Parameter(torch.zeros(1))  # c
        self.readout = nn.Parameter(torch.ones(width))  # w
        self.opening = uniform_part((width, size), first, generator)  # K0
        self.opening_bias = uniform_part((width,), first, generator)
        self.inner = uniform_part((width, width), second, generator)  # K1
        self.inner_bias = uniform_part((width,), second, generator)

    def forward(self, s: Tensor) -> Tensor:
        """Return Phi(s): (n, d + 1) -> (n,)."""
        u = log_cosh(torch.addmm(self.opening_bias, s, self.opening.mT))
        u = u + log_cosh(torch.addmm(self.inner_bias, u, self.inner.mT))
        squares = 0.5 * (s @ self.squares.mT).square().sum(1)
        return u @ self.readout + squares + s @ self.linear + self.constant

    def gradient(self, s: Tensor) -> Tensor:
        """Return grad Phi(s), with respect to x and t: (n, d + 1) -> (n, d + 1)."""
        gradient, *_ = self._gradient(s)
        return gradient

    def gradient_and_trace(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """Return grad Phi(s), (n, d + 1), and the trace of the Hessian with respect to x, (n,).

        Of a layer the trace is sum_i sig''(a_i) z_i |row i of the Jacobian of a|^2; that of the first is K0 for every
        row, that of the second K1 diag(tanh a0) K0.
        """
        gradient, first, second, through = self._gradient(s)
        ways = self.opening[:, : self.dim]  # of x alone
        lengths = ways.square().sum(1)
        trace = ((1 - first.square()) * through) @ lengths
        # As (n, d, m), so that it is one product of matrices, not one for every row.
        inner = (first[:, None, :] * ways.mT) @ self.inner.mT
        curved = (1 - second.square()) * self.readout
        trace = trace + torch.linalg.vecdot(curved, inner.square().sum(1))
        return gradient, trace + self.squares[:, : self.dim].square().sum()

    def _gradient(self, s: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the gradient, tanh of both layers, and the derivative of Phi in u0."""
        given = torch.addmm(self.opening_bias, s, self.opening.mT)
        first = torch.tanh(given)
        inner = torch.addmm(self.inner_bias, log_cosh(given), self.inner.mT)
        second = torch.tanh(inner)
        through = self.readout + (second * self.readout) @ self.inner
        gradient = (first * through) @ self.opening + self.linear
        gradient = gradient + (s @ self.squares.mT) @ self.squares
        return gradient, first, second, through


def log_cosh(a: Tensor) -> Tensor:
    """Return log(2 cosh a), whose derivative is tanh a."""
    # The threshold is where float64 tells no more; that of torch would lose some digits.
    return nn.functional.softplus(2 * a, threshold=40.0) - a


class PotentialStage(Stage):
    """dx/dt = -grad_x Phi(x, t), with its transport cost and the residual of its equation.

    Args:
        potential: Phi.
    """

    costs = 2

    def __init__(self, potential: OTFlowPotential) -> None:
        super().__init__()
        self.potential = potential
        self.entries = potential.dim * len(potential.readout)

    def velocity(self, t: float | Tensor, x: Tensor) -> Tensor:
        """Return -grad_x Phi(x, t): (n, d) -> (n, d)."""
        return -self.potential.gradient(at_time(x, t))[:, :-1]

    def rates(
        self, t: float | Tensor, rows: Tensor, probe: Tensor | None, costs: bool
    ) -> Tensor:
        """Return the rates of rows, of their log determinant and of both costs, as of every stage."""
        dim = self.potential.dim
        slope, trace = self.potential.gradient_and_trace(at_time(rows[:, :dim], t))
        along, in_time = slope[:, :dim], slope[:, dim]
        columns = [-trace]
        if costs:
            energy = 0.5 * along.square().sum(1)
            columns += [energy, (energy - in_time).abs()]
        return torch.cat([-along, torch.stack(columns, 1)], 1)


def at_time(x: Tensor, t: float | Tensor) -> Tensor:
    """Return rows (n, d) with the time as one more column: (n, d + 1)."""
    return torch.cat([x, torch.zeros_like(x[:, :1]) + t], 1)


class OTFlowModel(DensityModel):
    """A flow along the gradient of one potential.

    Args:
        dim: d.
        width: m, its units.
        rank: rows of A.
        largest_weight: to which every parameter is clamped.
        steps, rtol, atol: how maps and densities are solved, as in `ode.Solver`.
        generator: source of the weights.
    """

    def __init__(
        self,
        dim: int,
        *,
        width: int,
        rank: int,
        largest_weight: float,
        steps: int = 16,
        rtol: float | None = None,
        atol: float = 1e-8,
        generator: torch.Generator | None = None,
    ) -> None:
        potential = OTFlowPotential(dim, width, rank, generator)
        super().__init__(dim, [PotentialStage(potential)], Solver(steps, rtol, atol))
        self.width, self.rank, self.largest_weight = width, rank, largest_weight

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {
            "dim": self.dim,
            "width": self.width,
            "rank": self.rank,
            "largest_weight": self.largest_weight,
            "steps": self.solver.steps,
            "rtol": self.solver.rtol,
            "atol": self.solver.atol,
        }

    @torch.no_grad()
    def constrain(self) -> None:
        """Clamp every parameter."""
        for part in self.parameters():
            part.clamp_(-self.largest_weight, self.largest_weight)


class OTFlow(NormalisingFlow[OTFlowSettings]):
    """A normalising flow along the gradient of a potential, whose way is kept short: N(0, I) to data.

    "OT-Flow: Fast and Accurate Continuous Normalizing Flows via Optimal Transport" (Onken et al., 2021). Transport has
    weight one against hundreds for the likelihood: ways are nearly straight, but the map is optimal only in the limit.
    Its weights are clamped, so that it needs standardised data. Of X it takes mean and deviation of every feature.
    "published" are the settings of the nearest of the five published sets (`published_for` gives each); "fair" is a
    reduced network for CPUs, of 64 units.

    >>> import numpy as np
    >>> from brenier.baselines import OTFlow
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), 2 * rng.normal(size=(600, 2)) + 1
    >>> flow = OTFlow(max_steps=5, random_state=0).fit(X, Y)
    >>> flow.inverse_transform(Y).shape, flow.log_density(Y).shape
    ((600, 2), (600,))
    """

    model_class = OTFlowModel
    published_sets: ClassVar[Mapping[str, PublishedSet]] = OT_FLOW_SETS
    presets: ClassVar[Mapping[str, Any]] = {
        "published": OT_FLOW_SETS["power"].settings,
        "fair": OTFlowSettings(learning_rate=0.05, residual_weight=5.0),
    }

    def model(self, dim: int, generator: torch.Generator) -> OTFlowModel:
        """Return the untrained flow."""
        settings = self.settings_for(dim)
        solver = settings.map_solver()
        return OTFlowModel(
            dim,
            width=settings.width,
            rank=min(settings.largest_rank, dim + 1),
            largest_weight=settings.largest_weight,
            steps=solver.steps,
            rtol=solver.rtol,
            atol=solver.atol,
            generator=generator,
        )

    def prepare(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> None:
        """Say where the source is no normal law; clamp the weights."""
        super().prepare(model, sides, generator)
        model.constrain()
