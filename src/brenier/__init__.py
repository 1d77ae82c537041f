"""Optimal transport maps between two sets of samples, from one potential network."""

from brenier.errors import (
    BrenierError,
    ConvergenceError,
    ConvergenceWarning,
    DataError,
    DataWarning,
    ModelFileError,
    NoInverseError,
)
from brenier.estimators import Budget, FitSettings, OptimalTransport, load
from brenier.potentials import (
    Conditional,
    DenseICNN,
    MeanPotential,
    Potential,
    Quadratic,
    ResidualPotential,
)
from brenier.report import Drift, DriftReference, DriftStudy, drift
from brenier.solve import (
    BFGS,
    LBFGS,
    Anderson,
    GradientStep,
    NewtonCG,
    Solution,
    Status,
)
from brenier.training import Evaluation, Loss, Run, Settings, Task
from brenier.transport.coordinates import Coordinates
from brenier.transport.costs import (
    Cost,
    Elastic,
    LogCosh,
    Mahalanobis,
    Power,
    SeparablePower,
    SquaredEuclidean,
)
from brenier.transport.dual import (
    Conjugate,
    DualObjective,
    DualSettings,
    DualTask,
    DualValue,
    MemberSamples,
    UnbalancedMass,
    conjugate,
)
from brenier.transport.maps import (
    Certificate,
    ConditionalMap,
    CostDistance,
    Distance,
    TransportMap,
)

__version__ = "0.2.0.dev0"

Mean = MeanPotential  # its name in 0.1

__all__ = [
    "BFGS",
    "LBFGS",
    "Anderson",
    "BrenierError",
    "Budget",
    "Certificate",
    "Conditional",
    "ConditionalMap",
    "Conjugate",
    "ConvergenceError",
    "ConvergenceWarning",
    "Coordinates",
    "Cost",
    "CostDistance",
    "DataError",
    "DataWarning",
    "DenseICNN",
    "Distance",
    "Drift",
    "DriftReference",
    "DriftStudy",
    "DualObjective",
    "DualSettings",
    "DualTask",
    "DualValue",
    "Elastic",
    "Evaluation",
    "FitSettings",
    "GradientStep",
    "LogCosh",
    "Loss",
    "Mahalanobis",
    "Mean",
    "MeanPotential",
    "MemberSamples",
    "ModelFileError",
    "NewtonCG",
    "NoInverseError",
    "OptimalTransport",
    "Potential",
    "Power",
    "Quadratic",
    "ResidualPotential",
    "Run",
    "SeparablePower",
    "Settings",
    "Solution",
    "SquaredEuclidean",
    "Status",
    "Task",
    "TransportMap",
    "UnbalancedMass",
    "conjugate",
    "drift",
    "load",
]
