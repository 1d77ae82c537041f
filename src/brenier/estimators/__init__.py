"""The estimator, and the one pipeline from two sets of samples to a map."""

from brenier.estimators.budget import Budget
from brenier.estimators.initial import POTENTIALS
from brenier.estimators.loading import load, load_model
from brenier.estimators.optimal_transport import OptimalTransport
from brenier.estimators.settings import FitSettings

__all__ = [
    "POTENTIALS",
    "Budget",
    "FitSettings",
    "OptimalTransport",
    "load",
    "load_model",
]
