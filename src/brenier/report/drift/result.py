"""What is found where two tables are compared: whether the rows have changed, by how much, and in which features."""

from __future__ import annotations

import dataclasses
from typing import Any

from brenier.metrics import TwoSampleTest
from brenier.report.drift.plain import plain
from brenier.report.drift.summaries import CategorySummary, NumberSummary
from brenier.report.drift.words import statement_of, study_verdict, verdict_of
from brenier.transport.maps import Distance


@dataclasses.dataclass(frozen=True)
class FeatureDrift:
    """How one feature has changed.

    Attributes:
        name: of the column.
        kind: "number" or "category".
        displacement: by how much the map moves it, root mean square, in standard deviations of the reference; without a
            map the W2 distance of the two columns taken alone. None where it cannot be said.
        noise_floor: the same figure where nothing has changed: between two halves of the reference, for so many rows.
            A displacement near it is noise. None where it cannot be said.
        p_value: of the hypothesis that this feature is as in the reference, adjusted over all features (Westfall and
            Young): the chance that any feature of an unchanged table looks as changed as this one. None where it cannot
            be said.
        change: in words, such as "mean up by 0.31, spread x 1.2" or "share of 'red' from 0.20 to 0.31".
        reference, current: what the column holds in either table.
    """

    name: str
    kind: str
    displacement: float | None
    noise_floor: float | None
    p_value: float | None
    change: str
    reference: NumberSummary | CategorySummary
    current: NumberSummary | CategorySummary


@dataclasses.dataclass(frozen=True)
class MovedRow:
    """One of the rows of the current table that lie farthest from where the map has them come from.

    Attributes:
        row: its number in the current table as given, from 0.
        displacement: root of the sum of squares over all features, each in standard deviations of the reference.
        features: that moved it most, and by how much each (a number with its sign, a category without).
    """

    row: int
    displacement: float
    features: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Drift:
    """Whether one table has drifted from the reference, by how much, and where.

    Attributes:
        name: of the current table, such as a week.
        rows: of the reference and of the current table, those left out because of missing values not counted.
        p_value: the chance of a difference as large as this one where nothing has changed (a permutation test, exact at
            any number of rows). None where there is nothing to compare.
        adjusted_p_value: the same, adjusted for the number of tables compared; equal to `p_value` for one.
        level: the share of false alarms that is accepted; a table has drifted where `adjusted_p_value` is at most this.
        test: the two-sample test in full, or None.
        distance: W2 between the two tables, with its 95 % interval, in standard deviations of the reference; None
            where no map was fitted.
        features: ranked: those most surely changed first, of equally sure ones the farthest moved.
        moved_rows: rows of the current table that moved most, the farthest first. Empty without a map, and where no
            drift can be seen.
        left_out: columns that were not compared, and why.
        remarks: what else must be known of these figures, above all what cannot be said; whole sentences.
        missing: rows of the reference and of the current table that were left out because of missing values.
        encoding: how the figures count numbers and categories, in sentences.
    """

    name: str
    rows: tuple[int, int]
    p_value: float | None
    adjusted_p_value: float | None
    level: float
    test: TwoSampleTest | None
    distance: Distance | None
    features: tuple[FeatureDrift, ...]
    moved_rows: tuple[MovedRow, ...] = ()
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    missing: tuple[int, int] = (0, 0)
    encoding: str = ""

    @property
    def drifted(self) -> bool:
        """Whether the table has drifted from the reference, at this level."""
        return self.adjusted_p_value is not None and self.adjusted_p_value <= self.level

    @property
    def changed_features(self) -> tuple[FeatureDrift, ...]:
        """The features that have each surely changed, at this level."""
        return tuple(
            feature
            for feature in self.features
            if feature.p_value is not None and feature.p_value <= self.level
        )

    def verdict(self) -> str:
        """Return in one sentence whether the table has drifted."""
        found = verdict_of(self)
        return found[0].upper() + found[1:] if not self.name else found

    def statement(self) -> str:
        """Return what may be claimed, in sentences, one a line: the verdict, the distance, the features, remarks."""
        return "\n".join(statement_of(self))

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON holds it: plain numbers, text, lists and objects, None where nothing is known."""
        told = {"drifted": self.drifted, "verdict": self.verdict()}
        return {**told, **plain(self)}


@dataclasses.dataclass(frozen=True)
class DriftStudy:
    """Several tables, such as weeks, compared with one reference.

    Attributes:
        weeks: one for each table, in the order given.
        level: the share of false alarms that is accepted of all tables together.
        correction: of the p-values for the number of tables.
    """

    weeks: tuple[Drift, ...]
    level: float
    correction: str = "holm"

    @property
    def drifted(self) -> bool:
        """Whether any of the tables has drifted, at this level."""
        return any(week.drifted for week in self.weeks)

    def verdict(self) -> str:
        """Return in one sentence which tables have drifted."""
        return study_verdict(self)

    def statement(self) -> str:
        """Return what may be claimed of each table, in sentences."""
        parts = [self.verdict(), *(week.statement() for week in self.weeks)]
        return "\n\n".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON holds it."""
        return {
            "drifted": self.drifted,
            "verdict": self.verdict(),
            "level": self.level,
            "correction": self.correction,
            "weeks": [week.to_json() for week in self.weeks],
        }
