"""What a solve returns: one point per row, and whether it has converged."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

import torch
from torch import Tensor

from brenier.errors import ConvergenceError


class Status(enum.IntEnum):
    """How a row ended; `advice` says what to do about it.

    Attributes:
        CONVERGED: its residual norm is at most tol.
        OUT_OF_STEPS: max_steps were taken before.
        STALLED: no step makes progress at this precision, or rounding alone exceeds the bound on the residual.
        NON_FINITE: an iterate overflowed, or the objective was not finite there.
        DEFERRED: left unfinished on request.
    """

    CONVERGED = 0
    OUT_OF_STEPS = 1
    STALLED = 2
    NON_FINITE = 3
    DEFERRED = 4

    @property
    def advice(self) -> str:
        """What to do about rows that ended in this way."""
        return _ADVICE[self]


_ADVICE = {
    Status.CONVERGED: "nothing to do",
    Status.OUT_OF_STEPS: "raise `max_steps`, loosen `tol`, or choose a method with curvature (BFGS, NewtonCG)",
    Status.STALLED: "this precision does not resolve them any further: loosen `tol`, or work in float64 "
    "(dtype='float64')",
    Status.NON_FINITE: "the objective overflowed along the way: check the inputs for values far outside the "
    "training data, or shorten the step",
    Status.DEFERRED: "they were left unfinished, as asked: continue from their points, or solve with skip_fraction=0",
}


@dataclasses.dataclass(frozen=True)
class Solution:
    """The best iterate of every row, and how the row ended.

    Attributes:
        point: (n, d), the iterate of smallest residual norm seen in each row.
        residual: (n,), that norm (Euclidean). Both are of the error instead, where the problem measures its own
            (`brenier.solve.MeasuresErrors`).
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
        """Which rows have converged: (n,) bool."""
        return self.status == Status.CONVERGED

    @property
    def unconverged(self) -> int:
        """How many rows have not converged."""
        return int((~self.converged).sum())

    @property
    def deferred(self) -> int:
        """How many rows were left unfinished on request (`skip_fraction`)."""
        return int((self.status == Status.DEFERRED).sum())

    @property
    def evaluations_per_row(self) -> float:
        """Gradient evaluations per row, the cost that does not depend on the machine."""
        return self.evaluations / max(1, self.status.numel())

    @classmethod
    def concatenate(cls, chunks: Sequence[Solution]) -> Solution:
        """Return one solution for the rows of all chunks, in order."""
        return cls(
            point=torch.cat([chunk.point for chunk in chunks]),
            residual=torch.cat([chunk.residual for chunk in chunks]),
            steps=torch.cat([chunk.steps for chunk in chunks]),
            status=torch.cat([chunk.status for chunk in chunks]),
            evaluations=sum(chunk.evaluations for chunk in chunks),
        )

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
        endings = []
        for status in Status:
            count = int((self.status == status).sum())
            if count and status is not Status.CONVERGED:
                endings.append(
                    f"{count} of {total} rows ended {status.name.lower()}: {status.advice}"
                )
        finite = self.residual[torch.isfinite(self.residual)]
        worst = f"{float(finite.max()):.1e}" if finite.numel() else "not finite"
        return "; ".join(endings) + f" (largest residual {worst})"

    def check(self) -> Solution:
        """Return self if every row converged.

        Raises:
            ConvergenceError: otherwise, with `report()` as its message.
        """
        if self.unconverged:
            raise ConvergenceError(self.report())
        return self
