"""Swarms: what they cost for each agent, how near agents come to each other, and what a step takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.control import truth
from benchmarks.control.cases import SWARMS, Budget, Case, chosen, held_out
from benchmarks.control.judge import costs_over, follow, searches
from benchmarks.control.policies import (
    SECONDS,
    STEP_SECONDS,
    STEPS,
    UNCONVERGED,
    is_of,
)
from benchmarks.control.rules import MIB, cost, kept_bytes
from benchmarks.control.training import control_of, start_run, train
from benchmarks.harness import Choice, Column, Flags, Table
from brenier.control import (
    Bicycle,
    ControlProblem,
    Grid,
    OptimalControl,
    Quadrotor,
)
from brenier.control.problems.swarm import smallest_distance

MOST_KEPT = 1024 * MIB  # by a step; optimiser and evaluation need as much again
AGENTS = 8  # of a swarm, whose own optima are found


def problems(flags: Flags) -> Iterator[Choice]:
    for case in chosen(flags, SWARMS):
        settings = {"agents": case.problem.config()["agents"]}
        yield Choice(case.name, case, settings)


def methods(flags: Flags, case: Case) -> Iterator[Choice]:
    if "default" in flags.methods:
        budget = Budget.of(flags, case.minutes)
        yield Choice(f"default, {budget}", budget, {"max_time": budget.seconds})


def measure(case: Case, budget: Budget, seed: int, flags: Flags) -> dict[str, Any]:
    """Train a swarm, and return what each agent costs and how near they come."""
    control = control_of(case.problem, seed, budget)
    segment = segment_of(control)
    control.settings = dataclasses.replace(
        control.settings, segment=segment, held_out_states=flags.swarm_states
    )
    found = train(control)
    z0 = held_out(case.problem, flags.swarm_states, seed)
    followed = follow(found.policy, z0)
    least = None
    if truth.is_closed(case.problem):
        least = truth.CLOSED[type(case.problem)](case.problem, z0.numpy())
        least = least / case.agents
    return {
        **costs_over(followed.cost / case.agents, least),
        **searches(followed),
        **found.facts,
        "smallest_distance": nearest(case.problem, followed.states),
        "one_agent": alone(case.problem, z0[0], flags),
        "segment": segment,
        "terminal_cost": float(followed.terminal.mean()) / case.agents,
    }


def nearest(problem: ControlProblem, states: torch.Tensor) -> float | None:
    """Return the smallest distance of two agents at any time, or None where they are nowhere."""
    places = problem.positions(states)
    return None if places is None else float(smallest_distance(places).min())


def segment_of(control: OptimalControl) -> int:
    """Return how many steps of a rollout may keep their graph at once; 0 for all."""
    controller, problem = start_run(control).task.model, control.problem
    z = problem.initial_states(control.batch_size, torch.Generator().manual_seed(0))
    like = next(controller.parameters())

    def kept(steps: int) -> int:
        short = dataclasses.replace(
            problem, steps=steps, horizon=problem.horizon * steps / problem.steps
        )
        return kept_bytes(lambda: cost(short, controller, z.to(like), Grid(steps)))

    each = kept(2) - kept(1)
    whole = control.grid.steps
    return 0 if each * whole <= MOST_KEPT else max(1, int(MOST_KEPT // each))


def alone(problem: ControlProblem, z0: torch.Tensor, flags: Flags) -> float | None:
    """Return what agents of a swarm would cost at best if each was alone: the mean over some of them.

    Problems of one agent do not change if start and target are moved together.
    """
    if not isinstance(problem, Quadrotor | Bicycle):
        return None
    axes = 3 if isinstance(problem, Quadrotor) else 2
    each = z0.reshape(problem.agents, -1).clone()
    one: Any = type(problem)()
    usual = one.target_positions()
    each[:, :axes] += usual - problem.target_positions()
    some = torch.linspace(0, problem.agents - 1, min(AGENTS, problem.agents)).long()
    least = truth.least_costs(one, each[some[: flags.hard_states]], flags.starts)
    return None if least is None else float(least.mean())


TABLE = Table(
    "control-swarms",
    "control",
    (
        Column("cost per agent", "cost", ".5g"),
        Column("one agent's", "one_agent", ".5g"),
        Column("over the optimum", "ratio", ".4f"),
        Column("terminal part", "terminal_cost", ".2g"),
        Column("smallest distance", "smallest_distance", ".3f", min),
        UNCONVERGED,
        STEPS,
        STEP_SECONDS,
        Column("segment", "segment", ".0f"),
        Column("peak memory, MiB", "peak_memory_mib", ".0f", max),
        SECONDS,
    ),
    where=lambda row: is_of("swarms", row),
)
