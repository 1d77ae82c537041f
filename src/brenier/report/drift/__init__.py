"""Whether a table has changed since a reference was taken, by how much, and where.

`weeks` is the entry: `drift(reference, current)`. `reference` is fitted once (`rules`, `reading`), `comparison` tests
one table against it (`encoding`, `margins`, `maps`), and `result` is what is found, in `words` and in JSON.
"""

from brenier.report.drift.reference import DriftReference
from brenier.report.drift.reference_files import holds_reference
from brenier.report.drift.result import Drift, DriftStudy, FeatureDrift, MovedRow
from brenier.report.drift.settings import DRIFT, DriftSettings
from brenier.report.drift.summaries import CategorySummary, NumberSummary
from brenier.report.drift.weeks import drift

__all__ = [
    "DRIFT",
    "CategorySummary",
    "Drift",
    "DriftReference",
    "DriftSettings",
    "DriftStudy",
    "FeatureDrift",
    "MovedRow",
    "NumberSummary",
    "drift",
    "holds_reference",
]
