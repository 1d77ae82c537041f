"""The estimator, and the pipeline from two sets of samples to a map."""

from brenier.estimators.loading import load
from brenier.estimators.optimal_transport import OptimalTransport
from brenier.estimators.parameters import POTENTIALS

__all__ = [
    "POTENTIALS",
    "OptimalTransport",
    "load",
]
