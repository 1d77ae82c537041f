"""Optimal transport maps between two sets of samples, from one potential network."""

from brenier.conditional import ConditionalMap
from brenier.conjugate import Conjugate, conjugate
from brenier.coordinates import Coordinates
from brenier.costs import SquaredEuclidean
from brenier.distance import Distance
from brenier.dual import DualObjective, DualValue
from brenier.errors import (
    BrenierError,
    ConvergenceError,
    ConvergenceWarning,
    DataError,
    DataWarning,
    ModelFileError,
)
from brenier.estimator import OptimalTransport
from brenier.loading import load
from brenier.potentials import Conditional, DenseICNN, Mean, Potential, Quadratic, ResidualPotential
from brenier.settings import Settings
from brenier.solve import BFGS, LBFGS, Anderson, GradientStep, NewtonCG, Solution, Status
from brenier.training import Run
from brenier.transport import TransportMap

__version__ = "0.1.0"

__all__ = [
    "BFGS",
    "LBFGS",
    "Anderson",
    "BrenierError",
    "Conditional",
    "ConditionalMap",
    "Conjugate",
    "ConvergenceError",
    "ConvergenceWarning",
    "Coordinates",
    "DataError",
    "DataWarning",
    "DenseICNN",
    "Distance",
    "DualObjective",
    "DualValue",
    "GradientStep",
    "Mean",
    "ModelFileError",
    "NewtonCG",
    "OptimalTransport",
    "Potential",
    "Quadratic",
    "ResidualPotential",
    "Run",
    "Settings",
    "Solution",
    "SquaredEuclidean",
    "Status",
    "TransportMap",
    "conjugate",
    "load",
]
