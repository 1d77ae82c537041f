"""A fixed batch of initial states, as published, against new ones at every step: costs in training and held out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from benchmarks.control import truth
from benchmarks.control.cases import Budget, Case, chosen, held_out
from benchmarks.control.judge import follow
from benchmarks.control.policies import STEPS, is_of
from benchmarks.control.training import control_of, train
from benchmarks.harness import Choice, Column, Flags, Table
from brenier.control import ControlTask, FeedbackPolicy

PROBLEMS = ("regulator", "exponential-10", "quadrotor")
KINDS = ("fresh", "fixed")
STEPS_ASKED = 400


def problems(flags: Flags) -> Iterator[Choice]:
    for case in chosen(flags, PROBLEMS):
        yield Choice(f"{case.name}, batches", case)


def methods(flags: Flags, case: Case) -> Iterator[Choice]:
    budget = Budget(STEPS_ASKED if flags.steps is None else flags.steps)
    for kind in KINDS:
        yield Choice(f"{kind}, {budget}", (kind, budget))


def measure(
    case: Case, method: tuple[str, Budget], seed: int, flags: Flags
) -> dict[str, Any]:
    """Train; return costs at initial states of training and at held-out ones.

    The last weights are judged: selected ones would be chosen by states that are held out here.
    """
    kind, budget = method
    control = control_of(case.problem, seed, budget)
    fixed = control.batch_size if kind == "fixed" else None
    control.settings = dataclasses.replace(
        control.settings, fixed_states=fixed, patience=10**6
    )
    found = train(control)
    run = found.run
    assert run is not None
    assert isinstance(run.task, ControlTask)
    policy = FeedbackPolicy(run.average, control.grid)
    new = held_out(case.problem, flags.states, seed)
    seen = run.task.fixed
    if seen is None:  # of the law that every step draws from
        seen = held_out(case.problem, flags.states, seed + 1)
    seen_cost, new_cost = (follow(policy, z).cost.double() for z in (seen, new))
    facts = {"trained": float(seen_cost.mean()), "held_out": float(new_cost.mean())}
    if truth.is_closed(case.problem):
        # Some states are dearer than others: costs over the optimum are what can be compared.
        for name, z, cost in (
            ("trained_ratio", seen, seen_cost),
            ("held_out_ratio", new, new_cost),
        ):
            least = truth.CLOSED[type(case.problem)](case.problem, z.double().numpy())
            facts[name] = float(cost.mean()) / float(least.mean())
    return facts | {
        "gap_percent": 100 * (facts["held_out"] / facts["trained"] - 1),
        "states_in_training": fixed or 0,
        "steps": run.step,
    }


TABLE = Table(
    "control-batches",
    "control",
    (
        Column("cost in training", "trained", ".5g"),
        Column("held out", "held_out", ".5g"),
        Column("over the optimum in training", "trained_ratio", ".4f"),
        Column("held out, over the optimum", "held_out_ratio", ".4f"),
        STEPS,
    ),
    where=lambda row: is_of("batches", row),
)
