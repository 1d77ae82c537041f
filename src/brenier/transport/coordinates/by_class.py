"""What rows are conditioned on: classes by label. Each has a code for the network, and coordinates of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor

from brenier.datasets import is_single, listed, read_labels
from brenier.errors import DataError
from brenier.transport.coordinates.affine import Coordinates
from brenier.transport.coordinates.conditioned import RowCoordinates

ONE_HOT = 64  # classes up to which each has a coordinate of the code
LENGTH = 0.2  # of a code, where points have variance one


@dataclasses.dataclass(frozen=True)
class Classes:
    """Classes by label, each with its own coordinates.

    Attributes:
        labels: (k), of any hashable kind.
        coordinates: of all classes, with the k in front of what differs from class to class.
    """

    labels: tuple[Hashable, ...]
    coordinates: Coordinates

    word = "labels"

    def keys(self, values: Any, name: str, rows: int) -> Tensor:
        """Return the numbers of the classes that labels name, one for each of some rows: (rows,).

        Args:
            values: a sequence of labels, or one label for all rows.
            name: the argument's name, for messages.
            rows: how many there are.

        Raises:
            DataError: where a label is unknown, or there are more or fewer labels than rows.
        """
        numbers = {label: k for k, label in enumerate(self.labels)}
        if is_single(values):
            values = [values] * rows
        given = read_labels(values, name, rows)
        unknown = {label: None for label in given if label not in numbers}
        if unknown:
            raise DataError(
                f"{name}: {listed(tuple(unknown))} not among the classes that the map was fitted on "
                f"({listed(self.labels)}); give one of those, or fit again with samples of it on both sides"
            )
        return torch.tensor([numbers[label] for label in given], dtype=torch.int64)

    def code(self, keys: Tensor) -> Tensor:
        """Return the codes of classes (n,): (n, c)."""
        return codes(len(self.labels))[keys.cpu()].to(self.coordinates.unit.device)

    def rows(self, keys: Tensor) -> RowCoordinates:
        """Return coordinates row by row for the classes of some rows (n,)."""
        mine = self.coordinates.pick(keys.to(self.coordinates.unit.device))
        return RowCoordinates(**mine.tensors(), code=self.code(keys))

    def at(self, key: Tensor) -> Coordinates:
        """Return the coordinates of one class."""
        return self.coordinates.pick(int(key))

    def to(self, device: torch.device | str) -> Classes:
        """Return the same on a device."""
        return Classes(self.labels, self.coordinates.to(device))


def codes(k: int) -> Tensor:
    """Return the codes of k classes, (k, c): one coordinate each where these are few, else points on a sphere.

    They are short, so that a network learns first what all classes share, and then what tells them apart.
    """
    if k <= ONE_HOT:
        return LENGTH * torch.eye(k, dtype=torch.float64)
    points = torch.randn(
        k, ONE_HOT, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return LENGTH * torch.nn.functional.normalize(points)
