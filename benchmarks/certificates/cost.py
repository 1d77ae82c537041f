"""The table "cost": what a certificate takes beside the fit that it is of, both by default."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.certificates.cases import Case, chosen_cases
from benchmarks.certificates.fits import certified, fitted
from benchmarks.harness import Choice, Column, Flags, Row, Table

CASES = (
    Case("logsumexp", 2, 1000),
    Case("logsumexp", 16, 1000),
    Case("logsumexp", 2, 10_000),
    Case("logsumexp", 16, 10_000),
)
MOST_SECONDS, MOST_SHARE, MOST_FITS = 5.0, 0.1, 1.3  # to reach


def problems(flags: Flags) -> Iterator[Choice]:
    for case in chosen_cases(CASES, flags):
        settings = {"pair": case.kind, "dim": case.dim, "samples": case.rows}
        yield Choice(case.name, case, settings)


def methods(flags: Flags, case: Case) -> Iterator[Choice]:
    yield Choice("cost, default fit", flags.fit_seconds)


def measure(
    case: Case, seconds: float | None, seed: int, flags: Flags
) -> dict[str, Any]:
    """Fit a case as users do; return what its certificates take, in seconds of the processor."""
    fit = fitted(case, seconds, seed)
    bounds = certified(fit.ot, map_error=False, seed=seed).seconds
    whole = certified(fit.ot, seed=seed).seconds
    cheap = bounds <= max(MOST_SECONDS, MOST_SHARE * fit.seconds)
    return {
        "fit_seconds": fit.seconds,
        "bounds_seconds": bounds,
        "whole_seconds": whole,
        "fits": whole / fit.seconds,
        "met": cheap and whole <= MOST_FITS * fit.seconds,
    }


def is_cost(row: Row) -> bool:
    """Say whether a row is one of this table."""
    return row.method.startswith("cost")


TABLE = Table(
    "certificates-cost",
    "certificates",
    (
        Column("fit, s", "fit_seconds", ".1f"),
        Column("certify(map_error=False), s (≤ 5, or a tenth)", "bounds_seconds", ".2f"),
        Column("certify(), s", "whole_seconds", ".1f"),
        Column("fits (≤ 1.3)", "fits", ".2f", max),
        Column("met", "met"),
    ),
    where=is_cost,
)  # fmt: skip
