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

from brenier.baselines.identity_start import bring_to_identity
from brenier.baselines.learned import LearnedBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.model import MapModel
from brenier.baselines.networks import DenseSquares, frozen
from brenier.baselines.pair_task import PairSides, PairTask


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


class PotentialPair(MapModel):
    """Two potentials, whose gradients are the forward and the inverse map.

    Args:
        dim: d.
        convex: whether their weights are kept at zero or above.
        generator: source of the initial weights.
    """

    def __init__(
        self,
        dim: int,
        *,
        convex: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.convex = dim, convex
        self.ahead = DenseSquares(dim, generator=generator)
        self.back = DenseSquares(dim, generator=generator)

    def moved(self, x: Tensor) -> Tensor:
        """Return grad psi(x): (n, d) -> (n, d)."""
        return self.ahead.gradient(x)

    def returned(self, z: Tensor) -> Tensor:
        """Return grad chi(z): (n, d) -> (n, d)."""
        return self.back.gradient(z)

    def constrain(self) -> None:
        """Clamp the weights of convex potentials."""
        if self.convex:
            self.ahead.clamp_()
            self.back.clamp_()

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {"dim": self.dim, "convex": self.convex}

    def start_at_identity(self, sides: PairSides, generator: torch.Generator) -> None:
        """Bring both maps near the identity where the data lie: the first is trained, the second a copy of it."""
        self.constrain()
        rows = sides.known[0]
        bring_to_identity(
            self.ahead.gradient,
            self.ahead,
            rows,
            generator,
            self.constrain,
            sides.spent,
        )
        self.back.load_state_dict(self.ahead.state_dict())


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


class MM(LearnedBaseline[MinimaxSettings]):
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

    model_class = PotentialPair
    presets: ClassVar[Mapping[str, Any]] = {
        "published": PUBLISHED_MM,
        "fair": MinimaxSettings(),
    }

    def model(self, dim: int, generator: torch.Generator) -> PotentialPair:
        """Return the untrained potentials."""
        convex = self.chosen_settings().convex
        return PotentialPair(dim, convex=convex, generator=generator)

    def prepare(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> None:
        """Bring both maps near the identity."""
        if isinstance(model, PotentialPair):
            model.start_at_identity(sides, generator)

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
        "fair": MinimaxSettings(reversed_roles=True),
    }


class MMConvex(MM):
    """MM with convex potentials (MMv2): their weights are kept at zero or above.

    "Optimal transport mapping via input convex neural networks" (Makkuva et al., 2020).
    """

    presets: ClassVar[Mapping[str, Any]] = {
        "published": dataclasses.replace(PUBLISHED_MM, convex=True),
        "fair": MinimaxSettings(convex=True),
    }
