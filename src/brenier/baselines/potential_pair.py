"""Two potentials whose gradients are the forward and the inverse map, and what estimators of such pairs share."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from brenier.baselines.identity_start import bring_to_identity
from brenier.baselines.learned import LearnedBaseline, SettingsKind
from brenier.baselines.model import MapModel
from brenier.baselines.networks import DenseSquares
from brenier.baselines.pair_task import PairSides


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


class PotentialPairBaseline(LearnedBaseline[SettingsKind]):
    """An estimator of a pair of potentials, which starts with both maps near the identity.

    A subclass writes `task`, and `convex` where the potentials are kept so.
    """

    model_class: ClassVar[type[MapModel]] = PotentialPair

    def convex(self) -> bool:
        """Return whether the potentials are kept convex."""
        return False

    def model(self, dim: int, generator: torch.Generator) -> MapModel:
        """Return the untrained potentials."""
        return PotentialPair(dim, convex=self.convex(), generator=generator)

    def prepare(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> None:
        """Bring both maps near the identity."""
        if isinstance(model, PotentialPair):
            model.start_at_identity(sides, generator)
