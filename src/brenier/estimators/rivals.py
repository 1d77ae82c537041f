"""Maps that are judged by the same rows left out, and the best of them.

J says most where maps differ much. It is of second order in the error of a map and its noise of first, so it cannot
tell apart maps that are nearly as good, least where the true map jumps. Of those within its noise the one is taken that
moves rows left out closest to the rows of the target left out, by the energy distance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from brenier.metrics import energy_distance
from brenier.potentials import Potential
from brenier.statistics import standard_error
from brenier.transport.dual import (
    DualObjective,
    DualValue,
    MemberSamples,
    held_out_value,
)


@dataclasses.dataclass(frozen=True)
class Rival:
    """Potentials of one kind, one for each fold, and how they do on the rows that it left out.

    Attributes:
        name: of the kind.
        potentials: fold by fold.
        value: J, fold by fold.
        mismatch: energy distance between moved rows and rows of the target, the mean over the folds.
    """

    name: str
    potentials: Sequence[Potential]
    value: DualValue
    mismatch: float

    @property
    def loss(self) -> float:
        """J as a number."""
        return float(self.value.loss)

    def behind(self, other: Rival) -> float:
        """Return by how many standard errors J is above another's, row by row on the same rows."""
        difference = self.loss - other.loss
        error = standard_error(
            self.value.source - other.value.source,
            self.value.target - other.value.target,
        )
        return difference / error if difference and error else 0.0


def judged(
    name: str,
    potentials: Sequence[Potential],
    samples: Sequence[MemberSamples],
    objective: DualObjective,
    tol: float,
) -> Rival:
    """Return potentials of one kind, judged.

    Args:
        name: of the kind.
        potentials: one for each fold.
        samples: of every fold, with the rows left out.
        objective: J and its inner solver.
        tol: bound on the inner residual.
    """
    with torch.no_grad():
        value = held_out_value(objective, potentials, samples, tol)
        mismatches = [
            energy_distance(x + potential.value_and_gradient(x)[1], z)
            for potential, (x, z) in (
                (potential, each.held_out)
                for potential, each in zip(potentials, samples, strict=True)
            )
        ]
    return Rival(name, potentials, value, sum(mismatches) / len(mismatches))


def best_of(rivals: Sequence[Rival], errors: float) -> Rival:
    """Return of all rivals within some standard errors of the least J the one that matches the target best."""
    least = min(rivals, key=lambda rival: rival.loss)
    near = [rival for rival in rivals if rival.behind(least) <= errors]
    return min(near, key=lambda rival: rival.mismatch)
