"""A training run: one object that can be put down and picked up, for any task.

Every step asks the task for its losses, differentiates them, clips the gradient of each member of an ensemble and takes
one step of the optimiser. Evaluation and the result use the running average of the weights, over about the last tenth
of the steps; `selection` says which evaluation is kept. A step whose loss is faulty is not taken: training goes back to
the last selected weights with half the learning rate.

Several ranks may advance a run together (see `ranks`). All hold the same weights, and decide by the clock of the first;
each has batches, and what is in flight, of its own.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any, Generic

import torch
from torch import nn

from brenier.training.agreement import (
    agreed_times,
    pooled_row,
    summed_gradients,
)
from brenier.training.clock import Now
from brenier.training.optimiser import ema_update, take_step
from brenier.training.ranks import Ranks
from brenier.training.selection import Selection
from brenier.training.settings import Settings
from brenier.training.task import Evaluation, Model, Task
from brenier.training.threads import in_one_thread

COUNTERS = (
    "step",
    "seconds",
    "evaluation_seconds",
    "batch_size",
    "rate_factor",
    "rollbacks",
    "evaluations_without_improvement",
    "finished",
)
# What the first rank tells the others, since clocks differ.
AGREED_TIMES = ("seconds", "step_seconds", "evaluation_seconds", "last_evaluation")


class Run(Generic[Model]):
    """A training run: everything that changes while training, and nothing else.

    Args:
        task: what to train; its model is changed in place.
        settings: how to train.
        generator: the only source of randomness, the one that the task draws from.
        now: source of time.

    Attributes:
        limit: seconds of steps and evaluations at most, or None; it may be changed on the way. Steps end where the next
            would take them beyond it by more than half; the evaluation that then follows comes on top.
        step_seconds: what a step takes, as far as is known.
        last_evaluation: seconds of the last evaluation.
        history: one row for every evaluation.
        finished: why training stopped, empty until it has.
    """

    def __init__(
        self,
        task: Task[Model],
        settings: Settings,
        generator: torch.Generator,
        now: Now = time.perf_counter,
    ) -> None:
        self.task, self.settings, self.generator = task, settings, generator
        self._now, self.limit, self.step_seconds = now, settings.max_time, 0.0
        self.average = copy.deepcopy(task.model).requires_grad_(False)
        self.selection = Selection(task.model.state_dict(), settings)
        self.step = 0
        self.seconds = 0.0
        self.evaluation_seconds = 0.0
        self.batch_size = settings.batch_size
        self.rate_factor = 1.0
        self.rollbacks = 0
        self.evaluations_without_improvement = 0
        self.finished = ""
        self.history: list[dict[str, float]] = []
        self.ranks = Ranks()
        self._others: list[dict[str, Any]] = []  # where other ranks were, if any
        self._records: list[
            Mapping[str, float]
        ] = []  # of batches since the last evaluation
        self.last_evaluation = 0.0
        self._new_optimizer()

    def advance(self) -> None:
        """Take one training step, evaluating first whenever one is due."""
        self._agree()
        if self._evaluation_is_due():
            self._evaluate()
            if self.finished:
                return
        began = self._now()
        rate = self._set_rate()
        self.optimizer.zero_grad()
        fault = self._differentiate(self.settings.rows(self.step), rate)
        if fault:
            self._roll_back(fault)
        else:
            own = self.settings.optimizer is not None
            in_one_thread(lambda: take_step(self.optimizer, own=own))
            self.task.end_step()
            ema_update(
                self.average, self.task.model, self.step, self.settings.ema_decay
            )
        self.step += 1
        if self.ranks.size == 1:
            self._others = []  # they were elsewhere, and this run went on without them
        self._count_step(self._now() - began)

    def result(self) -> Model:
        """Return a copy of the model with the selected weights."""
        chosen = copy.deepcopy(self.task.model)
        chosen.load_state_dict(self.selection.weights)
        return chosen.eval().requires_grad_(False)

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to go on as if never stopped; copies, safe to write while training goes on.

        Of several ranks all must ask for it, since the first has the state of the others in its own.
        """
        own = self._own_state()
        others = self._others if self.ranks.size == 1 else self.ranks.gathered(own)[1:]
        return copy.deepcopy(
            {
                "model": self.task.model.state_dict(),
                "average": self.average.state_dict(),
                "selection": self.selection.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                **own,
                "counters": {name: getattr(self, name) for name in COUNTERS},
                "history": self.history,
                **({"others": others} if others else {}),
            }
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a run where `state_dict` was called."""
        self.task.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.selection.load_state_dict(state["selection"], self._device())
        self._new_optimizer()
        self.optimizer.load_state_dict(state["optimizer"])
        self._load_own_state(state)
        self._others = list(state.get("others", ()))
        for name in COUNTERS:
            setattr(self, name, state["counters"][name])
        self.history = [dict(row) for row in state["history"]]
        for name in (*self.task.averages, *self.task.counts):
            _mean([row[name] for row in self._records])  # which later would fail

    def join(self, ranks: Ranks) -> None:
        """Advance together with other ranks, whose runs are the same, from now on.

        Where as many were together before, each goes on from where it was; else from nothing in flight.

        Args:
            ranks: the group.
        """
        self.ranks = ranks
        self.task.join(ranks)
        if len(self._others) + 1 != ranks.size:
            self.task.forget()
            if not ranks.first:
                seed = ranks.seed(self.generator.initial_seed(), self.step)
                self.generator.manual_seed(seed)
        elif not ranks.first:
            self._load_own_state(self._others[ranks.rank - 1])
        self._others = []

    def leave(self) -> None:
        """Be alone again."""
        self.ranks.busy = False
        self.ranks = Ranks()
        self.task.join(None)

    def _own_state(self) -> dict[str, Any]:
        """Return what is this rank's alone."""
        return {
            "generator": self.generator.get_state(),
            "task": self.task.state_dict(),
            "records": self._records,
        }

    def _load_own_state(self, state: dict[str, Any]) -> None:
        """Take up what is this rank's alone."""
        self.generator.set_state(state["generator"].cpu())
        self.task.load_state_dict(state["task"])
        self._records = list(state["records"])

    def _agree(self) -> None:
        """Take over from the first rank what depends on its clock."""
        own = [getattr(self, name) for name in AGREED_TIMES]
        times, self.limit = agreed_times(own, self.limit, self.ranks)
        for name, seconds in zip(AGREED_TIMES, times, strict=True):
            setattr(self, name, seconds)

    def _differentiate(self, rows: int, rate: float) -> str:
        """Differentiate the losses of one step; say why the step must not be taken, if it must not."""
        fault, share = "", rows if self.task.shares else self.ranks.share(rows)
        for loss in self.task.losses(share, rate):
            self._records.extend(loss.records)
            fault = fault or loss.fault
            if not loss.fault:
                loss.value.backward()
            elif self.ranks.size == 1:
                break
        fault = summed_gradients(self.task.model, self.ranks, fault, self.task.shares)
        if fault:
            return fault
        for member in self.task.members():
            nn.utils.clip_grad_norm_(member.parameters(), self.settings.clip)
        return ""

    def _set_rate(self) -> float:
        """Set the scheduled learning rate; return its factor."""
        progress = self.step / max(1, self.settings.max_steps)
        if self.limit is not None:
            progress = max(progress, min(1.0, self.seconds / self.limit))
        self.task.begin_step(progress)
        factor = self.settings.schedule(progress) * self.rate_factor
        expected_steps = self.step / progress if progress else self.settings.max_steps
        power = self.settings.short_run_factor(expected_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = (
                group["initial_lr"] * factor * group.get("lr_multiplier", 1.0) ** power
            )
        return factor

    def _evaluate(self) -> None:
        """Evaluate the averaged weights on the held-out samples, select, and decide whether to stop."""
        began = self._now()
        evaluation = self._evaluation()
        if self.selection.consider(evaluation, self.average.state_dict()):
            self.evaluations_without_improvement = 0
        elif self.selection.worse(evaluation):
            self.evaluations_without_improvement += self.settings.overfit_penalty
        elif self.settings.max_time is None:
            self.evaluations_without_improvement += 1
        self.last_evaluation = self._now() - began
        self.evaluation_seconds += self.last_evaluation
        self.seconds += self.last_evaluation
        self._agree()
        self.history.append(self._row(evaluation))
        self._records = []
        if self._spent():
            self.finished = "budget"
        elif self.evaluations_without_improvement >= self.settings.patience:
            self.finished = "held-out value stopped improving"

    def _evaluation(self) -> Evaluation:
        """Return the evaluation of the averaged weights, which the first rank tells the others."""
        found = None
        if self.task.shares or self.ranks.first:
            with torch.no_grad():
                found = self.task.evaluate(self.average)
        told: Evaluation = self.ranks.told(found)
        return told

    def _spent(self) -> bool:
        """Say whether the steps or the seconds are used up."""
        end = self.seconds + 0.5 * self.step_seconds
        return self.step >= self.settings.max_steps or (
            self.limit is not None and end >= self.limit
        )

    def _evaluation_is_due(self) -> bool:
        """Say whether to evaluate before the next step.

        Where seconds are limited, evaluations that would take more than their share of them are left out.
        """
        if self._spent():
            return True
        if self.step % self.settings.evaluate_every:
            return False
        if self.limit is None or not self.history:
            return True
        spent = self.evaluation_seconds + self.last_evaluation
        return spent <= self.settings.evaluation_share * self.seconds

    def _count_step(self, seconds: float) -> None:
        """Take in what a step took."""
        self.seconds += seconds
        known = self.step_seconds or seconds
        self.step_seconds = 0.7 * known + 0.3 * seconds

    def _row(self, evaluation: Evaluation) -> dict[str, float]:
        """Return the row of the history for an evaluation and the steps before it."""
        means = [
            _mean([row[name] for row in self._records]) for name in self.task.averages
        ]
        sums = [sum(row[name] for row in self._records) for name in self.task.counts]
        means, sums = pooled_row(means, sums, self.ranks)
        return {
            "step": self.step,
            "seconds": self.seconds,
            "value": evaluation.value,
            "standard_error": evaluation.standard_error(),
            **evaluation.record,
            **dict(zip(self.task.averages, means, strict=True)),
            **dict(zip(self.task.counts, sums, strict=True)),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "rollbacks": self.rollbacks,
        }

    def _roll_back(self, fault: str) -> None:
        """Return to the selected weights with half the learning rate and a new optimiser."""
        self.task.model.load_state_dict(self.selection.weights)
        self.average.load_state_dict(self.selection.weights)
        self.task.forget()
        self.rate_factor /= 2
        self.rollbacks += 1
        self._new_optimizer()
        if self.rollbacks >= self.settings.max_rollbacks:
            self.finished = f"gave up after {self.rollbacks} rollbacks: {fault}"

    def _new_optimizer(self) -> None:
        self.optimizer = self.settings.make_optimizer(self.task.parameter_groups())
        for group in self.optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])

    def _device(self) -> torch.device:
        return next(self.task.model.parameters()).device


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
