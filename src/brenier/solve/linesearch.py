"""When a trial point may replace the iterate."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier.solve.loop import Iterate

ARMIJO = 1e-4


GIVE_UP = (
    25  # rejected trials in a row after which no step length can help at this precision
)


def accepted(old: Iterate, new: Iterate) -> Tensor:
    """Say per row whether the trial `new` may replace `old`: (n,) bool, false for anything not finite.

    A move too short to change y at this precision is no progress: rows that make only such moves have stalled.
    """
    move = new.y - old.y
    slope = vecdot(old.residual, move)
    change = new.value - old.value
    # F may be the small difference of terms of order |y|^2, whose rounding errors remain.
    noise = (
        32
        * torch.finfo(change.dtype).eps
        * (1 + old.value.abs() + vecdot(old.y, old.y))
    )
    flat = (change <= noise) & (vecdot(new.residual, move) <= (2 * ARMIJO - 1) * slope)
    return (
        ((change <= ARMIJO * slope) | flat)
        & (slope < 0)
        & torch.isfinite(vecdot(new.residual, new.residual))
    )
