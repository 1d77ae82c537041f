"""The estimator, and the one pipeline from two sets of samples to a map."""

from brenier.estimators import validation
from brenier.estimators.budget import Budget
from brenier.estimators.certifying import STARTS
from brenier.estimators.conditions import GivenConditions, class_plan
from brenier.estimators.initial import POTENTIALS
from brenier.estimators.loading import load, load_model
from brenier.estimators.optimal_transport import OptimalTransport
from brenier.estimators.outside import compared_rows
from brenier.estimators.parameters import RandomState
from brenier.estimators.samples import (
    PopulationPair,
    both_sides,
    fit_both,
    follows,
)
from brenier.estimators.settings import FitSettings

__all__ = [
    "POTENTIALS",
    "STARTS",
    "Budget",
    "FitSettings",
    "GivenConditions",
    "OptimalTransport",
    "PopulationPair",
    "RandomState",
    "both_sides",
    "class_plan",
    "compared_rows",
    "fit_both",
    "follows",
    "load",
    "load_model",
    "validation",
]
