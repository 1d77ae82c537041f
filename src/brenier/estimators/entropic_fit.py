"""Entropic plans of few rows: the temperature that serves rows left out best, and the potential of a fit at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.estimators.rivals import Rival, best_of, judged
from brenier.estimators.settings import EntropicSettings
from brenier.potentials import EntropicPotential
from brenier.statistics import (
    SinkhornSettings,
    entropic_plan,
    entropic_self_potential,
)
from brenier.transport.dual import DualObjective, MemberSamples


class AnnealedPlan:
    """The entropic plan between some rows, and of the source to itself, at falling temperatures.

    Args:
        u, w: (n, d), (m, d), in the coordinates.
        settings: how potentials are found.
    """

    def __init__(self, u: Tensor, w: Tensor, settings: SinkhornSettings) -> None:
        self.rows = u.cpu().double(), w.cpu().double()
        self.settings = settings
        self._costs = [0.5 * torch.cdist(self.rows[0], side) ** 2 for side in self.rows]
        self._self: Tensor | None = None
        self._target: Tensor | None = None

    def mean_cost(self) -> float:
        """Return the mean cost between a row of either side."""
        return float(self._costs[1].mean())

    def potential(self, temperature: float) -> EntropicPotential:
        """Return the potential at a temperature, found from that of the temperature before; float64, on the CPU."""
        own, between = self._costs
        self._self = entropic_self_potential(
            own, temperature, self._self, self.settings
        )
        plan = entropic_plan(between, temperature, self._target, self.settings)
        self._target = plan.target
        u, w = self.rows
        return EntropicPotential.of_potentials(
            (u, self._self), (w, self._target), temperature
        )


class CrossFittedPlan(NamedTuple):
    """The entropic plans of all folds at one temperature, and the falling temperatures that led to it."""

    rival: Rival
    temperatures: Sequence[float]


def cross_fitted_plan(
    folds: Sequence[tuple[Tensor, Tensor]],
    samples: Sequence[MemberSamples],
    objective: DualObjective,
    tol: float,
    settings: EntropicSettings,
    sinkhorn: SinkhornSettings,
) -> CrossFittedPlan:
    """Return the plans at the temperature that serves the rows left out best.

    Temperatures fall until some in a row were worse than the best, beyond noise.

    Args:
        folds: u (n, d) and w (m, d) of every fold, those that it is fitted to.
        samples: of every fold, with the rows that it left out.
        objective: J and its inner solver.
        tol: bound on the inner residual.
        settings: which temperatures are tried.
        sinkhorn: how potentials are found.
    """
    plans = [AnnealedPlan(u, w, sinkhorn) for u, w in folds]
    unit = plans[0].mean_cost()
    like = samples[0].held_out[0]
    tried: list[float] = []
    rivals: list[Rival] = []
    worse = 0
    for k in range(settings.entropic_temperatures):
        tried.append(settings.largest_entropic_temperature * unit * 0.5**k)
        potentials = [
            plan.potential(tried[-1]).to(like).eval().requires_grad_(False)
            for plan in plans
        ]
        rivals.append(judged("plan", potentials, samples, objective, tol))
        least = min(rivals, key=lambda rival: rival.loss)
        behind = rivals[-1].behind(least)
        worse = worse + 1 if behind > settings.choice_errors else 0
        if worse == settings.worse_temperatures:
            break
    best = best_of(rivals, settings.choice_errors)
    return CrossFittedPlan(best, tried[: rivals.index(best) + 1])


def annealed_potential(
    u: Tensor, w: Tensor, temperatures: Sequence[float], sinkhorn: SinkhornSettings
) -> EntropicPotential:
    """Return the potential of the plan between rows u (n, d) and w (m, d) at the last of some falling temperatures."""
    plan = AnnealedPlan(u, w, sinkhorn)
    found = [plan.potential(temperature) for temperature in temperatures][-1]
    return found.to(u).eval().requires_grad_(False)
