"""What a move of the iterate tells about curvature: the pair that quasi-Newton methods learn from."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import vecdot

from brenier.solve.loop import Iterate


class Secant(NamedTuple):
    """What a trial, accepted or not, tells about the curvature of its row."""

    s: Tensor  # (n, d), the move
    q: Tensor  # (n, d), the change of the residual
    curvature: Tensor  # (n,), <s, q>
    square: Tensor  # (n,), <q, q>
    useful: Tensor  # (n,) bool, whether the curvature is positive, beyond rounding

    @classmethod
    def between(cls, old: Iterate, trial: Iterate) -> Secant:
        """Return what the trial tells about the curvature of every row."""
        s, q = trial.y - old.y, trial.residual - old.residual
        curvature, square = vecdot(s, q), vecdot(q, q)
        # Updates divide by <s, q>, which where it is all rounding says nothing.
        positive = curvature > torch.finfo(s.dtype).eps * square
        return cls(s, q, curvature, square, positive & torch.isfinite(square))
