"""Problems of control by name: with known answers, and those that have none in closed form."""

from brenier.control.problem import ControlProblem
from brenier.control.problems.bicycle import Bicycle
from brenier.control.problems.consumption import Consumption
from brenier.control.problems.quadrotor import Quadrotor

# By the name that a command line and saved policies say.
PROBLEMS: dict[str, type[ControlProblem]] = {
    "quadrotor": Quadrotor,
    "bicycle": Bicycle,
    "consumption": Consumption,
}

__all__ = [
    "PROBLEMS",
    "Bicycle",
    "Consumption",
    "Quadrotor",
]
