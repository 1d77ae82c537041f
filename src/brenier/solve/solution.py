"""What a solve gives back: the points, and per row whether each of them is an answer."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

import torch
from torch import Tensor

from brenier.errors import ConvergenceError


class Status(enum.IntEnum):
    """How a row ended; `advice` says what to do about it."""

    CONVERGED = 0
    OUT_OF_STEPS = 1
    STALLED = 2
    NON_FINITE = 3
    DEFERRED = 4

    @property
    def advice(self) -> str:
        """What a person can do about rows that ended so."""
        return _ADVICE[self]


_ADVICE = {
    Status.CONVERGED: "nothing to do",
    Status.OUT_OF_STEPS: "raise `max_steps`, loosen `tol`, or choose a method with curvature (BFGS, NewtonCG)",
    Status.STALLED: "the steps fell below what this precision resolves: loosen `tol` or work in float64",
    Status.NON_FINITE: "the objective overflowed along the way: check the inputs for values far outside the "
    "training data, or shorten the step",
    Status.DEFERRED: "they were left unfinished, as asked: solve on from their points, or with skip_fraction=0",
}


@dataclasses.dataclass(frozen=True)
class Solution:
    """The best iterate of every row, with its story.

    Attributes:
        point: (n, d), the iterate of smallest residual met for each row.
        residual: (n,), the Euclidean norm of the residual there.
        steps: (n,), steps taken by each row.
        status: (n,), a `Status` per row.
        evaluations: gradient evaluations of all rows together; a Hessian product counts as two.
    """

    point: Tensor
    residual: Tensor
    steps: Tensor
    status: Tensor
    evaluations: int

    @property
    def converged(self) -> Tensor:
        """(n,) bool: rows whose residual reached the tolerance."""
        return self.status == Status.CONVERGED

    @property
    def unconverged(self) -> int:
        """How many rows did not converge."""
        return int((~self.converged).sum())

    @property
    def deferred(self) -> int:
        """How many rows were left unfinished, as was asked."""
        return int((self.status == Status.DEFERRED).sum())

    @property
    def evaluations_per_row(self) -> float:
        """Gradient evaluations per row, the cost that does not depend on the machine."""
        return self.evaluations / max(1, self.status.numel())

    @classmethod
    def concatenate(cls, parts: Sequence[Solution]) -> Solution:
        """Return one solution for the rows of all parts, in order."""
        names = ("point", "residual", "steps", "status")
        rows = {
            name: torch.cat([getattr(part, name) for part in parts]) for name in names
        }
        return cls(**rows, evaluations=sum(part.evaluations for part in parts))

    def report(self) -> str:
        """Return one sentence: how many rows ended how, how far off, and what to try.

        >>> done = Solution(
        ...     torch.zeros(1, 2), torch.zeros(1), torch.ones(1), torch.zeros(1), 2
        ... )
        >>> done.report()
        'all 1 rows converged'
        """
        total = self.status.numel()
        if not self.unconverged:
            return f"all {total} rows converged"
        parts = []
        for status in (
            Status.OUT_OF_STEPS,
            Status.STALLED,
            Status.NON_FINITE,
            Status.DEFERRED,
        ):
            count = int((self.status == status).sum())
            if count:
                parts.append(
                    f"{count} of {total} rows ended {status.name.lower()}: {status.advice}"
                )
        finite = self.residual[torch.isfinite(self.residual)]
        worst = f"{float(finite.max()):.1e}" if finite.numel() else "not finite"
        return "; ".join(parts) + f" (largest residual {worst})"

    def check(self) -> Solution:
        """Return self if every row converged.

        Raises:
            ConvergenceError: otherwise, with `report()` as its message.
        """
        if self.unconverged:
            raise ConvergenceError(self.report())
        return self
