"""What rows are conditioned on: classes by label. Each has an embedding for the network, and coordinates of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable

import torch
from torch import Tensor

from brenier.datasets import label_numbers
from brenier.transport.coordinates.affine import Coordinates
from brenier.transport.coordinates.conditioned import ConditionedCoordinates
from brenier.transport.coordinates.settings import EmbeddingSettings


@dataclasses.dataclass(frozen=True)
class Classes:
    """Classes by label, each with its own coordinates; an index is the number of a class.

    Attributes:
        labels: (k), of any hashable kind.
        coordinates: of all classes, with the k in front of what differs from class to class.
    """

    labels: tuple[Hashable, ...]
    coordinates: Coordinates

    kind = "labels"

    def encode_index(self, values: object, name: str, rows: int) -> Tensor:
        """Return the numbers of the classes that labels name, one for each of some rows: (rows,).

        Args:
            values: a sequence of labels, or one label for all rows.
            name: the argument's name, for messages.
            rows: how many there are.

        Raises:
            DataError: where a label is unknown, or there are more or fewer labels than rows.
        """
        numbers = label_numbers(values, self.labels, name, rows)
        return torch.tensor(numbers, dtype=torch.int64)

    def embedding(self, index: Tensor) -> Tensor:
        """Return the embeddings of classes (n,): (n, e)."""
        found = class_embeddings(len(self.labels))[index.cpu()]
        return found.to(self.coordinates.unit.device)

    def side(self, index: Tensor) -> ConditionedCoordinates:
        """Return coordinates row by row for the classes of some rows (n,)."""
        own = self.coordinates.pick(index.to(self.coordinates.unit.device))
        return ConditionedCoordinates(own, self.embedding(index))

    def at(self, index: Tensor) -> Coordinates:
        """Return the coordinates of one class."""
        return self.coordinates.pick(int(index))

    def after(self, coordinates: Coordinates) -> Classes:
        """Return the same conditions with other coordinates."""
        return dataclasses.replace(self, coordinates=coordinates)

    def to(self, device: torch.device | str) -> Classes:
        """Return the same on a device."""
        return Classes(self.labels, self.coordinates.to(device))


def class_embeddings(k: int, settings: EmbeddingSettings | None = None) -> Tensor:
    """Return the embeddings of k classes, (k, e): one coordinate each where these are few, else points on a sphere."""
    settings = settings or EmbeddingSettings()
    if k <= settings.one_hot_classes:
        return settings.embedding_length * torch.eye(k, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(
        k, settings.one_hot_classes, generator=generator, dtype=torch.float64
    )
    return settings.embedding_length * torch.nn.functional.normalize(points)
