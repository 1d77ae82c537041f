"""A map as a perceptron of rows, and of noise where so told, beside the dual potential that trains it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from brenier.baselines.model import MapModel
from brenier.baselines.networks import Perceptron


class GuidedMap(MapModel):
    """A map of rows, and of noise where so told, beside the dual potential that trains it.

    Args:
        dim: d.
        hidden: units of the layers of either network.
        activation: between them.
        noise: whether the map takes noise.
        draws: rows of noise that are kept for moving rows: the i-th row of a batch gets the i-th of them, and so on
            round and round, so that what is moved is the same every time.
        generator: source of the initial weights, and of this noise.
    """

    def __init__(
        self,
        dim: int,
        *,
        hidden: Sequence[int] = (256, 256, 256),
        activation: str = "relu",
        noise: bool = False,
        draws: int = 4096,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.hidden, self.activation = dim, tuple(hidden), activation
        self.noise, self.draws = noise, draws
        inward = 2 * dim if noise else dim
        self.ahead = Perceptron((inward, *self.hidden, dim), activation, generator)
        self.potential = Perceptron((dim, *self.hidden, 1), activation, generator)
        kept = torch.randn(draws if noise else 0, dim, generator=generator)
        self.register_buffer("kept_noise", kept)
        self.kept_noise: Tensor

    def moved(self, x: Tensor) -> Tensor:
        """Return the forward map of rows, with the noise that is kept: (n, d) -> (n, d)."""
        if not self.noise:
            return self.moved_by(x, None)
        round_and_round = torch.arange(len(x), device=x.device) % self.draws
        return self.moved_by(x, self.kept_noise[round_and_round])

    def moved_by(self, x: Tensor, noise: Tensor | None) -> Tensor:
        """Return the map of rows (n, d) with noise (n, d), or None where it takes none: (n, d)."""
        given = x if noise is None else torch.cat([x, noise], -1)
        found: Tensor = self.ahead(given)
        return found

    def value(self, z: Tensor) -> Tensor:
        """Return the dual potential f of rows: (n, d) -> (n,)."""
        found: Tensor = self.potential(z).squeeze(-1)
        return found

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as JSON can hold them."""
        return {
            "dim": self.dim,
            "hidden": list(self.hidden),
            "activation": self.activation,
            "noise": self.noise,
            "draws": self.draws,
        }
