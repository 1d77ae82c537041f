"""How good a map is, in numbers, and whether two samples are of one law.

`distances` compares samples, or a map with the true one; `two_sample` tests whether two samples are of one law. Both
raise a `DataError` for samples that are not finite or do not fit together, and for settings out of range.
"""

from brenier.metrics.distances import (
    METRIC_SETTINGS,
    MetricSettings,
    bures_w2,
    cosine,
    energy_distance,
    exact_w2,
    l2_uvp,
    median_bandwidths,
    mmd,
    sinkhorn_divergence,
    sliced_w2,
)
from brenier.metrics.two_sample import two_sample_test
from brenier.statistics import TwoSampleTest

__all__ = [
    "METRIC_SETTINGS",
    "MetricSettings",
    "TwoSampleTest",
    "bures_w2",
    "cosine",
    "energy_distance",
    "exact_w2",
    "l2_uvp",
    "median_bandwidths",
    "mmd",
    "sinkhorn_divergence",
    "sliced_w2",
    "two_sample_test",
]
