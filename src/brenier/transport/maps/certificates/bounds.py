"""From figures to a certificate: bounds at a confidence, and where they say nothing."""

from __future__ import annotations

import math

from scipy import stats

from brenier.transport.maps.certificates.certificate import Certificate
from brenier.transport.maps.certificates.figures import Figures
from brenier.transport.maps.certificates.settings import CERTIFICATES
from brenier.transport.maps.cost_distance import CostDistance


def certificate_of(
    figures: Figures, confidence: float, estimate: float | None = None
) -> Certificate:
    """Return the certificate that follows from figures, without an error of the map.

    Args:
        figures: as told.
        confidence: of every bound.
        estimate: of W2 or OT_c; by default that of the distance.
    """
    distance, remarks = figures.distance, list(figures.remarks)
    quantile = float(stats.norm.ppf(confidence))
    costed = isinstance(distance, CostDistance)
    bias = 0.0 if figures.audit is None else figures.audit.bias
    lower = upper = gap = None
    enough = min(figures.rows) >= CERTIFICATES.least_rows
    if figures.held_out and enough:
        below = figures.dual.value - bias - quantile * figures.dual.error
        lower = _as_measure(below, costed)
        if lower == 0:
            remarks.append("The lower bound is zero: no difference is certain here.")
    if figures.above is not None:
        upper = _as_measure(figures.above.at_most(quantile), costed)
    if figures.gap is not None and upper is not None and figures.held_out:
        gap = max(0.0, figures.gap.value + bias + quantile * figures.gap.error)
        if gap >= (upper if costed else upper**2):
            gap = None
            remarks.append(
                "The bound of the gap says nothing here: it is no smaller than the upper bound of the distance."
            )
    if estimate is None:
        estimate = distance.cost if isinstance(distance, CostDistance) else distance.w2
    return Certificate(
        measure="OT_c" if costed else "W2",
        estimate=estimate,
        lower=lower,
        upper=upper,
        gap=gap,
        map_error=None,
        audit=figures.audit,
        confidence=confidence,
        rows=figures.rows,
        matched_rows=figures.matched_rows,
        held_out=figures.held_out,
        certain=distance.certified,
        unit=distance.unit,
        remarks=tuple(remarks),
    )


def _as_measure(value: float, costed: bool) -> float:
    """Return a cost, or the distance of a square; zero where that is negative."""
    value = max(0.0, value)
    return value if costed else math.sqrt(value)
