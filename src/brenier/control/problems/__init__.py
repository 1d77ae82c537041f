"""Problems of control by name: with known answers, and those that have none in closed form."""

import dataclasses

from brenier.control.problem import ControlProblem
from brenier.control.problems.bicycle import Bicycle
from brenier.control.problems.consumption import Consumption
from brenier.control.problems.integrators import (
    DoubleIntegrator,
    ExponentialIntegrator,
    QuadraticIntegrator,
    QuarticDoubleIntegrator,
)
from brenier.control.problems.quadrotor import Quadrotor
from brenier.control.problems.regulator import LinearRegulator
from brenier.errors import DataError

# By the name that a command line and saved policies say.
PROBLEMS: dict[str, type[ControlProblem]] = {
    "quadratic-integrator": QuadraticIntegrator,
    "exponential-integrator": ExponentialIntegrator,
    "double-integrator": DoubleIntegrator,
    "quartic-double-integrator": QuarticDoubleIntegrator,
    "regulator": LinearRegulator,
    "quadrotor": Quadrotor,
    "bicycle": Bicycle,
    "consumption": Consumption,
}

__all__ = [
    "PROBLEMS",
    "Bicycle",
    "Consumption",
    "DoubleIntegrator",
    "ExponentialIntegrator",
    "LinearRegulator",
    "QuadraticIntegrator",
    "Quadrotor",
    "QuarticDoubleIntegrator",
    "problem_name",
    "problem_named",
]


def problem_name(problem: ControlProblem) -> str:
    """Return the name of a problem in `PROBLEMS`, or of its class where it is none of these."""
    names = {kind: name for name, kind in PROBLEMS.items()}
    return names.get(type(problem), type(problem).__name__)


def problem_named(name: str, **fields: object) -> ControlProblem:
    """Return the problem of this name, with fields other than the usual ones.

    Raises:
        DataError: where there is no such problem, it has no such field, or it refuses a value.
    """
    kind = PROBLEMS.get(name)
    if kind is None:
        raise DataError(
            f"problem: there is none named {name!r}; choose one of {', '.join(PROBLEMS)}",
            argument="problem",
        )
    known = [field.name for field in dataclasses.fields(kind) if field.init]
    for unknown in sorted(fields.keys() - set(known)):
        raise DataError(
            f"{unknown}: the problem {name} has no field of this name; it has {', '.join(known)}",
            argument=unknown,
        )
    return kind(**fields)  # type: ignore[arg-type]
