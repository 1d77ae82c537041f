"""Numbers from samples, plain or weighted: Gaussian fits, regression, jittering, extremes, ties, estimates and tests.

Knows no networks.

What a fit depends on is a field of a settings class (`GaussianSettings`, `RegressionSettings`, `CalibrationSettings`,
`ControlVariateSettings`, `TwoSampleSettings`), which the function or class that uses it takes as `settings`.
"""

from brenier.statistics.calibration import (
    Calibration,
    CalibrationSettings,
    Features,
    calibrated_weights,
)
from brenier.statistics.control_variates import (
    ControlVariateSettings,
    SampleTerms,
    adjusted_difference,
)
from brenier.statistics.discrepancy import (
    Kernel,
    discrepancy,
    double_chunks,
    in_double,
    squared_distances,
    total_variance,
)
from brenier.statistics.estimates import (
    INTERVALS,
    Root,
    root_of,
    standard_error,
    widened_error,
    widening,
    with_error,
)
from brenier.statistics.exceedance import Exceedance
from brenier.statistics.gaussian import (
    Gaussian,
    GaussianSettings,
    Moments,
    fit_gaussian,
    gaussian_map,
    matrix_power,
    moments,
    pool_covariances,
    regularised,
)
from brenier.statistics.plan import ExactPlan, exact_plan
from brenier.statistics.pool import ALONE, Pool
from brenier.statistics.regression import GaussianRegression, RegressionSettings
from brenier.statistics.robust import Extreme, ExtremesSettings, Found, extremes
from brenier.statistics.sinkhorn import (
    EntropicPlan,
    SinkhornSettings,
    entropic_plan,
    entropic_self_potential,
)
from brenier.statistics.smoothing import Smoothing, reference_bandwidth
from brenier.statistics.spread import some_of, spread_numbers
from brenier.statistics.ties import TopRow, TopValues, top_row, top_values
from brenier.statistics.two_sample import (
    COMPARISON_SETTINGS,
    STATISTICS,
    ComparisonSettings,
    TwoSampleSettings,
    TwoSampleTest,
    compared_samples,
    normal_score,
    two_sample_score,
)
from brenier.statistics.weighted import (
    RowWeights,
    Weighted,
    as_weighted,
    drawn_positions,
    effective_rows,
    even_terms,
    freedom,
    in_proportion,
    joined,
    joined_weights,
    rows_of,
    some_weights,
    thinned,
    weighted_mean,
    weights_of,
)

__all__ = [
    "ALONE",
    "COMPARISON_SETTINGS",
    "INTERVALS",
    "STATISTICS",
    "Calibration",
    "CalibrationSettings",
    "ComparisonSettings",
    "ControlVariateSettings",
    "EntropicPlan",
    "ExactPlan",
    "Exceedance",
    "Extreme",
    "ExtremesSettings",
    "Features",
    "Found",
    "Gaussian",
    "GaussianRegression",
    "GaussianSettings",
    "Kernel",
    "Moments",
    "Pool",
    "RegressionSettings",
    "Root",
    "RowWeights",
    "SampleTerms",
    "SinkhornSettings",
    "Smoothing",
    "TopRow",
    "TopValues",
    "TwoSampleSettings",
    "TwoSampleTest",
    "Weighted",
    "adjusted_difference",
    "as_weighted",
    "calibrated_weights",
    "compared_samples",
    "discrepancy",
    "double_chunks",
    "drawn_positions",
    "effective_rows",
    "entropic_plan",
    "entropic_self_potential",
    "even_terms",
    "exact_plan",
    "extremes",
    "fit_gaussian",
    "freedom",
    "gaussian_map",
    "in_double",
    "in_proportion",
    "joined",
    "joined_weights",
    "matrix_power",
    "moments",
    "normal_score",
    "pool_covariances",
    "reference_bandwidth",
    "regularised",
    "root_of",
    "rows_of",
    "some_of",
    "some_weights",
    "spread_numbers",
    "squared_distances",
    "standard_error",
    "thinned",
    "top_row",
    "top_values",
    "total_variance",
    "two_sample_score",
    "weighted_mean",
    "weights_of",
    "widened_error",
    "widening",
    "with_error",
]
