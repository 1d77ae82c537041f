"""Numbers from samples: Gaussian fits, regression, weights, smoothing, estimates and tests. Knows no networks."""

from brenier.statistics.calibration import PER_FEATURE, Calibration, Features
from brenier.statistics.control_variates import FITTED, Side, adjusted_difference
from brenier.statistics.estimates import root_with_error, standard_error, with_error
from brenier.statistics.gaussian import (
    Gaussian,
    Moments,
    gaussian_map,
    matrix_power,
    moments,
    regularised,
    shared,
)
from brenier.statistics.regression import GaussianRegression
from brenier.statistics.smoothing import Smoothing, reference_bandwidth
from brenier.statistics.two_sample import normal_score, two_sample_score

__all__ = [
    "FITTED",
    "PER_FEATURE",
    "Calibration",
    "Features",
    "Gaussian",
    "GaussianRegression",
    "Moments",
    "Side",
    "Smoothing",
    "adjusted_difference",
    "gaussian_map",
    "matrix_power",
    "moments",
    "normal_score",
    "reference_bandwidth",
    "regularised",
    "root_with_error",
    "shared",
    "standard_error",
    "two_sample_score",
    "with_error",
]
