"""What has changed, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from brenier.report.drift.settings import DRIFT
from brenier.report.drift.summaries import CategorySummary, NumberSummary

if TYPE_CHECKING:
    from brenier.report.drift.result import Drift, DriftStudy, FeatureDrift

Summary = NumberSummary | CategorySummary


def change_in_words(reference: Summary, current: Summary) -> str:
    """Return how a feature has changed, whether or not chance alone explains it."""
    if not current.rows:
        return "no value is there now"
    if isinstance(reference, NumberSummary) and isinstance(current, NumberSummary):
        return _change_of_number(reference, current)
    if isinstance(reference, CategorySummary) and isinstance(current, CategorySummary):
        return _change_of_shares(reference.shares, current.shares)
    return ""


def constant_in_words(constant: str, differing: int, rows: int) -> str:
    """Return how a feature has changed that was constant in the reference."""
    return f"always {constant} in the reference; {differing:,} of {rows:,} rows differ"


def rows_told(rows: int) -> str:
    """Return a number of rows in words."""
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def verdict_of(drift: Drift) -> str:
    """Return in one sentence whether a table has drifted."""
    name = f"{drift.name}: " if drift.name else ""
    if drift.p_value is None:
        n, m = drift.rows
        return f"{name}nothing can be said from {rows_told(n)} of the reference and {m:,} current."
    facts = f"p = {_number(drift.adjusted_p_value)}"
    if drift.adjusted_p_value != drift.p_value:
        facts += " for all tables together"
    if not drift.drifted:
        most = ""
        if drift.distance is not None:
            high = drift.distance.interval[1]
            most = f"; W2 is at most {high:.2g} {drift.distance.unit} (95 %)"
        return f"{name}no drift is seen ({facts}, level {drift.level:g}){most}."
    told = _features_in_words(drift.changed_features)
    return f"{name}drift ({facts}, level {drift.level:g}): {told}."


def statement_of(drift: Drift) -> list[str]:
    """Return what may be claimed of a table, in sentences."""
    n, m = drift.rows
    lines = [drift.verdict(), f"Compared: {rows_told(n)} of the reference with {m:,} current."]  # fmt: skip
    if drift.distance is not None:
        low, high = drift.distance.interval
        lines.append(
            f"W2 = {drift.distance.w2:.3g}, 95 % interval {low:.3g} to {high:.3g}, in {drift.distance.unit}."
        )
    lines += [_feature_line(feature, drift.level) for feature in drift.features]
    if any(drift.missing):
        of_n, of_m = drift.missing
        lines.append(
            f"Left out because of missing values: {rows_told(of_n)} of the reference, {of_m:,} current."
        )
    lines += [f"{name!r} was not compared: {why}." for name, why in drift.left_out.items()]  # fmt: skip
    return [*lines, *drift.remarks]


def study_verdict(study: DriftStudy) -> str:
    """Return in one sentence which tables have drifted."""
    drifted = [week.name for week in study.weeks if week.drifted]
    silent = [week.name for week in study.weeks if week.p_value is None]
    total = f"{len(study.weeks)} table{'s' if len(study.weeks) > 1 else ''}"
    found = f"no drift is seen in {total}"
    if drifted:
        found = f"{len(drifted)} of {total} drifted: {', '.join(drifted)}"
    more = f"; of {', '.join(silent)} nothing can be said" if silent else ""
    return (
        f"{found[0].upper()}{found[1:]} (level {study.level:g} for all together){more}."
    )


def _features_in_words(features: Sequence[FeatureDrift]) -> str:
    """Return which features have changed and how, the first few."""
    if not features:
        return "no feature has surely changed by itself, but how they go together has, or several have a little"
    shown = [f"{each.name!r} ({each.change})" for each in features[: DRIFT.told_features]]  # fmt: skip
    rest = len(features) - len(shown)
    more = f", and {rest} more" if rest else ""
    return f"most of all {', '.join(shown)}{more}"


def _feature_line(feature: FeatureDrift, level: float) -> str:
    """Return what is known of a feature, as a line."""
    changed = feature.p_value is not None and feature.p_value <= level
    told = [] if feature.p_value is None else [f"p = {feature.p_value:.3g}"]
    if feature.displacement is not None:
        floor = ""
        if feature.noise_floor is not None:
            floor = f" (noise {feature.noise_floor:.2g})"
        told.append(f"moved by {feature.displacement:.2g}{floor}")
    mark = "changed" if changed else "no change seen"
    if feature.p_value is None:
        mark = "nothing can be said"
    return f"{feature.name}: {', '.join([mark, *told])}; {feature.change}."


def _change_of_number(reference: NumberSummary, current: NumberSummary) -> str:
    """Return how a number has changed."""
    parts = [
        _gaps(reference, current),
        _mean_change(reference, current),
        _spread_change(reference, current),
    ]
    told = ", ".join(filter(None, parts))
    return told or _quantile_change(reference, current)


def _gaps(reference: NumberSummary, current: NumberSummary) -> str:
    """Return how much more often a number is missing, nothing where it never is."""
    if not reference.missing and not current.missing:
        return ""
    before, now = (each.missing / (each.rows + each.missing) for each in (reference, current))  # fmt: skip
    return f"missing in {before:.2%} of rows before, {now:.2%} now"


def _mean_change(reference: NumberSummary, current: NumberSummary) -> str:
    """Return how the mean has changed, nothing where that is within two standard errors."""
    change = current.mean - reference.mean
    error = math.hypot(
        *(each.spread / math.sqrt(each.rows) for each in (reference, current))
    )
    if not abs(change) > 2 * error:
        return ""
    way = "up" if change > 0 else "down"
    return f"mean {way} by {abs(change):.2g} to {current.mean:.4g}"


def _spread_change(reference: NumberSummary, current: NumberSummary) -> str:
    """Return how the spread has changed, nothing where that is as small as chance makes it."""
    if min(reference.spread, current.spread) <= 0:
        alike = reference.spread == current.spread or current.rows < 2
        told = f"spread from {reference.spread:.3g} to {current.spread:.3g}"
        return "" if alike else told
    ratio = current.spread / reference.spread
    # Of a normal law; others are less sure of their spread.
    error = math.sqrt(0.5 / reference.rows + 0.5 / current.rows)
    return f"spread x {ratio:.2f}" if abs(math.log(ratio)) > 2 * error else ""


def _quantile_change(reference: NumberSummary, current: NumberSummary) -> str:
    """Return which quantile has changed most, of those that many rows lie beyond."""
    pairs = zip(reference.quantiles, current.quantiles, strict=True)
    inner = [
        (abs(now - before), level, before, now)
        for level, (before, now) in zip(reference.levels, pairs, strict=True)
        if 0.05 <= level <= 0.95
    ]
    _, level, before, now = max(inner, default=(0.0, 0.5, 0.0, 0.0))
    name = "median" if level == 0.5 else f"{100 * level:.0f} % quantile"
    return f"mean and spread alike, {name} from {before:.4g} to {now:.4g}"


def _change_of_shares(before: dict[str, float], now: dict[str, float]) -> str:
    """Return which share of a category has changed most, and which category is new."""
    names = [*before, *(name for name in now if name not in before)]
    name = max(names, key=lambda each: abs(now.get(each, 0.0) - before.get(each, 0.0)))
    first, last = before.get(name, 0.0), now.get(name, 0.0)
    digits = 2 if abs(first - last) >= 0.01 else 4
    shown = name if name.startswith("(") else repr(name)
    change = f"share of {shown} from {first:.{digits}f} to {last:.{digits}f}"
    new = {other: share for other, share in now.items() if not before.get(other)}
    new.pop(name, None)
    if not new:
        return change
    other = max(new, key=lambda each: new[each])
    shown = "categories" if other.startswith("(") else repr(other)
    return f"{change}; new: {shown}, {new[other]:.2g} of the rows"


def _number(p: float | None) -> str:
    """Return a p-value as sentences show it."""
    return "unknown" if p is None else f"{p:.3g}"
