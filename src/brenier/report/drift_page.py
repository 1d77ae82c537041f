"""The report of drift: the verdict first, then pictures, tables, and what the test can and cannot say."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from brenier.report import plots
from brenier.report.drift import (
    CategorySummary,
    Drift,
    DriftStudy,
    FeatureDrift,
    NumberSummary,
)
from brenier.report.figures import ReportFigure, shown_figures, write_figures
from brenier.report.page import PAGE, Section, write_report
from brenier.report.plots.drift import FeatureMark, Spread, short_name
from brenier.report.plots.drift_weeks import WeekMark
from brenier.report.tables import MakeTable, TableRows, markdown_table

DISPLACEMENT_UNIT = "standard deviations of the reference"
CAN_AND_CANNOT = """\
* **A p-value** is the chance of a difference as large as the one found where nothing has changed. The test permutes \
rows, so this holds for any data and any number of rows, as long as rows are independent of each other. Rows that come \
in series, or several from one machine or patient, raise alarms too often: give one row for each, or means of them.
* **The level** is the share of false alarms: of unchanged weeks, so many raise one. P-values are adjusted for the \
number of weeks tested together, not for the weeks of earlier runs.
* **No drift seen is not no drift.** A change that is smaller than what so many rows can show stays unseen; the upper \
end of the interval of W2, where it is given, says how large an unseen change may be.
* **Drift is not harm.** With many rows the test sees changes that nobody need care for. How large a change is, say W2 \
and the displacements.
* **Features** are ranked by how surely and how far they moved, beside what chance alone does (the noise floor: two \
halves of the reference). Where several moved together, the data do not say which one is the cause. All may look \
unmoved where only the way they go together has changed.
* **Rows that moved most** are farthest from where the map has them come from. They are examples to look at, not a \
list of all faulty rows."""


@dataclasses.dataclass(frozen=True)
class DriftPageSettings:
    """How much of drift a page, or a terminal, tells.

    Attributes:
        max_features: features in a table of the page; the JSON has all of them.
        max_told: features in a table for a terminal.
        max_rows: rows that moved most.
        max_names: weeks that are named where something is said of several.
        max_weeks: drifted weeks that have a section of their own, those of the least p-values.
    """

    max_features: int = 50
    max_told: int = 10
    max_rows: int = 10
    max_names: int = 4
    max_weeks: int = 6


DRIFT_PAGE = DriftPageSettings()


def drift_report(folder: Path, title: str, found: Drift | DriftStudy) -> Path:
    """Write the report of drift and its figures into a folder, made where there is none; return the path of the page.

    Args:
        folder: where they go.
        title: of the page.
        found: of one table, or of several.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weeks = found.weeks if isinstance(found, DriftStudy) else (found,)
    told = [0] if len(weeks) == 1 else drifted_weeks(weeks)
    ways = dict.fromkeys(week.encoding for week in weeks if week.encoding)
    basis = [*said_of_weeks(weeks), *ways]
    sections = [Section("Verdict", found.verdict())]
    if len(weeks) > 1:
        sections.append(_weeks_section(weeks, found.level, folder))
    for place in told:
        alone = len(weeks) == 1
        prefix = "" if alone else f"week-{place + 1}-"
        heading = "" if alone else f": {weeks[place].name}"
        sections += _week_sections(weeks[place], folder, prefix, heading)
    sections += [
        Section("What was compared", "\n".join(f"* {line}" for line in basis)),
        Section("What the test can and cannot say", CAN_AND_CANNOT),
    ]
    write_report(folder / PAGE, title, sections)
    return folder / PAGE


def drifted_weeks(weeks: Sequence[Drift]) -> list[int]:
    """Return the numbers of the weeks that drifted most surely, `DriftPageSettings.max_weeks` at most, in order."""

    def surely(place: int) -> tuple[float, float]:
        week = weeks[place]
        far = 0.0 if week.distance is None else week.distance.w2
        return (1.0 if week.p_value is None else week.p_value, -far)

    drifted = [place for place, week in enumerate(weeks) if week.drifted]
    return sorted(sorted(drifted, key=surely)[: DRIFT_PAGE.max_weeks])


