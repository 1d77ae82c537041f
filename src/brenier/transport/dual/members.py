"""What each member of an ensemble is trained on and judged by, and J over the rows that each holds out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import Solution
from brenier.statistics import Calibration, RowWeights, Weighted, joined_weights
from brenier.transport.dual.batches import Draw
from brenier.transport.dual.objective import DualObjective
from brenier.transport.dual.value import DualValue


class MemberSamples(NamedTuple):
    """The samples of one member of an ensemble.

    Attributes:
        source, target: functions (n, generator) -> (n, d) that draw batches.
        held_out: x (n, d) and z (m, d) never drawn by those, for evaluation.
        calibration: of batches of the source and of the target, or nothing.
        starts: (k, d), where inner problems of the evaluation may start beside x, or None.
        weights: (n,), (m,), of the rows held out; batches are drawn in proportion to such weights, so that their rows
            count alike, and all that steers training works as without: deferral, reuse, jitter and calibration.
    """

    source: Draw
    target: Draw
    held_out: tuple[Tensor, Tensor]
    calibration: Sequence[Calibration] = ()
    starts: Tensor | None = None
    weights: RowWeights = (None, None)

    def evaluate(
        self, objective: DualObjective, potential: Potential, tol: float | None
    ) -> DualValue:
        """Return J of a potential on the samples held out.

        Args:
            objective: J and its inner solver.
            potential: g.
            tol: another bound on the inner residual.
        """
        x, z = self.held_out
        if self.starts is None:
            return objective(potential, x, z, tol=tol).weighted(self.weights)
        # J looks at no more of them
        starts = self.starts[: max(0, objective.starts.max_candidates - len(x))]
        value = objective(potential, torch.cat([x, starts]), z, tol=tol)
        source = value.source[: len(x)]
        usable = torch.isfinite(value.solution.residual)
        loss = source.mean() - value.target[usable].mean()
        value = dataclasses.replace(value, loss=loss, source=source)
        return value.weighted(self.weights)


def held_out_value(
    objective: DualObjective,
    potentials: Sequence[Potential],
    samples: Sequence[MemberSamples],
    tol: float | None = None,
) -> DualValue:
    """Return J over the rows that each of some potentials was not trained on, member by member in order.

    Args:
        objective: J and its inner solver.
        potentials: one for each of the samples.
        samples: theirs.
        tol: another bound on the inner residual.
    """
    pairs = zip(potentials, samples, strict=True)
    values = [own.evaluate(objective, each, tol) for each, own in pairs]
    source = torch.cat([value.source for value in values])
    target = torch.cat([value.target for value in values])
    solution = Solution.concatenate([value.solution for value in values])
    usable = torch.isfinite(solution.residual)
    loss = source.mean() - target[usable].mean()
    whole = DualValue(loss, source, target, solution)
    return whole.weighted(weights_of_all(samples))


def weights_of_all(samples: Sequence[MemberSamples]) -> RowWeights:
    """Return the weights of the rows that all members hold out, member by member."""
    of_x, of_z = (
        joined_weights(
            [Weighted(own.held_out[side], own.weights[side]) for own in samples]
        )
        for side in (0, 1)
    )
    return of_x, of_z
