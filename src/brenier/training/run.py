"""Training: one object that can be put down and picked up, and a thin `fit` around it.

Every step draws a batch from either side, solves the inner problems to the current tolerance but for the last few
(see `batches`), and takes one optimiser step along the envelope gradient of J, its means weighed as `calibration` says,
with the penalty of `convexity` where psi is not convex by construction. The tolerance follows the learning rate,

    tol_k = max(tol, loosest * sqrt(d lr_k / lr_0)),

since the error of the weights that comes from the noise of batches falls like the square root of the rate, and inner
errors need not be smaller ("Fixed-Point Neural Optimal Transport...", Park et al., 2026, Theorem 3.8 and Corollary
3.12: shrinking tolerances).

A mean of potentials is trained part by part: each has batches, inner problems and a J of its own, and the optimiser
moves them together. Only evaluation and selection look at the mean.

Evaluation and the result use the running average of the weights, over about the last tenth of the steps; `selection`
says which evaluation is kept. Training that loses its inner solves or turns non-finite steps back to the last selected
state with half the rate.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from brenier.potentials import Potential
from brenier.statistics import Calibration, Smoothing
from brenier.training.selection import Selection
from brenier.training.settings import Settings, short_run_factor
from brenier.transport.dual import (
    Batch,
    Batches,
    Draw,
    DualObjective,
    DualValue,
    excess,
)


@torch.no_grad()
def follow(average: nn.Module, potential: nn.Module, step: int, most: float) -> None:
    """Take a step's weights into their running average, of about a ninth of the steps; its decay is `most` at most."""
    decay = min(most, (1 + step) / (10 + step))
    averages, weights = (
        list[Tensor](average.parameters()),
        list[Tensor](potential.parameters()),
    )
    torch._foreach_lerp_(averages, weights, 1 - decay)


MAX_SETBACKS = 6
EXACT = (
    0.01  # held-out J is evaluated at the tolerance of this factor of the learning rate
)
OVERFITTED = 3  # evaluations that one with a significantly worse held-out J counts for
PENALISED = 1024  # rows of either side between which psi is held convex
TOLERATED = 0.1  # share of unconverged rows in a training batch beyond which its gradient is not trusted