def surely_changed(week: Drift) -> tuple[FeatureDrift, ...]:
    """Return the features that have surely changed: none where no drift is seen, whatever single ones look like."""
    return week.changed_features if week.drifted else ()


def week_rows(weeks: Sequence[Drift]) -> tuple[list[str], TableRows]:
    """Return the header and the rows of a table of weeks: p-values, distances with intervals, what moved most."""
    measured = any(week.distance is not None for week in weeks)
    header = ["week", "rows", "p", "adjusted p", "", "moved"]
    header[4:4] = ["W2", "95 % from", "to"] if measured else []
    rows: list[list[object]] = []
    for week in weeks:
        figures = [week.p_value, week.adjusted_p_value]
        if measured:
            far = week.distance
            figures += [None] * 3 if far is None else [far.w2, *far.interval]
        moved = [short_name(each.name) for each in surely_changed(week)[:3]]
        marks = ["DRIFT" if week.drifted else "", ", ".join(moved)]
        rows.append([week.name, week.rows[1], *map(_shortly, figures), *marks])
    return header, rows


def feature_rows(week: Drift, most: int) -> tuple[list[str], TableRows]:
    """Return the header and the rows of a table of the first features, those that surely changed marked."""
    header = ["feature", "displacement", "noise floor", "p", "", "change"]
    rows: list[list[object]] = []
    for each in week.features[:most]:
        mark = "moved" if each in surely_changed(week) else ""
        figures = [each.displacement, each.noise_floor, each.p_value]
        rows.append([each.name, *map(_shortly, figures), mark, each.change])
    return header, rows


def moved_row_table(week: Drift, make: MakeTable) -> str:
    """Return the rows that moved most as a table made by `make`; nothing where there are none."""
    rows: list[list[object]] = []
    for each in week.moved_rows[: DRIFT_PAGE.max_rows]:
        parts = [f"{short_name(name)} {_signed(week, name, by)}" for name, by in each.features.items()]  # fmt: skip
        rows.append([str(each.row), _shortly(each.displacement), ", ".join(parts)])
    return make(["row", "displacement", "of it"], rows) if rows else ""


def basis_lines(week: Drift) -> list[str]:
    """Return what a comparison rests on, and its remarks: sentences."""
    lines = [
        f"{week.rows[0]:,} rows of the reference and {week.rows[1]:,} rows now were compared."
    ]
    if any(week.missing):
        lines.append(
            f"Rows left out for missing values: {week.missing[0]:,} of the reference and {week.missing[1]:,} now."
        )
    lines += [f"Not compared: {name} ({why})." for name, why in week.left_out.items()]
    return [*lines, *week.remarks]


def said_of_weeks(weeks: Sequence[Drift]) -> list[str]:
    """Return what comparisons rest on, sentences; what is said of several weeks is said once, with their names."""
    said: dict[str, list[str]] = {}
    for week in weeks:
        lines = basis_lines(week)
        for line in lines if len(weeks) == 1 else lines[1:]:  # a table has the rows
            said.setdefault(line, []).append(week.name)
    found = []
    for line, names in said.items():
        of = f"{', '.join(names)}: "
        if len(names) == len(weeks):
            of = ""
        elif len(names) > DRIFT_PAGE.max_names:
            of = f"{len(names)} of {len(weeks)} weeks, such as {names[0]}: "
        found.append(f"{of}{line}")
    return found


def distance_line(week: Drift) -> str:
    """Return the distance of a week with its interval in words; nothing where it was not measured."""
    if week.distance is None:
        return ""
    low, high = week.distance.interval
    return f"W2 = {week.distance.w2:.3g}, 95 % interval {low:.3g} to {high:.3g}, in {week.distance.unit}."


