"""Optimal transport maps between two sets of samples, from one potential network."""

from brenier.errors import (
    BrenierError,
    ConvergenceError,
    ConvergenceWarning,
    DataError,
    DataWarning,
    ModelFileError,
)
from brenier.estimators import OptimalTransport, load
from brenier.potentials import (
    Conditional,
    DenseICNN,
    MeanPotential,
    Potential,
    Quadratic,
    ResidualPotential,
)
from brenier.solve import (
    BFGS,
    LBFGS,
    Anderson,
    GradientStep,
    NewtonCG,
    Solution,
    Status,
)
from brenier.training.run import Run
from brenier.training.settings import Settings
from brenier.transport.coordinates import Coordinates
from brenier.transport.costs import SquaredEuclidean
from brenier.transport.dual import Conjugate, DualObjective, DualValue, conjugate
from brenier.transport.maps import ConditionalMap, Distance, TransportMap

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
    "MeanPotential",
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
