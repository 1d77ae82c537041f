"""Entropic plans of few rows: the temperature that serves rows left out best, and the potential of a fit at it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.estimators.options import Options
from brenier.estimators.rivals import Rival, best_of, judged
from brenier.estimators.settings import FitSettings
from brenier.potentials import EntropicPotential
from brenier.statistics import (
    SinkhornSettings,
    Weighted,
    as_weighted,
    entropic_plan,
    entropic_self_potential,
    weighted_mean,
)
from brenier.transport.dual import MemberSamples


class AnnealedPlan:
    """The entropic plan between some rows, and of the source to itself, at falling temperatures.

    Args:
        u, w: (n, d), (m, d), in the coordinates; their weights are the marginals.
        settings: how potentials are found.
    """

    def __init__(
        self, u: Tensor | Weighted, w: Tensor | Weighted, settings: SinkhornSettings
    ) -> None:
        of_u, of_w = as_weighted(u), as_weighted(w)
        self.rows = of_u.rows.cpu().double(), of_w.rows.cpu().double()
        self.weights = of_u.weights, of_w.weights
        self.settings = settings
        self._costs = [0.5 * torch.cdist(self.rows[0], side) ** 2 for side in self.rows]
        self._self: Tensor | None = None
        self._target: Tensor | None = None

    def mean_cost(self) -> float:
        """Return the mean cost between a row of either side."""
        of_u, of_w = self.weights
        if of_u is None and of_w is None:
            return float(self._costs[1].mean())
        return float(weighted_mean(weighted_mean(self._costs[1], of_u), of_w))

    def potential(self, temperature: float) -> EntropicPotential:
        """Return the potential at a temperature, found from that of the temperature before; float64, on the CPU."""
        own, between = self._costs
        self._self = entropic_self_potential(
            own, temperature, self._self, self.settings, self.weights[0]
        )
        plan = entropic_plan(
            between, temperature, self._target, self.settings, self.weights
        )
        self._target = plan.target
        u, w = self.rows
        return EntropicPotential.of_potentials(
            (u, self._self), (w, self._target), temperature
        )


class CrossFittedPlan(NamedTuple):
    """The entropic plans of all folds at falling temperatures, judged by the rows left out.

    Attributes:
        temperatures: those that were tried.
        rivals: the plans at each.
    """

    temperatures: Sequence[float]
    rivals: Sequence[Rival]

    def best(self) -> Rival:
        """Return the plans at the temperature with the least J."""
        return best_of(self.rivals)

    def sharpest(self, most: float) -> Rival | None:
        """Return the plans at the lowest temperature whose J is no more than this, or None."""
        near = [rival for rival in self.rivals if rival.loss <= most]
        return near[-1] if near else None

    def up_to(self, rival: Rival) -> Sequence[float]:
        """Return the temperatures that led to some of the plans."""
        return self.temperatures[: self.rivals.index(rival) + 1]


def cross_fitted_plan(
    folds: Sequence[tuple[Tensor | Weighted, Tensor | Weighted]],
    samples: Sequence[MemberSamples],
    tol: float,
    options: Options,
) -> CrossFittedPlan | None:
    """Return plans at falling temperatures, or None where there is nothing to move.

    They fall until some in a row were worse than the best, beyond noise and by more than sharpness is worth.

    Args:
        folds: u (n, d) and w (m, d) of every fold, those that it is fitted to.
        samples: of every fold, with the rows that it left out.
        tol: bound on the inner residual.
        options: which temperatures are tried, how potentials are found, and J with its inner solver.
    """
    settings, sinkhorn = options.settings.entropic, options.settings.sinkhorn
    most = settings.entropic_rows
    plans = [AnnealedPlan(u[:most], w[:most], sinkhorn) for u, w in folds]
    unit = plans[0].mean_cost()
    if not unit > 0:  # all rows of both sides are one point
        return None
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
        rivals.append(judged("plan", potentials, samples, options.objective, tol))
        best = best_of(rivals)
        too_late = rivals[-1].behind(best) > settings.choice_errors
        too_late &= rivals[-1].loss > settings.worth(best.loss, like.shape[1])
        worse = worse + 1 if too_late else 0
        if worse == settings.worse_temperatures:
            break
    return CrossFittedPlan(tried, rivals)


def annealed_potential(
    rows: tuple[Tensor | Weighted, Tensor | Weighted],
    temperatures: Sequence[float],
    settings: FitSettings,
) -> EntropicPotential:
    """Return the potential of the plan between rows u (n, d) and w (m, d) at the last of some falling temperatures."""
    u, w = (side[: settings.entropic.entropic_rows] for side in rows)
    plan = AnnealedPlan(u, w, settings.sinkhorn)
    found = [plan.potential(temperature) for temperature in temperatures][-1]
    return found.to(as_weighted(u).rows).eval().requires_grad_(False)
