"""What rows are conditioned on: classes by label. Each has a code for the network, and coordinates of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from brenier.coordinates import Coordinates
from brenier.errors import DataError

ONE_HOT = 64  # classes up to which each has a coordinate of the code
LENGTH = 0.2  # of a code, where points have variance one
GATHERED = 2**22  # numbers in memory at once, where every row has a matrix of its own


@dataclasses.dataclass(frozen=True)
class RowCoordinates(Coordinates):
    """Coordinates of conditioned points s = [u; c]: every row has affine ones of its own, and keeps its code.

    Attributes:
        code: (n, c).
    """

    code: Tensor

    def source_in(self, x: Tensor) -> Tensor:
        """Return [u; c]: (n, d) -> (n, d + c)."""
        return torch.cat([super().source_in(x), self.code], -1)

    def source_out(self, u: Tensor) -> Tensor:
        """Return x, the inverse of `source_in`: (n, d + c) -> (n, d)."""
        return super().source_out(u[:, : self.dim])

    def target_in(self, z: Tensor) -> Tensor:
        """Return [w; c]: (n, d) -> (n, d + c)."""
        return torch.cat([super().target_in(z), self.code], -1)

    def target_out(self, w: Tensor) -> Tensor:
        """Return z, the inverse of `target_in`: (n, d + c) -> (n, d)."""
        return super().target_out(w[:, : self.dim])

    def source_terms(self, x: Tensor, u: Tensor, value: Tensor) -> Tensor:
        """Return phi(x): (n,)."""
        return super().source_terms(x, u[:, : self.dim], value)

    def target_terms(self, z: Tensor, w: Tensor, envelope: Tensor) -> Tensor:
        """Return phi^c(z): (n,)."""
        return super().target_terms(z, w[:, : self.dim], envelope)


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
    points = torch.randn(k, ONE_HOT, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return LENGTH * torch.nn.functional.normalize(points)


def moved_at_once(dim: int) -> int:
    """Return how many rows are moved into coordinates of their own at once."""
    return max(1, GATHERED // dim**2)


def read_labels(values: Any, name: str, rows: int) -> list[Hashable]:
    """Return one hashable label per row, as Python's own types where there are such.

    Raises:
        DataError: where they are none, are missing for a row, or are not as many as the rows.
    """
    for convert in ("tolist", "to_list"):  # of numpy, pandas and torch; of polars
        if hasattr(values, convert):
            values = getattr(values, convert)()
            break
    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise DataError(f"{name}: must be a sequence of labels, one per row, got {values!r}")
    labels = list(values)
    if len(labels) != rows:
        raise DataError(f"{name}: has {len(labels)} labels for {rows} rows; give one label per row, in their order")
    for row, label in enumerate(labels):
        if label is None or label != label:
            raise DataError(f"{name}: the label of row {row} is missing ({label}); drop such rows, or name their class")
        if not isinstance(label, Hashable):
            raise DataError(
                f"{name}: the label of row {row} is a {type(label).__name__}, which is not hashable; give numbers, "
                "strings or tuples, one per row"
            )
    return labels


def grouped(labels: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    """Return the rows of every label, in the order of first appearance."""
    groups: dict[Hashable, list[int]] = {}
    for row, label in enumerate(labels):
        groups.setdefault(label, []).append(row)
    return groups


def is_single(values: Any) -> bool:
    """Say whether a value is one label, meant for all rows."""
    return isinstance(values, str | bytes | tuple) or not hasattr(values, "__iter__") or getattr(values, "ndim", 1) == 0


def listed(labels: Sequence[Hashable], most: int = 5) -> str:
    """Return labels as messages show them."""
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(map(repr, labels[:most])) + more
