"""The batches of training: the inner problems still in flight, and the solved ones that are used again.

The last few rows of a batch take most of its inner steps. They are left unfinished, and solved on in the next batch
from where they are: a target row enters a step of training when its inner problem is solved. A row left too often has
its batch solved to the end, so that none is put off for ever. That is to be rare: such a batch holds the hard rows of
two, mostly from the tails, and the next one none, which weights (see `calibration`) correct by halves that err alike,
so that the tails count too little. Both sides of a batch may also be smeared (see `smoothing`).

Where inner problems are hard, a solved row is worth a second use: one step later, from where it was solved, it takes
about half the evaluations of a fresh one. Where fresh rows take more than `EVALUATIONS`, rows enter as many steps as
bring the mean back to that, as far as they may. Chance decides which, whatever a row took: if it were the easy ones,
the tails would again count too little.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from brenier.solve import Solution, Status
from brenier.statistics import Calibration, Smoothing
from brenier.transport.dual.objective import Weigh, equal

Draw = Callable[[int, torch.Generator], Tensor]

LEAVE = 0.1  # share of the rows of a batch that may be left
OFTEN = 16  # times a row may be left; where half of those left are left again, one row in 65,000 is
EVALUATIONS = 5.5  # that a row takes in a batch on average, as far as using rows again can bring it about


class Batches:
    """Batches from either side; what is in flight, and known of the moments, is all its state.

    Args:
        source, target: functions (n, generator) -> (n, d).
        generator: the only source of randomness.
        calibration: of the source and of the target, or nothing for equal weights.
        smoothing: of the source and of the target, or nothing for rows as they are.
        uses: steps that a row of the target enters at most.
    """

    def __init__(
        self,
        source: Draw,
        target: Draw,
        generator: torch.Generator,
        calibration: Sequence[Calibration] = (),
        smoothing: Sequence[Smoothing] = (),
        uses: int = 1,
    ) -> None:
        self.source, self.target, self.generator = source, target, generator
        self.calibration, self.smoothing, self.most_uses = calibration, smoothing, uses
        self.clear()

    @property
    def weigh(self) -> tuple[Weigh, Weigh]:
        """How x and z are weighed."""
        if not self.calibration:
            return equal, equal
        source, target = self.calibration
        return source.weights, target.weights

    def clear(self) -> None:
        """Forget what is in flight."""
        self.z: Tensor | None = None
        self.start: Tensor | None = None
        self.age = self.uses = torch.zeros(0, dtype=torch.int64)

    def draw(
        self, size: int, bandwidth: float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor | None, float]:
        """Return x (n, d), z (n, d), iterates (k, d) of the first k of z, and what share may be left.

        Args:
            size: rows of either side.
            bandwidth: of the kernels that smear them, in standard deviations.
        """
        known = 0 if self.z is None else len(self.z)
        x, z = (
            self.source(size, self.generator),
            self.target(size - known, self.generator),
        )
        if self.smoothing:
            smear_x, smear_z = self.smoothing
            x, z = (
                smear_x(x, bandwidth, self.generator),
                smear_z(z, bandwidth, self.generator),
            )
        if self.z is not None:
            z = torch.cat([self.z, z])
        skip_fraction = 0.0 if bool((self.age >= OFTEN).any()) else LEAVE
        return x, z, self.start, skip_fraction

    def keep(self, z: Tensor, solution: Solution) -> None:
        """Keep the rows of z that were left unfinished, and those solved that are used again."""
        steps, status = (
            solution.steps.to(self.age.device),
            solution.status.to(self.age.device),
        )
        left, known = status == Status.DEFERRED, len(self.age)
        age, uses = (
            torch.cat([old, old.new_zeros(len(z) - known)])
            for old in (self.age, self.uses)
        )
        age, uses = torch.where(left, age + 1, 0), uses + ~left
        wanted = min(float(self.most_uses), _wanted(1.0 + steps, known))
        stays = left
        if wanted > 1:
            chance = (wanted - uses).clamp(0, 1) * (status == Status.CONVERGED)
            room = (1 - 1 / wanted) * len(z) - int(left.sum())
            chance *= (room / chance.sum()).clamp(0, 1)
            stays = left | (torch.rand(len(z), generator=self.generator) < chance)
        index = stays.nonzero().squeeze(-1)
        self.age, self.uses = age[index], uses[index]
        index = index.to(z.device)
        self.z, self.start = z[index], solution.point[index]

    def state_dict(self) -> dict[str, Any]:
        """Return what is in flight, and what is known of the moments."""
        known = [side.state_dict() for side in self.calibration]
        return {
            "z": self.z,
            "start": self.start,
            "age": self.age,
            "uses": self.uses,
            "calibration": known,
        }

    def load_state_dict(self, state: dict[str, Any], like: Tensor) -> None:
        """Take up what was in flight, on the device of `like`, and what was known."""
        for side, known in zip(self.calibration, state["calibration"], strict=True):
            side.load_state_dict(known)
        z, start = state["z"], state["start"]
        self.z, self.start = (
            None if part is None else part.to(like.device) for part in (z, start)
        )
        self.age, self.uses = state["age"], state["uses"]


def _wanted(evaluations: Tensor, known: int) -> float:
    """Return how many steps a row would have to enter, given what the rows took alone (n,), the first known before."""
    first, later = (
        float(evaluations[known:].mean()),
        float(evaluations[:known].mean()) if known else EVALUATIONS,
    )
    if not first > EVALUATIONS:
        return 1.0
    return (first - later) / (EVALUATIONS - later) if later < EVALUATIONS else math.inf
