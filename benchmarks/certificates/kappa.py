"""The table "kappa": estimated errors of maps beside true ones, and what the certificates of the same fits bound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks import scores
from benchmarks.certificates.cases import (
    Case,
    chosen_cases,
    map_errors,
    squared_distance,
    true_gap,
)
from benchmarks.certificates.factor import ratio_of
from benchmarks.certificates.fits import certified, claims, fitted
from benchmarks.harness import Choice, Column, Flags, Row, Table, ratio

# Pairs that have their own dimensions; each is fitted from every number of rows of `--sizes`.
DIMS = {
    "separable": (2, 16),
    "logsumexp": (2, 16, 64),
    "mixture": (8, 16),
    "tails": (2, 8),
    "clusters": (2, 16),
    "manifold": (8, 64),
    "curve": (2,),
    "islands": (2, 8),
    "radial": (8,),
    "w2hd": (2, 16, 64),
    "mild": (8, 64),
    "gaussian": (2, 16),
}
SIZES = (1000, 10_000)
# What is also fitted in a minute: these pairs in these dimensions, from the larger number of rows.
MINUTES_KINDS, MINUTES_DIMS = ("separable", "logsumexp", "w2hd"), (2, 16)
MINUTE = 60.0


def problems(flags: Flags) -> Iterator[Choice]:
    cases = [
        Case(kind, dim, rows)
        for kind, dims in DIMS.items()
        for dim in dims
        for rows in SIZES
    ]
    for case in chosen_cases(cases, flags):
        settings = {"pair": case.kind, "dim": case.dim, "samples": case.rows}
        yield Choice(case.name, case, settings)


def methods(flags: Flags, case: Case) -> Iterator[Choice]:
    for seconds in flags.seconds:
        long = seconds >= MINUTE
        chosen = case.kind in MINUTES_KINDS and case.dim in MINUTES_DIMS
        if not long or (chosen and case.rows == max(SIZES)):
            told = {"max_time": seconds, "fresh": flags.points}
            yield Choice(f"map error, {seconds:g} s", seconds, told)


def measure(case: Case, seconds: float, seed: int, flags: Flags) -> dict[str, Any]:
    """Fit a case and certify the fit; return what is claimed, and what is true on new rows."""
    pair = case.pair
    fit = fitted(case, seconds, seed)
    certificate, taken = certified(fit.ot, seed=seed)
    errors = map_errors(fit.ot.map_, pair, flags.points, seed)
    gap = true_gap(fit.ot.map_, pair, flags.points, seed)
    return {
        **claims(certificate),
        "true_forward": errors.forward,
        "true_inverse": errors.inverse,
        "spread_forward": pair.variance_target**0.5,
        "spread_inverse": pair.variance_source**0.5,
        "true_gap": gap.value,
        "true_gap_error": gap.error,
        "w2": squared_distance(case.kind, case.dim).value ** 0.5,
        "kept_affine": fit.kept_affine,
        "selected": fit.ot.diagnostics_["selected"],
        "steps": fit.ot.diagnostics_["steps"],
        "fit_seconds": fit.seconds,
        "certify_seconds": taken,
        "fits": taken / fit.seconds,
    }


def is_kappa(row: Row) -> bool:
    """Say whether a row is one of this table."""
    return row.method.startswith("map error")


def _percent(name: str, spread: str) -> Any:
    of_spread = ratio(name, spread)

    def value(row: Row) -> float | None:
        found = of_spread(row)
        return None if found is None else 100 * found

    return value


TABLE = Table(
    "certificates-kappa",
    "certificates",
    (
        Column("estimated by", "kind"),
        Column("forward, % of spread", _percent("true_forward", "spread_forward"), ".1f"),
        Column("raw / true", lambda row: ratio_of(row, "forward"), ".2f"),
        Column("least", lambda row: ratio_of(row, "forward"), ".2f", min),
        Column("inverse, % of spread", _percent("true_inverse", "spread_inverse"), ".1f"),
        Column("raw / true", lambda row: ratio_of(row, "inverse"), ".2f"),
        Column("least", lambda row: ratio_of(row, "inverse"), ".2f", min),
        Column("gap, % of W2²", lambda row: 100 * row.get("true_gap") / row.get("w2") ** 2, ".2f"),
        Column("twin's gap / true", ratio("twin_gap", "true_gap"), ".2f"),
        Column("matching's", ratio("matching_gap", "true_gap"), ".2f"),
        Column("bound of gap", ratio("gap_bound", "true_gap"), ".1f"),
        Column("L / W2", ratio("lower", "w2"), ".3f"),
        Column("U / W2", ratio("upper", "w2"), ".3f"),
        scores.SELECTED,
        scores.STEPS,
        Column("fits", "fits", ".2f", max),
    ),
    where=is_kappa,
)  # fmt: skip
