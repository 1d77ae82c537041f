"""When a trial point replaces the current one: the sufficient decrease test that all descent methods share.

A trial is accepted, per row, when the value falls by enough (Armijo) or, once values no longer resolve the change, when
the slope along the step shows that it did (the approximate Wolfe test of "A new conjugate gradient method with
guaranteed descent and an efficient line search", Hager and Zhang, 2005, equation (4.1)). How a rejected step is
shortened is up to the method.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier.solve.loop import Iterate


@dataclasses.dataclass(frozen=True)
class LineSearch:
    """The test that a trial must pass, and when a row is given up.

    Attributes:
        armijo: share of the decrease predicted by the slope that a trial must reach. The usual value: nearly every
            decrease will do.
        rounding: rounding error of a value, in units of the precision times the size of its terms.
        max_rejections: rejected trials in a row after which a row is given up. The step has then been shortened by a
            factor of 1e-10 or less, and at this precision no other length can help.
    """

    armijo: float = 1e-4
    rounding: float = 32.0
    max_rejections: int = 25

    def accepts(self, current: Iterate, trial: Iterate) -> Tensor:
        """Say per row whether the trial may replace the current point: (n,) bool, false for anything not finite.

        A move too short to change y at this precision is no progress: rows that make only such moves have stalled.
        """
        move = trial.y - current.y
        slope = vecdot(current.residual, move)
        change = trial.value - current.value
        # F may be the small difference of terms of order |y|^2, whose rounding errors remain.
        size = 1 + current.value.abs() + vecdot(current.y, current.y)
        unresolved = change <= self.rounding * torch.finfo(change.dtype).eps * size
        slope_at_trial = vecdot(trial.residual, move)
        wolfe = unresolved & (slope_at_trial <= (2 * self.armijo - 1) * slope)
        decreases = (change <= self.armijo * slope) | wolfe
        finite = torch.isfinite(vecdot(trial.residual, trial.residual))
        return decreases & (slope < 0) & finite

    def give_up(self, trial: Tensor, rejections: Tensor) -> Tensor:
        """Return the next trial (n, d), NaN in rows that have been rejected (n,) times too often."""
        going = rejections < self.max_rejections
        return torch.where(going.unsqueeze(-1), trial, torch.nan)


def accept(accepted: Tensor, current: Iterate, trial: Iterate) -> Iterate:
    """Return the trial in accepted rows (n,), the current iterate in the others."""
    column = accepted.unsqueeze(-1)
    return Iterate(
        torch.where(column, trial.y, current.y),
        torch.where(accepted, trial.value, current.value),
        torch.where(column, trial.residual, current.residual),
    )
