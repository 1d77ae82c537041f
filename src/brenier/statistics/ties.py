"""Ties: values of a column, and whole rows, that are there again and again, which no map can spread."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class TopValues(NamedTuple):
    """The most frequent value of every column (d,), and the share of rows that have it (d,)."""

    values: Tensor
    shares: Tensor


def top_values(rows: Tensor) -> TopValues:
    """Return the most frequent value of every column of rows (n, d)."""
    ordered, n = sorted_columns(rows), len(rows)
    begins = torch.ones_like(ordered, dtype=torch.bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    # The length of a run of equal values so far, of which the longest ends at the most frequent one.
    number = torch.arange(n)
    length = number - torch.where(begins, number, 0).cummax(1).values + 1
    longest, at = length.max(1)
    return TopValues(ordered.gather(1, at.unsqueeze(1)).squeeze(1), longest / n)


def sorted_columns(rows: Tensor) -> Tensor:
    """Return the values of every column of rows (n, d) in order: (d, n)."""
    return torch.from_numpy(np.sort(np.ascontiguousarray(rows.numpy().T), axis=1))


class TopRow(NamedTuple):
    """The number of a row that is there most often, and the share of rows that equal it."""

    number: int
    share: float


def top_row(rows: Tensor) -> TopRow:
    """Return the most frequent of rows (n, d), float64."""
    values = np.ascontiguousarray((rows + 0.0).numpy())  # which makes -0 equal to 0
    width = values.dtype.itemsize * values.shape[1]
    whole = values.view(np.dtype((np.void, width))).ravel()
    _, first, counts = np.unique(whole, return_index=True, return_counts=True)
    most = int(counts.argmax())
    return TopRow(int(first[most]), int(counts[most]) / len(rows))
