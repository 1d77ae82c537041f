"""Whether a table has changed since a reference was taken, by how much, and where."""

from brenier.report.drift.result import Drift, DriftStudy, FeatureDrift, MovedRow
from brenier.report.drift.summaries import CategorySummary, NumberSummary

__all__ = [
    "CategorySummary",
    "Drift",
    "DriftStudy",
    "FeatureDrift",
    "MovedRow",
    "NumberSummary",
]
