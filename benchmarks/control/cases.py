"""The problems of `python -m benchmarks.control`, each with the figure that is asked for and minutes to reach it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.harness import UNLIMITED, Flags
from benchmarks.scores import EVALUATION_SEED
from brenier.control import (
    Bicycle,
    Consumption,
    ControlProblem,
    DoubleIntegrator,
    ExponentialIntegrator,
    LinearRegulator,
    QuadraticIntegrator,
    Quadrotor,
    QuarticDoubleIntegrator,
)


@dataclass(frozen=True)
class Case:
    """A problem of the benchmark.

    Attributes:
        name: in the rows.
        problem: what to control.
        minutes: of training where no flag says otherwise.
        asked: the most that the cost may be over the optimum, as a ratio; None where nothing is asked.
        agents: how many share the cost, which is told for one of them.
    """

    name: str
    problem: ControlProblem
    minutes: float
    asked: float | None = None
    agents: int = 1


def _all() -> Iterator[Case]:
    for n in (1, 10):
        yield Case(f"quadratic-{n}", QuadraticIntegrator(dim=n), 2, 1.01)
    for q in (0, 1):
        problem = DoubleIntegrator(state_weight=float(q))
        yield Case(f"double-q{q}", problem, 2, 1.01)
    yield Case("regulator", LinearRegulator(), 5, 1.01)
    for n in (1, 10, 100):
        yield Case(f"exponential-{n}", ExponentialIntegrator(dim=n), 5, 1.01)
    yield Case("quartic", QuarticDoubleIntegrator(), 5)
    yield Case("quadrotor", Quadrotor(), 30, 1.05)
    yield Case("bicycle", Bicycle(), 30, 1.10)
    yield Case("bicycle-reversed", Bicycle(start="reversed"), 30, 1.10)
    yield Case("consumption", Consumption(guess="even"), 10, 1.01)


def _swarms() -> Iterator[Case]:
    # What a quadrotor's cost sums over agents is divided by their number already.
    for n in (6, 100):
        problem = Quadrotor(agents=n, layout="grid")
        yield Case(f"quadrotors-{n}", problem, 60)
    bicycles = Bicycle(agents=100, layout="grid")
    yield Case("bicycles-100", bicycles, 60, agents=100)
    consumption = Consumption(agents=100, guess="even")
    yield Case("consumption-100", consumption, 60, agents=100)


CASES = {case.name: case for case in _all()}
SWARMS = {case.name: case for case in _swarms()}


def chosen(flags: Flags, names: Iterable[str]) -> Iterator[Case]:
    """Yield the cases of these names that the flag `--problems` asks for."""
    known = CASES | SWARMS
    for name in names:
        if name in flags.problems:
            yield known[name]


def held_out(problem: ControlProblem, n: int, seed: int) -> Tensor:
    """Return initial states that training never sees: (n, d), float64."""
    generator = torch.Generator().manual_seed(EVALUATION_SEED + seed)
    return problem.initial_states(n, generator)


@dataclass(frozen=True)
class Budget:
    """How long to train: steps, or seconds."""

    steps: int = UNLIMITED
    seconds: float | None = None

    @classmethod
    def of(cls, flags: Flags, minutes: float) -> Budget:
        """Return what the flags `--steps` and `--minutes` say, or else these minutes."""
        if flags.steps is not None:
            return cls(flags.steps)
        return cls(seconds=60 * (minutes if flags.minutes is None else flags.minutes))

    def __str__(self) -> str:
        if self.seconds is None:
            return f"{self.steps} steps"
        return f"{self.seconds:g} s"
