"""The dual objective as a task of training.

Every step draws a batch from either side, solves the inner problems to the current tolerance but for the last few
(see `batches`), and gives the envelope gradient of J, its means weighted as `brenier.statistics.calibration` says, with
the penalties of `convexity` and `curvature` where psi is not convex by construction. The tolerance follows the learning
rate,

    tol_k = max(tol, initial_inner_tol * sqrt(d lr_k / lr_0)),

since the error of the weights that comes from the noise of batches falls like the square root of the rate, and inner
errors need not be smaller ("Fixed-Point Neural Optimal Transport...", Park et al., 2026, Theorem 3.8 and Corollary
3.12: shrinking tolerances).

A mean of potentials is an ensemble: each member has batches, inner problems and a J of its own, and the optimiser moves
them together. Only evaluation and selection look at the mean. Where each member has samples of its own, it is evaluated
on those that it never draws, and so all rows take part in the value.

Several ranks deal the members out first, and share the batches of a member where there are more of them than members:
each then draws its part from what it holds, and the weights are those of the whole batch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.solve import Status
from brenier.statistics import (
    Smoothing,
    some_of,
    some_weights,
)
from brenier.training import Evaluation, Loss, Ranks, Task
from brenier.transport.dual.batches import Batches
from brenier.transport.dual.convexity import convexity_penalty
from brenier.transport.dual.curvature import curvature_penalty
from brenier.transport.dual.members import (
    MemberSamples,
    held_out_value,
    weights_of_all,
)
from brenier.transport.dual.objective import Batch, DualObjective
from brenier.transport.dual.parallel import SharedRows
from brenier.transport.dual.settings import DualSettings
from brenier.transport.dual.value import DualValue


class DualTask(Task[Potential]):
    """The training of a potential by the dual objective.

    Args:
        potential: the potential to train, in place.
        objective: J and its inner solver.
        samples: of all members alike, or of each.
        settings: how batches are drawn, solved and judged.
        generator: the only source of randomness, that of the run.
    """

    averages = ("train_value", "inner_evaluations")
    counts = ("unconverged",)
    shares = True

    def __init__(
        self,
        potential: Potential,
        objective: DualObjective,
        samples: MemberSamples | Sequence[MemberSamples],
        settings: DualSettings,
        generator: torch.Generator,
    ) -> None:
        self.model, self.objective, self.settings = potential, objective, settings
        self.generator = generator
        self.drawn = 0  # rows of the source, by all members and ranks together
        self.ranks, self._pool = Ranks(), Ranks()
        self._members = potential.members()
        self._own: list[MemberSamples] | None = None
        if isinstance(samples, MemberSamples):
            self.held_out, self.weights = samples.held_out, samples.weights
            drawn = [samples] * len(self._members)
        else:
            drawn = self._own = list(samples)
            x, z = zip(*(each.held_out for each in drawn), strict=True)
            self.held_out = torch.cat(x), torch.cat(z)
            self.weights = weights_of_all(drawn)
        # Rows that are evaluated, at most, where all members have the same.
        self.selected = max(map(len, self.held_out))
        smoothing = [
            Smoothing(side, potential.transport_dim, weights)
            for side, weights in zip(self.held_out, self.weights, strict=True)
        ]
        self._batches = [
            Batches(
                each.source,
                each.target,
                generator,
                each.calibration if settings.calibrated else (),
                smoothing,
                settings,
            )
            for each in drawn
        ]
        # Other costs do not ask that psi is convex.
        self._convex = objective.cost is not None or potential.strong_convexity() > 0

    def members(self) -> Sequence[Potential]:
        """Return the potentials that each have a J of their own."""
        return self._members

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return those of the potential."""
        return self.model.parameter_groups()

    def join(self, pool: Ranks | None) -> None:
        """Take part with other ranks: of some members where these can be dealt out, of a part of their batches."""
        self.ranks = Ranks() if pool is None else pool
        self._pool = self.ranks.parts(self._deal)
        for batches in self._batches:
            batches.join(self._pool, self.ranks.rank)

    @property
    def _deal(self) -> int:
        """Into how many parts the ranks fall, each with as many members as the others."""
        return math.gcd(self.ranks.size, len(self._members))

    @property
    def _own_members(self) -> list[int]:
        """The places of the members that this rank works on."""
        each = len(self._members) // self._deal
        part = self.ranks.rank // self._pool.size
        return list(range(part * each, (part + 1) * each))

    def losses(self, rows: int, rate: float) -> Iterator[Loss]:
        """Yield J of every member, on a batch of its own; of those that were evaluated at once the sum."""
        own = self._own_members
        sources = iter([self._batches[k] for k in own])
        batches = self._draw(self._pool.share(rows), rate)
        for together in self.objective.evaluate_batches(
            batches, len(own), self._tol(rate)
        ):
            values, records, fault = list[Tensor](), [], ""
            for batch, value in together:
                next(sources).keep(batch.z, value.solution)
                self.drawn += len(batch.x) * self._pool.size * self._deal
                found = _outcome(value)
                records.append(_record(value, found))
                fault = fault or self._fault(batch, found)
                values.append(value.loss + self._penalties(batch, value, rate))
            yield Loss(torch.stack(values).sum(), records, fault)

    def evaluate(self, model: Potential) -> Evaluation:
        """Return J of a potential on the held-out samples, or on `selected` of either side, at equal distances.

        It is not to be trusted where inner problems did not converge, since that makes J look smaller than it is.
        """
        tol, objective = self.evaluation_tol, self._evaluated_by()
        if self._own is None:
            x, z = (some_of(side, self.selected) for side in self.held_out)
            weights = some_weights(self.weights, (len(x), len(z)))
            value = objective(model, x, z, tol=tol).weighted(weights)
        else:
            value = held_out_value(objective, model.members(), self._own, tol)
        solution = value.solution
        record = {
            "evaluations": solution.evaluations_per_row,
            "held_out_unconverged": solution.unconverged,
        }
        return Evaluation(
            value.value(),
            value.terms(),
            record,
            trusted=not solution.unconverged,
            fresh=self.drawn <= len(self._members) * self.settings.fresh_rows,
        )

    def summary(self, row: Mapping[str, float]) -> str:
        """Return a row of the history as a progress bar shows it."""
        value = f"J={row['value']:.5g}±{row['standard_error']:.1g}"
        if row["step"] == 0:  # nothing was solved in training yet
            return value
        return f"{value} inner={row['inner_evaluations']:.1f} unconverged={row['unconverged']:.0f}"

    def state_dict(self) -> dict[str, Any]:
        """Return what is in flight, and how many rows were drawn."""
        return {
            "drawn": self.drawn,
            "selected": self.selected,
            "batches": [batches.state_dict() for batches in self._batches],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what was in flight."""
        self.drawn, self.selected = state["drawn"], state["selected"]
        for batches, known in zip(self._batches, state["batches"], strict=True):
            batches.load_state_dict(known, self.held_out[0].device)

    def forget(self) -> None:
        """Drop what is in flight."""
        for batches in self._batches:
            batches.forget()

    def _draw(self, rows: int, rate: float) -> Iterator[Batch]:
        """Draw a batch for every member of this rank, each when it is asked for."""
        bandwidth = self.settings.bandwidth * rate
        for k in self._own_members:
            member, batches = self._members[k], self._batches[k]
            x, z, start, skip_fraction = batches.draw(rows, bandwidth)
            yield Batch(member, x, z, start, skip_fraction, batches.weights, self._pool)

    def _evaluated_by(self) -> DualObjective:
        """Return J as rows that all ranks hold are evaluated."""
        if self.ranks.size == 1:
            return self.objective
        return dataclasses.replace(self.objective, evaluator=SharedRows(self.ranks))

    def _fault(self, batch: Batch, found: Outcome) -> str:
        """Say why the gradient of a batch is not to be trusted, if it is not."""
        most = self.settings.max_unconverged * len(batch.z)
        if math.isfinite(found.loss) and found.unconverged <= most:
            return ""
        return f"{found.unconverged} of {len(batch.z)} inner problems unconverged, J = {found.loss:.3g}"

    def _penalties(self, batch: Batch, value: DualValue, rate: float) -> Tensor | float:
        """Return how far psi is from convex, of a part of a batch its share."""
        found = self._penalty(batch, value) + self._around_rows(batch, rate)
        return found / self._pool.size

    def _penalty(self, batch: Batch, value: DualValue) -> Tensor | float:
        """Return how far psi is from convex near some rows of either side; zero where it is convex by construction."""
        rows = self._part(self.settings.penalty_rows)
        if self._convex or not rows:
            return 0.0
        x = batch.x[:rows]
        z = batch.z[
            -rows:
        ]  # the newest: the first are those deferred, mostly of the tails
        with torch.no_grad():
            heights = torch.cat([value.source[:rows], batch.potential(z)])
        return convexity_penalty(
            batch.potential, torch.cat([x, z]), heights, self.generator
        )

    def _around_rows(self, batch: Batch, rate: float) -> Tensor | float:
        """Return how far psi is from convex around some rows of the source, where there are many features."""
        settings = self.settings
        rows = self._part(settings.curvature_rows)
        if self._convex or not rows or batch.potential.dim < settings.curvature_dim:
            return 0.0
        penalty = curvature_penalty(
            batch.potential, batch.x[:rows], self.generator, settings.probe()
        )
        weight = settings.curvature_weight * (
            1 + settings.curvature_growth * (1 - rate)
        )
        return weight * batch.potential.transport_dim * penalty

    def _part(self, rows: int) -> int:
        """Return the part of so many rows that one of the processes that share a batch looks at."""
        return -(-rows // self._pool.size)

    @property
    def evaluation_tol(self) -> float:
        """The bound on inner residuals when potentials are judged."""
        return self._tol(self.settings.evaluation_rate)

    def _tol(self, rate: float) -> float:
        """Return the bound on inner residuals at a factor of the learning rate."""
        dim = self.held_out[0].shape[-1]
        return max(self.objective.tol, self.settings.inner_tol(dim, rate))


class Outcome(NamedTuple):
    """The loss of a batch, and how many rows did not converge, those aside that were deferred as asked."""

    loss: float
    unconverged: int


def _outcome(value: DualValue) -> Outcome:
    """Return how a batch came out, which a device is asked for once."""
    status = value.solution.status
    faulty = (status != Status.CONVERGED) & (status != Status.DEFERRED)
    both = torch.stack([value.loss.detach().double(), faulty.sum().double()])
    loss, unconverged = both.tolist()
    return Outcome(loss, int(unconverged))


def _record(value: DualValue, found: Outcome) -> dict[str, float]:
    """Return what a person wants to see of a batch."""
    return {
        "train_value": value.value_of(found.loss),
        "inner_evaluations": value.solution.evaluations_per_row,
        "unconverged": found.unconverged,
    }
