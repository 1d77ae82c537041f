"""Optimal feedback control: trained policies over the optimum, rules of differentiation, swarms, kicks.

    python -m benchmarks.control --seeds 0 1 2                     # everything, in the minutes that are asked for
    python -m benchmarks.control --tables policies --problems regulator quadrotor --methods default --minutes 10
    python -m benchmarks.control --tables rules --problems quadrotor --steps 200

Costs are means over held-out initial states: 512 where the least cost has a closed form, else 16, whose open-loop
optima CasADi finds (the extra `control-benchmarks`; without it there is no optimum for quartic, quadrotor and bicycle,
and no kick). Tables:

* policies: by problem. Methods: *default*; *implicit*, the exact derivative of controls; *published*, the settings of
  the public code for quadrotor, bicycle and consumption with the share of controls they leave unconverged; *exact*, the
  known value function in the place of the network; *linear*, the usual guess of consumption, which is the answer but
  for its time steps; *nothing*: no control, for the quadrotor hovering, for consumption the guess "even".
  Consumption is trained from that guess. Targets: cost over the optimum at most 1.01; quadrotor 1.05, bicycle 1.10;
* rules: Jacobian-free backpropagation with 0, 1 and 5 steps more, by the diagonal of the Hessian, the implicit
  derivative by a search and by the closed form (*oracle*), *unrolled*, and a *direct* policy of as many parameters.
  300 steps, or equal minutes. MiB kept: by a step for its derivative, with so many inner iterations;
* cosine: of Jacobian-free and exact gradients, at five stages of 400 steps;
* swarms: 6 and 100 quadrotors and 100 bicycles whose paths cross, 100 that consume. Beside their cost per agent what
  one agent would cost at best if it was alone, or the optimum of all;
* kick: of all states at half time; the feedback policy beside replayed open-loop controls;
* batches: new initial states at every step, or one fixed batch; 400 steps.

`--minutes` and `--steps` are those of every training; without them each problem has its own minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from benchmarks.control import batches, cosine, kick, making, policies, rules, swarms
from benchmarks.control.cases import CASES, SWARMS
from benchmarks.harness import Arguments, Benchmark, Choice, Flags, choices, flag

PARTS: dict[str, ModuleType] = {
    "policies": policies,
    "rules": rules,
    "cosine": cosine,
    "swarms": swarms,
    "kick": kick,
    "batches": batches,
}
METHODS = tuple(dict.fromkeys((*making.METHODS, *rules.RULES)))


class Part(NamedTuple):
    """A problem of one of the tables."""

    table: str
    problem: Any


def problems(flags: Flags) -> Iterator[Choice]:
    for table in flags.tables:
        for choice in PARTS[table].problems(flags):
            settings = {"table": table, **choice.settings}
            yield Choice(choice.name, Part(table, choice.value), settings)


def methods(flags: Flags, part: Part) -> Iterator[Choice]:
    yield from PARTS[part.table].methods(flags, part.problem)


def measure(part: Part, method: Any, seed: int, flags: Flags) -> dict[str, Any]:
    """Return the numbers of a row of one of the tables."""
    return PARTS[part.table].measure(part.problem, method, seed, flags)


ARGUMENTS = Arguments(
    (
        choices("--tables", PARTS),
        choices("--problems", (*CASES, *SWARMS)),
        choices("--methods", METHODS),
        flag("--minutes", type=float, help="training time per fit"),
        flag(
            "--steps", type=int, help="training steps per fit, without a limit of time"
        ),
    ),
    fixed={
        "states": 512,
        "hard_states": 16,
        "starts": None,
        "swarm_states": 16,
        "batch": 32,
        "points": 8,
        "kept_states": 32,
        "kept_steps": 10**6,
    },
    quick={
        "steps": 4,
        "minutes": 0.01,
        "states": 8,
        "hard_states": 2,
        "starts": 1,
        "swarm_states": 2,
        "batch": 2,
        "points": 2,
        "kept_states": 2,
        "kept_steps": 3,
    },
)
BENCHMARK = Benchmark(
    "control",
    __doc__,
    problems,
    methods,
    measure,
    (*(part.TABLE for part in PARTS.values()), policies.SHORT),
    ARGUMENTS,
    finish=kick.finish,
)
main = BENCHMARK.main