class Run:
    """A training run: everything that changes while training, and nothing else.

    Args:
        potential: the potential to train, in place.
        objective: J and its inner solver.
        source, target: functions (n, generator) -> (n, d) that draw batches.
        held_out: x (n, d) and z (m, d) never drawn by those, for evaluation.
        settings: how to train.
        generator: the only source of randomness.
        calibration: of batches of the source and of the target, or nothing.
    """

    def __init__(
        self,
        potential: Potential,
        objective: DualObjective,
        source: Draw,
        target: Draw,
        held_out: tuple[Tensor, Tensor],
        settings: Settings,
        generator: torch.Generator,
        calibration: Sequence[Calibration] = (),
    ) -> None:
        self.potential, self.objective, self.settings = potential, objective, settings
        self.held_out, self.generator = held_out, generator
        smoothing = [Smoothing(side, potential.transport_dim) for side in held_out]
        self.parts = potential.members()
        self.batches = [
            Batches(source, target, generator, calibration, smoothing, settings.uses)
            for _ in self.parts
        ]
        self._certain = potential.strong_convexity() > 0
        self.average = copy.deepcopy(potential).requires_grad_(False)
        (
            self.step,
            self.drawn,
            self.seconds,
            self.rate_factor,
            self.setbacks,
            self.idle,
        ) = 0, 0, 0.0, 1.0, 0, 0
        self.history: list[dict[str, float]] = []
        self.finished = ""
        self._since: list[dict[str, float]] = []
        self._new_optimizer()
        self.selection = Selection(potential.state_dict())

    def advance(self) -> None:
        """Take one training step, evaluating first whenever one is due."""
        if self.step % self.settings.evaluate_every == 0 or self._spent():
            self._evaluate()
            if self.finished:
                return
        began = time.perf_counter()
        rate, rows = self._set_rate(), self.settings.rows(self.step)
        self.optimizer.zero_grad()
        lost = self._differentiate(rows, rate)
        if lost:
            self._step_back(lost)
        else:
            self.optimizer.step()
            follow(self.average, self.potential, self.step, self.settings.averaging)
        self.step += 1
        self.seconds += time.perf_counter() - began

    def result(self) -> Potential:
        """Return a copy of the potential with the selected weights."""
        chosen = copy.deepcopy(self.potential)
        chosen.load_state_dict(self.selection.weights)
        return chosen.eval().requires_grad_(False)

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to go on as if never stopped; copies, safe to write while training goes on."""
        return copy.deepcopy(
            {
                "potential": self.potential.state_dict(),
                "average": self.average.state_dict(),
                "selection": self.selection.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "generator": self.generator.get_state(),
                "batches": [batches.state_dict() for batches in self.batches],
                "counters": {name: getattr(self, name) for name in _COUNTERS},
                "history": self.history,
                "since": self._since,
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a run where `state_dict` was called."""
        self.potential.load_state_dict(state["potential"])
        self.average.load_state_dict(state["average"])
        self.selection.load_state_dict(state["selection"], self.held_out[0])
        self._new_optimizer()
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"].cpu())
        for batches, known in zip(self.batches, state["batches"], strict=True):
            batches.load_state_dict(known, self.held_out[0])
        for name in _COUNTERS:
            setattr(self, name, state["counters"][name])
        self.history, self._since = list(state["history"]), list(state["since"])

    def _differentiate(self, rows: int, rate: float) -> str:
        """Draw a batch for every part of the potential and differentiate its J; say what was lost, if anything was."""
        draws = [
            partial(self._draw, *pair, rows, rate)
            for pair in zip(self.parts, self.batches, strict=True)
        ]
        sources = iter(self.batches)
        for together in self.objective.several(draws, self._tol(rate)):
            losses = []
            for batch, value in together:
                next(sources).keep(batch.z, value.solution)
                lost = self._noted(batch, value)
                if lost:
                    return lost
                losses.append(
                    value.loss
                    if self._certain
                    else value.loss + self._penalty(batch, value)
                )
            torch.stack(losses).sum().backward()
        for part in self.parts:
            nn.utils.clip_grad_norm_(part.parameters(), self.settings.clip)
        return ""

    def _draw(self, part: Potential, batches: Batches, rows: int, rate: float) -> Batch:
        x, z, start, skip_fraction = batches.draw(rows, self.settings.bandwidth * rate)
        return Batch(part, x, z, start, skip_fraction, batches.weigh)

    def _noted(self, batch: Batch, value: DualValue) -> str:
        """Note how a batch went; say what was lost, if anything was."""
        self.drawn += len(batch.x)
        found, evaluations = value.loss.item(), value.solution.evaluations_per_row
        unconverged = value.solution.unconverged - value.solution.deferred
        self._since.append(
            {
                "train_value": found,
                "inner_evaluations": evaluations,
                "unconverged": unconverged,
            }
        )
        if not math.isfinite(found) or unconverged > TOLERATED * len(batch.z):
            return f"{unconverged} of {len(batch.z)} inner problems unconverged, J = {found:.3g}"
        return ""

    def _penalty(self, batch: Batch, value: DualValue) -> Tensor:
        """Return how far psi is from convex, near some rows of either side."""
        ends = batch.z[
            -PENALISED:
        ]  # the newest: the first are those that were left, mostly of the tails
        with torch.no_grad():
            heights = torch.cat([value.source[:PENALISED], batch.potential(ends)])
        return excess(
            batch.potential,
            torch.cat([batch.x[:PENALISED], ends]),
            heights,
            self.generator,
        )

    def _tol(self, rate: float) -> float:
        """Return the bound on inner residuals at a factor of the learning rate."""
        dim = self.held_out[0].shape[-1]
        return max(self.objective.tol, self.settings.loosest * math.sqrt(dim * rate))

    def _set_rate(self) -> float:
        """Set the scheduled learning rate; return its factor."""
        progress = self.step / max(1, self.settings.max_steps)
        if self.settings.max_time is not None:
            progress = max(progress, self.seconds / self.settings.max_time)
        factor = self.settings.schedule(progress) * self.rate_factor
        short = short_run_factor(
            self.step / progress if progress else self.settings.max_steps
        )
        for group in self.optimizer.param_groups:
            group["lr"] = (
                group["initial_lr"] * factor * group.get("lr_multiplier", 1.0) ** short
            )
        return factor

    def _evaluate(self) -> None:
        """Evaluate the averaged weights on the held-out samples, select, and decide whether to stop."""
        began = time.perf_counter()
        with torch.no_grad():
            value = self.objective(self.average, *self.held_out, tol=self._tol(EXACT))
        fresh = self.drawn <= len(self.parts) * self.settings.fresh_rows
        if self.selection.consider(value, self.average.state_dict(), fresh):
            self.idle = 0
        else:
            self.idle += (
                OVERFITTED
                if self.selection.worse(value)
                else int(self.settings.max_time is None)
            )
        self.seconds += time.perf_counter() - began
        self.history.append(self._row(value))
        self._since = []
        if self._spent():
            self.finished = "budget"
        elif self.idle >= self.settings.patience:
            self.finished = "held-out value stopped improving"

    def _spent(self) -> bool:
        """Say whether the steps or the seconds are used up."""
        limit = self.settings.max_time
        return self.step >= self.settings.max_steps or (
            limit is not None and self.seconds >= limit
        )

    def _row(self, value: DualValue) -> dict[str, float]:
        means = {name: _mean([row[name] for row in self._since]) for name in _AVERAGED}
        return {
            "step": self.step,
            "seconds": self.seconds,
            "value": value.loss.item(),
            "standard_error": value.standard_error(),
            "evaluations": value.solution.evaluations_per_row,
            "held_out_unconverged": value.solution.unconverged,
            **means,
            "unconverged": sum(row["unconverged"] for row in self._since),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "setbacks": self.setbacks,
        }

    def _step_back(self, reason: str) -> None:
        """Return to the selected weights with half the learning rate and a fresh optimiser."""
        self.potential.load_state_dict(self.selection.weights)
        self.average.load_state_dict(self.selection.weights)
        self.rate_factor /= 2
        self.setbacks += 1
        for batches in self.batches:
            batches.clear()
        self._new_optimizer()
        if self.setbacks >= MAX_SETBACKS:
            self.finished = f"gave up after {self.setbacks} setbacks: {reason}"

    def _new_optimizer(self) -> None:
        self.optimizer = self.settings.make_optimizer(self.potential.parameter_groups())
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])


_COUNTERS = ("step", "drawn", "seconds", "rate_factor", "setbacks", "idle", "finished")
_AVERAGED = ("train_value", "inner_evaluations")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
