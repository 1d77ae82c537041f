"""Some of many rows, at equal distances among them."""

from __future__ import annotations

import torch
from torch import Tensor


def some_of(rows: Tensor, n: int) -> Tensor:
    """Return n rows at equal distances among some, or all where there are no more."""
    return rows if n >= len(rows) else rows[spread_numbers(len(rows), n)]


def spread_numbers(rows: int, n: int) -> Tensor:
    """Return the numbers of at most n of some rows, at equal distances: (min(n, rows),)."""
    n = min(n, rows)
    return torch.arange(n) * rows // max(1, n)
