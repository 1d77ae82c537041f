"""Problems of control by name: with known answers, and those that have none in closed form."""

from brenier.control.problem import ControlProblem
from brenier.control.problems.integrators import (
    DoubleIntegrator,
    ExponentialIntegrator,
    QuadraticIntegrator,
    QuarticDoubleIntegrator,
)
from brenier.control.problems.regulator import LinearRegulator

# By the name that a command line and saved policies say.
PROBLEMS: dict[str, type[ControlProblem]] = {
    "quadratic-integrator": QuadraticIntegrator,
    "exponential-integrator": ExponentialIntegrator,
    "double-integrator": DoubleIntegrator,
    "quartic-double-integrator": QuarticDoubleIntegrator,
    "regulator": LinearRegulator,
}

__all__ = [
    "PROBLEMS",
    "DoubleIntegrator",
    "ExponentialIntegrator",
    "LinearRegulator",
    "QuadraticIntegrator",
    "QuarticDoubleIntegrator",
]
