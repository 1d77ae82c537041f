"""Two-sample tests: whether two samples come from one law.

`score` is the energy test that fits judge their maps by; `comparison` is the test for users, whose statistics of
columns, pairs of columns and whole rows share one set of permutations.
"""

from brenier.statistics.two_sample.comparison import compared_samples
from brenier.statistics.two_sample.result import TwoSampleTest
from brenier.statistics.two_sample.score import (
    TwoSampleSettings,
    normal_score,
    two_sample_score,
)
from brenier.statistics.two_sample.settings import (
    COMPARISON_SETTINGS,
    STATISTICS,
    ComparisonSettings,
)

__all__ = [
    "COMPARISON_SETTINGS",
    "STATISTICS",
    "ComparisonSettings",
    "TwoSampleSettings",
    "TwoSampleTest",
    "compared_samples",
    "normal_score",
    "two_sample_score",
]
