"""Coordinates of conditioned points, affine ones of its own for every row."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from brenier.transport.coordinates.affine import Coordinates

GATHERED = 2**22  # numbers in memory at once, where every row has a matrix of its own


@dataclasses.dataclass(frozen=True)
class RowCoordinates(Coordinates):
    """Coordinates of conditioned points s = [u; c]: every row has affine ones of its own, and keeps its code.

    Attributes:
        code: (n, c).
    """

    code: Tensor

    def encode_source(self, x: Tensor) -> Tensor:
        """Return [u; c]: (n, d) -> (n, d + c)."""
        return torch.cat([super().encode_source(x), self.code], -1)

    def decode_source(self, u: Tensor) -> Tensor:
        """Return x, the inverse of `encode_source`: (n, d + c) -> (n, d)."""
        return super().decode_source(u[:, : self.dim])

    def encode_target(self, z: Tensor) -> Tensor:
        """Return [w; c]: (n, d) -> (n, d + c)."""
        return torch.cat([super().encode_target(z), self.code], -1)

    def decode_target(self, w: Tensor) -> Tensor:
        """Return z, the inverse of `encode_target`: (n, d + c) -> (n, d)."""
        return super().decode_target(w[:, : self.dim])

    def source_terms(self, x: Tensor, u: Tensor, value: Tensor) -> Tensor:
        """Return phi(x): (n,)."""
        return super().source_terms(x, u[:, : self.dim], value)

    def target_terms(self, z: Tensor, w: Tensor, envelope: Tensor) -> Tensor:
        """Return phi^c(z): (n,)."""
        return super().target_terms(z, w[:, : self.dim], envelope)


def moved_at_once(dim: int) -> int:
    """Return how many rows are moved into coordinates of their own at once."""
    return max(1, GATHERED // dim**2)
