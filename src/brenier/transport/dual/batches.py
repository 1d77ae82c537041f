"""The batches of training: the inner problems still in flight, and the solved ones that are used again.

The last few rows of a batch take most of its inner steps. They are deferred: left unfinished, and solved on in the next
batch from where they are. A target row enters a step of training when its inner problem is solved. A row deferred too
often has its batch solved to the end, so that none is put off for ever. That is to be rare: such a batch holds the hard
rows of two, mostly from the tails, and the next one none, which weights (see `brenier.statistics.calibration`) correct
by halves that err alike, so that the tails count too little. Both sides of a batch may also be jittered (see
`brenier.statistics.smoothing`).

Where inner problems are hard, a solved row is worth a second use: one step later, from where it was solved, it takes
about half the evaluations of a new one. Where new rows take more than `target_evaluations`, rows enter as many steps as
bring the mean back to that, as far as they may. Chance decides which, whatever a row took: if it were the easy ones,
the tails would again count too little.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from brenier.solve import Solution, Status
from brenier.statistics import (
    ALONE,
    Calibration,
    Pool,
    Smoothing,
    calibrated_weights,
)
from brenier.transport.dual.settings import DualSettings
from brenier.transport.dual.value import both_uniform

Draw = Callable[[int, torch.Generator], Tensor]


@runtime_checkable
class StatefulDraw(Protocol):
    """A draw that goes through its rows in an order of its own, and has a place in it."""

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        """Return the next n rows: (n, d)."""
        ...

    def begin_anew(self, number: int) -> None:
        """Go through the rows in another order, one for each number."""
        ...

    def state_dict(self) -> dict[str, int]:
        """Return the place."""
        ...

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a place."""
        ...


class InFlight(NamedTuple):
    """The target rows that are carried over to the next batch, and their story.

    Attributes:
        z: (k, d), the rows, or None.
        start: (k, d), where their inner problems are, or None.
        deferrals: (k,), times each was deferred since it was drawn or solved.
        uses: (k,), steps that each has entered.
    """

    z: Tensor | None
    start: Tensor | None
    deferrals: Tensor
    uses: Tensor

    @classmethod
    def none(cls) -> InFlight:
        """Return no rows."""
        empty = torch.zeros(0, dtype=torch.int64)
        return cls(None, None, empty, empty)


