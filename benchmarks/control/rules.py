"""Rules of differentiation, at equal steps and at equal time: what they reach, what a step takes, what it keeps.

The bytes that a training step keeps for its derivative are counted with 10, 50 and 200 inner iterations.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.control.cases import Budget, Case, chosen
from benchmarks.control.judge import judge
from benchmarks.control.policies import RATIO, STEP_SECONDS, STEPS, UNCONVERGED, is_of
from benchmarks.control.training import control_of, train
from benchmarks.harness import Choice, Column, Flags, Table
from brenier.control import (
    ControlGradient,
    Controller,
    ControlProblem,
    ControlSearch,
    DirectController,
    Grid,
    ImplicitController,
    ValueFunction,
    ValueNetwork,
)
from brenier.control.rollout import rolled
from brenier.solve import GradientStep

PROBLEMS = ("regulator", "exponential-10", "quadrotor")
MINUTES = {"regulator": 2.0, "exponential-10": 2.0, "quadrotor": 8.0}
STEPS_ASKED = 300
INNER = (10, 50, 200)
MIB = 2**20


class Rule(NamedTuple):
    """How controls are found and differentiated; `slower` divides the rate of a direct policy."""

    search: ControlSearch
    gradient: ControlGradient
    direct: bool = False
    slower: float = 1.0


def _searched(rule: str, **values: Any) -> Rule:
    """Return a rule whose controls are searched, even where they have a closed form."""
    return Rule(ControlSearch(exact=False), ControlGradient(rule, **values))


RULES: Mapping[str, Rule] = {
    "one-step": _searched("one_step"),
    "one-step+1": _searched("one_step", tracked_steps=1),
    "one-step+5": _searched("one_step", tracked_steps=5),
    "diagonal": _searched("one_step", step="diagonal"),
    "implicit": _searched("implicit"),
    "unrolled": _searched("unrolled"),
    "oracle": Rule(ControlSearch(exact=True), ControlGradient("implicit")),
    "direct": Rule(ControlSearch(), ControlGradient(), direct=True),
    "direct/10": Rule(ControlSearch(), ControlGradient(), direct=True, slower=10),
}


class Compared(NamedTuple):
    """A case, and whether steps are equal or time is."""

    case: Case
    equal: str


def problems(flags: Flags) -> Iterator[Choice]:
    for case in chosen(flags, PROBLEMS):
        for equal in ("steps", "time"):
            name = f"{case.name}, equal {equal}"
            yield Choice(name, Compared(case, equal), {"asked": case.asked})


def methods(flags: Flags, compared: Compared) -> Iterator[Choice]:
    budget = Budget(STEPS_ASKED if flags.steps is None else flags.steps)
    if compared.equal == "time":
        minutes = MINUTES[compared.case.name]
        minutes = minutes if flags.minutes is None else flags.minutes
        budget = Budget(seconds=60 * minutes)
    for name in RULES:
        if name in flags.methods:
            settings = {"max_time": budget.seconds}
            yield Choice(f"{name}, {budget}", (RULES[name], budget), settings)


def measure(
    compared: Compared, method: tuple[Rule, Budget], seed: int, flags: Flags
) -> dict[str, Any]:
    """Train by a rule; return how good the policy is, and what a step keeps."""
    rule, budget = method
    case = compared.case
    control = control_of(case.problem, seed, budget, **_arguments(rule, case, seed))
    control.learning_rate /= rule.slower
    found = train(control)
    facts = judge(found.policy, case, seed, flags) | found.facts
    if compared.equal == "steps":
        facts |= kept_by_rule(rule, case.problem, seed, flags)
    return facts


def _arguments(rule: Rule, case: Case, seed: int) -> dict[str, Any]:
    """Return the arguments of the estimator."""
    if rule.direct:
        return {"network": direct(case.problem, seed)}
    return {"search": rule.search, "gradient": rule.gradient}


def direct(problem: ControlProblem, seed: int) -> DirectController:
    """Return a policy without a value function, with about as many parameters as the usual network."""
    generator = torch.Generator().manual_seed(seed)
    asked = _size(ValueNetwork(problem.state_dim))
    own = problem.control_dim * (problem.state_dim + 1)
    width = min(
        range(16, 97),
        key=lambda w: abs(_size(ValueNetwork(problem.state_dim, w)) + own - asked),
    )
    network = ValueNetwork(problem.state_dim, width, generator=generator)
    return DirectController(problem, network, generator=generator)


def _size(module: nn.Module) -> int:
    return sum(part.numel() for part in module.parameters())


# ---- what a step keeps


def kept_by_rule(
    rule: Rule, problem: ControlProblem, seed: int, flags: Flags
) -> dict[str, float]:
    """Return MiB kept by one training step with 10, 50 and 200 inner iterations."""
    found = {}
    for inner in INNER:
        controller = with_inner(rule, problem, inner, seed)
        z = problem.initial_states(flags.kept_states, torch.Generator().manual_seed(0))
        grid = Grid(min(problem.steps, flags.kept_steps))
        kept = kept_bytes(lambda: cost(problem, controller, z.float(), grid))  # noqa: B023
        found[f"kept_mib_{inner}"] = kept / MIB
    more = found[f"kept_mib_{INNER[-1]}"] - found[f"kept_mib_{INNER[0]}"]
    return found | {"kib_per_inner": 1024 * more / (INNER[-1] - INNER[0])}


def with_inner(
    rule: Rule, problem: ControlProblem, inner: int, seed: int
) -> Controller:
    """Return a controller that takes so many steps in every search, as none of them is exact enough for it."""
    if rule.direct:
        return direct(problem, seed)
    generator = torch.Generator().manual_seed(seed)
    value = ValueFunction(problem, ValueNetwork(problem.state_dim, generator=generator))
    gradient = dataclasses.replace(rule.gradient, unrolled_steps=inner)
    search = dataclasses.replace(
        rule.search, method=GradientStep(1e-4), tol=1e-12, max_steps=inner
    )
    return ImplicitController(value, search, gradient)


def cost(
    problem: ControlProblem, controller: Controller, z: Tensor, grid: Grid
) -> Tensor:
    """Return the mean cost from initial states (n, d), with a graph."""
    found = rolled(problem, controller, z, grid)
    return (found.running + problem.terminal_cost(found.final)).mean()


def kept_bytes(loss: Callable[[], Tensor]) -> int:
    """Return the bytes that the graph of a loss keeps once it is there; what several operations keep counts once."""
    kept: list[weakref.ref[Tensor]] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(weakref.ref(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = loss()
    assert value.requires_grad
    # Graphs of derivatives on the way are gone.
    alive = (tensor for ref in kept if (tensor := ref()) is not None)
    storages = (tensor.untyped_storage() for tensor in alive)
    return sum({each.data_ptr(): each.nbytes() for each in storages}.values())


TABLE = Table(
    "control-rules",
    "control",
    (
        Column("cost", "cost", ".5g"),
        RATIO,
        UNCONVERGED,
        STEPS,
        STEP_SECONDS,
        *(Column(f"MiB kept, {k} inner", f"kept_mib_{k}", ".1f") for k in INNER),
        Column("KiB more for one more", "kib_per_inner", ".1f"),
        Column("parameters", "parameters", ".0f"),
    ),
    where=lambda row: is_of("rules", row),
)
