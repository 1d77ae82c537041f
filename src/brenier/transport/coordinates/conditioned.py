"""Coordinates of conditioned points: every row has affine ones of its own, and the embedding of its condition."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import torch
from torch import Tensor

from brenier.transport.coordinates.affine import Coordinates
from brenier.transport.coordinates.settings import RowMatrices

ROW_MATRICES = RowMatrices()


@dataclasses.dataclass(frozen=True)
class ConditionedCoordinates:
    """Coordinates of conditioned points s = [u; e]: u in affine coordinates, e the embedding of the row's condition.

    Attributes:
        affine: of some rows, with their number in front of what differs from row to row.
        embedding: (n, e), of the conditions of these rows.
    """

    affine: Coordinates
    embedding: Tensor

    def encode_source(self, x: Tensor) -> Tensor:
        """Return [u; e]: (n, d) -> (n, d + e)."""
        return torch.cat([self.affine.encode_source(x), self.embedding], -1)

    def decode_source(self, u: Tensor) -> Tensor:
        """Return x, the inverse of `encode_source`: (n, d + e) -> (n, d)."""
        return self.affine.decode_source(self._leading(u))

    def encode_target(self, z: Tensor) -> Tensor:
        """Return [w; e]: (n, d) -> (n, d + e)."""
        return torch.cat([self.affine.encode_target(z), self.embedding], -1)

    def decode_target(self, w: Tensor) -> Tensor:
        """Return z, the inverse of `encode_target`: (n, d + e) -> (n, d)."""
        return self.affine.decode_target(self._leading(w))

    def source_terms(self, x: Tensor, u: Tensor, value: Tensor) -> Tensor:
        """Return phi(x): (n,)."""
        return self.affine.source_terms(x, self._leading(u), value)

    def target_terms(self, z: Tensor, w: Tensor, envelope: Tensor) -> Tensor:
        """Return phi^c(z): (n,)."""
        return self.affine.target_terms(z, self._leading(w), envelope)

    def cost(self, x: Tensor, z: Tensor) -> Tensor:
        """Return c(x, z) row by row: (n, d), (n, d) -> (n,)."""
        return self.affine.cost(x, z)

    def log_det(self) -> Tensor:
        """Return log det, row by row, of the map that is the identity in the coordinates: (n,)."""
        return self.affine.log_det()

    def _leading(self, points: Tensor) -> Tensor:
        """Return the coordinates that are transported."""
        return points[:, : self.affine.dim]


class Conditions(Protocol):
    """What rows are conditioned on: classes by label, or covariates."""

    @property
    def kind(self) -> str:
        """Return "labels" or "covariates", the name of the argument that gives them."""
        ...

    @property
    def coordinates(self) -> Coordinates:
        """The coordinates of all classes, or at all knots, with these in front of what differs from one to the next."""
        ...

    def encode_index(self, values: object, name: str, rows: int) -> Tensor:
        """Return what says for each of some rows which condition it has: (rows, ...).

        Args:
            values: labels or covariates, one per row, or one for all rows.
            name: the argument's name, for messages.
            rows: how many there are.

        Raises:
            DataError: for conditions that are unknown, cannot be used, or are not as many as the rows.
        """
        ...

    def embedding(self, index: Tensor) -> Tensor:
        """Return the embeddings of the conditions of some rows: (n, e)."""
        ...

    def side(self, index: Tensor) -> ConditionedCoordinates:
        """Return the coordinates of either side row by row, for the conditions of some rows."""
        ...

    def at(self, index: Tensor) -> Coordinates:
        """Return the coordinates of one condition."""
        ...

    def after(self, coordinates: Coordinates) -> Conditions:
        """Return the same conditions with other coordinates."""
        ...

    def to(self, device: torch.device | str) -> Conditions:
        """Return the same on a device."""
        ...


def to_coordinates(
    rows: Tensor,
    index: Tensor,
    conditions: Conditions,
    target: bool,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """Return rows (n, d) as conditioned points (n, d + e), each in the coordinates of its condition.

    Args:
        rows: (n, d).
        index: (n, ...), the condition of each row.
        conditions: what the index means.
        target: whether they are of the target, else of the source.
        device, dtype: of the points.
    """
    most = rows_encoded_at_once(conditions.coordinates.dim)
    chunks = []
    for chunk, own in zip(rows.split(most), index.split(most), strict=True):
        coordinates = conditions.side(own)
        encode = coordinates.encode_target if target else coordinates.encode_source
        chunks.append(encode(chunk.to(device)).to(dtype))
    return torch.cat(chunks)


def rows_encoded_at_once(dim: int) -> int:
    """Return how many rows are moved into coordinates of their own at once."""
    return ROW_MATRICES.rows(dim)