class Batches:
    """Batches from either side; what is in flight, and known of the moments, is all its state.

    Args:
        source, target: functions (n, generator) -> (n, d).
        generator: the only source of randomness.
        calibration: of the source and of the target, or nothing for equal weights.
        smoothing: of the source and of the target, or nothing for rows as they are.
        settings: how many rows are deferred and reused.
    """

    def __init__(
        self,
        source: Draw,
        target: Draw,
        generator: torch.Generator,
        calibration: Sequence[Calibration] = (),
        smoothing: Sequence[Smoothing] = (),
        settings: DualSettings | None = None,
    ) -> None:
        self.source, self.target, self.generator = source, target, generator
        self.calibration, self.smoothing = calibration, smoothing
        self.settings = settings or DualSettings(max_reuse=1)
        self.pool: Pool = ALONE
        self.forget()

    def weights(self, x: Tensor, z: Tensor) -> list[Tensor]:
        """Return how x (n, d) and z (m, d) are weighted: (n,), (m,), of sum one over all processes of the pool."""
        if self.calibration:
            return calibrated_weights(self.calibration, (x, z), self.pool)
        if self.pool.size == 1:
            return list(both_uniform(x, z))
        counts = [points.new_tensor(float(len(points))) for points in (x, z)]
        pairs = zip((x, z), self.pool.sums(counts), strict=True)
        return [(1 / count).expand(len(points)) for points, count in pairs]

    def join(self, pool: Pool, rank: int) -> None:
        """Draw parts of batches whose other parts other processes draw, in an order of this rank's own."""
        self.pool = pool
        for draw in (self.source, self.target):
            if rank and isinstance(draw, StatefulDraw):
                draw.begin_anew(rank)

    def forget(self) -> None:
        """Drop what is in flight."""
        self.in_flight = InFlight.none()

    def draw(
        self, size: int, bandwidth: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor | None, float]:
        """Return x (n, d), z (n, d), iterates (k, d) of the first k of z, and what share may be left unfinished.

        Args:
            size: rows of either side.
            bandwidth: of the kernels that jitter them, in standard deviations.
        """
        known = self.in_flight
        x = self.source(size, self.generator)
        z = self.target(size - len(known.uses), self.generator)
        if self.smoothing:
            jitter_source, jitter_target = self.smoothing
            x = jitter_source(x, bandwidth, self.generator)
            z = jitter_target(z, bandwidth, self.generator)
        if known.z is not None:
            z = torch.cat([known.z, z])
        overdue = bool((known.deferrals >= self.settings.max_deferrals).any())
        return x, z, known.start, 0.0 if overdue else self.settings.skip_fraction

    def keep(self, z: Tensor, solution: Solution) -> None:
        """Keep the rows of z that were deferred, and those solved that are used again.

        Args:
            z: (n, d), the rows of the last batch.
            solution: of their inner problems.
        """
        endings = torch.stack([solution.status, solution.steps])  # read at once
        status, steps = endings.to(self.in_flight.uses.device)
        deferred = status == Status.DEFERRED
        deferrals, uses = self._carry_over(deferred)
        kept = deferred | self._replay(status, steps, uses)
        index = kept.nonzero().squeeze(-1)
        there = index.to(z.device, non_blocking=True)
        self.in_flight = InFlight(
            z[there], solution.point[there], deferrals[index], uses[index]
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what is in flight, what is known of the moments, and where draws are that have a place."""
        known = [side.state_dict() for side in self.calibration]
        draws = {
            name: draw.state_dict()
            for name, draw in (("source", self.source), ("target", self.target))
            if isinstance(draw, StatefulDraw)
        }
        return {**self.in_flight._asdict(), "calibration": known, "draws": draws}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Take up what was in flight, on a device, and what was known."""
        for side, known in zip(self.calibration, state["calibration"], strict=True):
            side.load_state_dict(known)
        for name, draw in (("source", self.source), ("target", self.target)):
            if isinstance(draw, StatefulDraw):
                draw.load_state_dict(state["draws"][name])
        z, start = (
            None if rows is None else rows.to(device)
            for rows in (state["z"], state["start"])
        )
        self.in_flight = InFlight(z, start, state["deferrals"], state["uses"])

    def _carry_over(self, deferred: Tensor) -> tuple[Tensor, Tensor]:
        """Return how often each row of the batch (n,) was deferred in turn, and how many steps it has entered."""
        new = len(deferred) - len(self.in_flight.uses)
        deferrals, uses = (
            torch.cat([old, old.new_zeros(new)])
            for old in (self.in_flight.deferrals, self.in_flight.uses)
        )
        return torch.where(deferred, deferrals + 1, 0), uses + ~deferred

    def _replay(self, status: Tensor, steps: Tensor, uses: Tensor) -> Tensor:
        """Return which of the solved rows are used again: (n,) bool."""
        deferred, converged = status == Status.DEFERRED, status == Status.CONVERGED
        wanted = min(float(self.settings.max_reuse), self._wanted_uses(1.0 + steps))
        if not wanted > 1:
            return torch.zeros_like(deferred)
        chance = (wanted - uses).clamp(0, 1) * converged
        room = (1 - 1 / wanted) * len(uses) - int(deferred.sum())
        chance *= (room / chance.sum()).clamp(0, 1)
        return torch.rand(len(uses), generator=self.generator) < chance

    def _wanted_uses(self, evaluations: Tensor) -> float:
        """Return how many steps a row would have to enter, given what each row of the batch took (n,)."""
        known, target = len(self.in_flight.uses), self.settings.target_evaluations
        first = float(evaluations[known:].mean())
        later = float(evaluations[:known].mean()) if known else target
        if not first > target:
            return 1.0
        return (first - later) / (target - later) if later < target else math.inf
