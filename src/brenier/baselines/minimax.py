"""Maximin methods between a potential and a map: MM, MM:R and their convex sister, MMv2.

    min over psi, max over H:  E_mu psi(x) + E_nu [ <H(y), y> - psi(H(y)) ],   T = grad psi,   T^-1 = H = grad chi

"Do Neural Optimal Transport Solvers Work? A Continuous Wasserstein-2 Benchmark" (Korotin et al., 2021), section 3;
"Optimal transport mapping via input convex neural networks" (Makkuva et al., 2020) for the convex one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.model import MapModel
from brenier.baselines.networks import frozen
from brenier.baselines.pair_task import PairSides, PairTask
from brenier.baselines.potential_pair import PotentialPair, PotentialPairBaseline


@dataclasses.dataclass(frozen=True, kw_only=True)
class MinimaxSettings(LearnedSettings):
    """How a potential and a map are trained against each other.

    Attributes:
        inner_steps: steps of the map for every step of the potential.
        convex: whether weights are kept at zero or above (MMv2).
        reversed_roles: whether the outer potential lies on the target side, and the forward map is the inner one.
    """

    inner_steps: int = 15
    convex: bool = False
    reversed_roles: bool = False


class MinimaxTask(PairTask):
    """Some steps of the inner map for one of the outer potential.

    Args:
        model: both potentials.
        sides, generator: as for every task.
        settings: the roles and the steps.
    """

    model: PotentialPair

    def __init__(
        self,
        model: MapModel,
        sides: PairSides,
        generator: torch.Generator,
        settings: MinimaxSettings,
    ) -> None:
        super().__init__(model, sides, generator)
        self.settings = settings

    def loss(self, rows: int) -> Tensor:
        """Return the loss of the network whose turn it is."""
        swap = self.settings.reversed_roles
        outer, inner = self.model.ahead, self.model.back
        draw, draw_inner = self.draw_source, self.draw_target
        if swap:
            outer, inner = inner, outer
            draw, draw_inner = draw_inner, draw
        y = draw_inner(rows)
        if self.taken % (self.settings.inner_steps + 1) < self.settings.inner_steps:
            with frozen(outer):
                h = inner.gradient(y)
                return (outer(h) - torch.linalg.vecdot(h, y)).mean()
        with torch.no_grad():
            h = inner.gradient(y)
        return outer(draw(rows)).mean() - outer(h).mean()


PUBLISHED_MM = MinimaxSettings(
    batch_size=1024,
    final_rate=1.0,
    max_steps=50_000 * 16,
    coordinates="data",
    max_rollbacks=1,
    evaluate_every=1600,
)


# Of rates 1e-3, 3e-3 and 1e-2 with 15 or 8 inner steps these left the least energy distance of moved rows on a mixture.
FAIR_MM = MinimaxSettings(learning_rate=3e-3, inner_steps=8)


class MM(PotentialPairBaseline[MinimaxSettings]):
    """The maximin method: a potential of the source against a map of the target, neither of them convex.

    "Do Neural Optimal Transport Solvers Work?" (Korotin et al., 2021), MM. The forward map is the gradient of the outer
    potential, the inverse that of the inner one, which need not be inverses of each other.

    >>> import numpy as np
    >>> from brenier.baselines import MM
    >>> rng = np.random.default_rng(0)
    >>> X, Y = rng.normal(size=(500, 2)), 2 * rng.normal(size=(600, 2)) + 1
    >>> MM(max_steps=160, random_state=0).fit(X, Y).transform(X).shape
    (500, 2)
    """

    presets: ClassVar[Mapping[str, Any]] = {
        "published": PUBLISHED_MM,
        "fair": FAIR_MM,
    }

    def convex(self) -> bool:
        """Return whether the potentials are kept convex."""
        return self.chosen_settings().convex

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> MinimaxTask:
        """Return the task that trains the potentials."""
        return MinimaxTask(model, sides, generator, self.chosen_settings())


class MMReversed(MM):
    """MM with the roles of both sides exchanged (MM:R): the forward map is the inner one.

    "Do Neural Optimal Transport Solvers Work?" (Korotin et al., 2021), MM:R. Often the better forward map in few
    dimensions, and the one that diverges in many.
    """

    presets: ClassVar[Mapping[str, Any]] = {
        "published": dataclasses.replace(PUBLISHED_MM, reversed_roles=True),
        "fair": dataclasses.replace(FAIR_MM, reversed_roles=True),
    }


class MMConvex(MM):
    """MM with convex potentials (MMv2): their weights are kept at zero or above.

    "Optimal transport mapping via input convex neural networks" (Makkuva et al., 2020).
    """

    presets: ClassVar[Mapping[str, Any]] = {
        "published": dataclasses.replace(PUBLISHED_MM, convex=True),
        "fair": dataclasses.replace(FAIR_MM, convex=True),
    }
