"""Features as columns of comparable scale, as tests and maps take them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from brenier.report.drift.rules import ColumnRule


@dataclasses.dataclass(frozen=True)
class Encoded:
    """Two tables in columns of comparable scale.

    Attributes:
        x, z: (n, d), (m, d), of the reference and of the current table.
        owners: (d,), the feature that each column is of.
    """

    x: Tensor
    z: Tensor
    owners: Tensor

    def of_features(self, columns: Tensor, features: int) -> Tensor:
        """Return root mean squares over rows, of columns (n, d), those of a feature joined: (features,)."""
        squares = columns.double().square().mean(0)
        joined = torch.zeros(features, dtype=torch.float64)
        return joined.index_add(0, self.owners, squares).sqrt()


def encoded_pair(
    rules: Sequence[ColumnRule], x: np.ndarray, z: np.ndarray, with_new: bool
) -> Encoded:
    """Return both tables encoded.

    Args:
        rules: one for each feature.
        x, z: (n, features), (m, features), as `ColumnRule.read` returns them.
        with_new: whether there are columns of what only the current table has.
    """
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    owners: list[int] = []
    for place, rule in enumerate(rules):
        new = with_new and rule.has_new(z[:, place])
        parts = [rule.encode(side[:, place], new) for side in (x, z)]
        owners += [place] * parts[0].shape[1]
        for side, part in zip(sides, parts, strict=True):
            side.append(part)
    joined = [_side_by_side(side, len(rows)) for side, rows in zip(sides, (x, z), strict=True)]  # fmt: skip
    return Encoded(joined[0], joined[1], torch.tensor(owners, dtype=torch.int64))


def _side_by_side(parts: list[np.ndarray], rows: int) -> Tensor:
    """Return columns side by side."""
    if not parts:
        return torch.zeros(rows, 0, dtype=torch.float64)
    return torch.from_numpy(np.concatenate(parts, 1).astype(np.float64, copy=False))