def _weeks_section(weeks: Sequence[Drift], level: float, folder: Path) -> Section:
    """Return the section about all weeks: picture and table."""
    marks = [
        WeekMark(
            week.name,
            None if week.distance is None else week.distance.w2,
            None if week.distance is None else week.distance.interval,
            week.adjusted_p_value,
            week.drifted,
        )
        for week in weeks
    ]
    caption = "Distance from the reference and p-values, week by week; alarms are filled diamonds."
    figure = ReportFigure("weeks.png", caption)
    draw = functools.partial(plots.weeks_chart, marks, level)
    blocks = [*shown_figures(write_figures(folder, {figure: draw}))]
    blocks.append(markdown_table(*week_rows(weeks)))
    told, drifted = drifted_weeks(weeks), sum(week.drifted for week in weeks)
    if len(told) < drifted:
        blocks.append(
            f"Below are the {len(told)} of the {drifted} drifted weeks that differ most surely."
        )
    return Section("Weeks", "\n\n".join(blocks))


def _week_sections(
    week: Drift, folder: Path, prefix: str, heading: str
) -> list[Section]:
    """Return the sections about one week: features with their figures, and rows."""
    most, every = DRIFT_PAGE.max_features, len(week.features)
    table = markdown_table(*feature_rows(week, most)) if every else ""
    blocks = [distance_line(week), *_feature_figures(week, folder, prefix), table]
    if every > most:
        blocks.append(f"{every - most} more features moved less, or less surely.")
    body = "\n\n".join(filter(None, blocks))
    rows = moved_row_table(week, markdown_table)
    if rows:
        rows = f"Rows are counted from 0 among those of the week; displacements are in {DISPLACEMENT_UNIT}.\n\n{rows}"
    return [
        Section(f"Features{heading}", body),
        Section(f"Rows that moved most{heading}", rows),
    ]


def _feature_figures(week: Drift, folder: Path, prefix: str) -> list[str]:
    """Draw the features of a week; return the figures as Markdown."""
    if not week.features:
        return []
    marks = [
        FeatureMark(
            each.name,
            each.displacement,
            each.noise_floor,
            each.p_value,
            each in surely_changed(week),
        )
        for each in week.features
    ]
    far = ReportFigure(
        f"{prefix}displacements.png",
        "How far each feature moved, beside how far chance alone takes it.",
    )
    spreads = [
        spread
        for each in week.features[: plots.DRIFT_PLOT.max_panels]
        if (spread := _spread(each)) is not None
    ]
    draw = functools.partial(plots.displacement_chart, marks, DISPLACEMENT_UNIT)
    drawings: dict[ReportFigure, Callable[..., None]] = {far: draw}
    if spreads:
        both = ReportFigure(
            f"{prefix}distributions.png",
            "The features at the top of the ranking, in the reference and now: shares of rows.",
        )
        drawings[both] = functools.partial(plots.distributions, spreads)
    return shown_figures(write_figures(folder, drawings))


def _spread(feature: FeatureDrift) -> Spread | None:
    """Return both distributions of a feature as they are drawn; None where one side holds nothing."""
    first, second = feature.reference, feature.current
    if not (first.rows and second.rows):
        return None
    if isinstance(first, NumberSummary) and isinstance(second, NumberSummary):
        edges, before, now = map(np.array, (first.edges, first.shares, second.shares))
        return Spread(feature.name, feature.change, edges, (), before, now)
    if isinstance(first, CategorySummary) and isinstance(second, CategorySummary):
        labels = list(dict.fromkeys([*first.shares, *second.shares]))
        before, now = (
            np.array([side.shares.get(label, 0.0) for label in labels])
            for side in (first, second)
        )
        return Spread(feature.name, feature.change, None, labels, before, now)
    return None


def _shortly(figure: float | None) -> str | None:
    """Return a figure with as many digits as it is sure of, about."""
    return None if figure is None else f"{figure:.3g}"


def _signed(week: Drift, name: str, by: float) -> str:
    """Return by how much a row moved in a feature: with its sign for a number."""
    kinds = {each.name: each.kind for each in week.features}
    return f"{by:.2g}" if kinds.get(name) == "category" else f"{by:+.2g}"
