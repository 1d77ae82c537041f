"""W2GN: two convex potentials, bound to each other by what is lost on the way there and back.

    min over psi, chi convex:  E_mu psi(x) + E_nu [ <y, h> - psi(h) ],  h = grad chi(y) held fixed,
                               + lambda ( E_nu |grad psi(grad chi(y)) - y|^2 + E_mu |grad chi(grad psi(x)) - x|^2 ) / d

"Wasserstein-2 Generative Networks" (Korotin et al., 2021).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from brenier.baselines.learned_settings import LearnedSettings, wrong_setting
from brenier.baselines.model import MapModel
from brenier.baselines.networks import frozen
from brenier.baselines.pair_task import PairSides, PairTask
from brenier.baselines.potential_pair import PotentialPair, PotentialPairBaseline


@dataclasses.dataclass(frozen=True, kw_only=True)
class CycleSettings(LearnedSettings):
    """How two potentials are trained together.

    Attributes:
        cycle_weight: lambda, of the mean squares over rows and features; None for the number of features.
    """

    cycle_weight: float | None = None

    def check(self) -> None:
        """Raise a DataError for the first field that no fit would take."""
        super().check()
        if self.cycle_weight is not None and not self.cycle_weight > 0:
            raise wrong_setting("cycle_weight", "must be positive", self.cycle_weight)


class CycleTask(PairTask):
    """Both potentials at once: one by the dual and the round trips, the other by the round trips alone.

    Args:
        model: both potentials.
        sides, generator: as for every task.
        settings: the weight of the round trips.
    """

    model: PotentialPair

    def __init__(
        self,
        model: MapModel,
        sides: PairSides,
        generator: torch.Generator,
        settings: CycleSettings,
    ) -> None:
        super().__init__(model, sides, generator)
        weight = settings.cycle_weight
        self.weight = model.dim if weight is None else weight

    def loss(self, rows: int) -> Tensor:
        """Return the dual and what the round trips of a batch lose."""
        x, y = self.draw_source(rows), self.draw_target(rows)
        return self.dual(x, y) + self.weight * self.round_trips(x, y)

    def dual(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the dual's value on rows (n, d), (m, d), whose graph holds psi alone."""
        psi, chi = self.model.ahead, self.model.back
        with frozen(chi):
            h = chi.gradient(y)
        return psi(x).mean() + torch.linalg.vecdot(h, y).mean() - psi(h).mean()

    def round_trips(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the mean squares of what round trips from either side lose, over rows and features."""
        psi, chi = self.model.ahead, self.model.back
        from_target = psi.gradient(chi.gradient(y)) - y
        from_source = chi.gradient(psi.gradient(x)) - x
        return from_target.square().mean() + from_source.square().mean()


class W2GN(PotentialPairBaseline[CycleSettings]):
    """Two convex potentials without a maximin problem: cycle regularisation makes them conjugate.

    "Wasserstein-2 Generative Networks" (Korotin et al., 2021). The forward map is the gradient of one potential, the
    inverse that of the other. It trains steadily, since nothing is maximised; but the regularisation moves the optimum,
    weights at zero or above represent few convex functions, and second derivatives of networks make steps slow.

    >>> import numpy as np
    >>> from brenier.baselines import W2GN
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), 2 * rng.normal(size=(600, 2)) + 1
    >>> W2GN(max_steps=20, random_state=0).fit(X, Y).inverse_transform(Y).shape
    (600, 2)
    """

    presets: ClassVar[Mapping[str, Any]] = {
        # As run in "Do Neural Optimal Transport Solvers Work?" (Korotin et al., 2021), notebooks.
        "published": CycleSettings(
            batch_size=1024,
            final_rate=1.0,
            max_steps=250_000,
            coordinates="data",
            max_rollbacks=1,
            evaluate_every=1000,
        ),
        # Of the rates .001, .003 and .01 the one with the least dual on mixtures in the plane.
        "fair": CycleSettings(learning_rate=3e-3),
    }

    def convex(self) -> bool:
        """Return that the potentials are kept convex."""
        return True

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> CycleTask:
        """Return the task that trains the potentials."""
        return CycleTask(model, sides, generator, self.chosen_settings())
