"""The estimated error of a map: from a twin whose true map is known, or where that says nothing, from matchings.

A *twin* is a fit by the same recipe, from some source rows to the images T(x) of others. Its true map is T, so its
error is known, and that of the map is of its size, if the true map is no harder to learn than T. Where the affine map
was kept T is affine and easy to learn, and the twin says nothing. There the excess of a matching over that which the
map would have if it were right estimates the gap W2^2/2 - D, and with it the error, by

    gap = E <delta, H^-1 delta>/2,     delta = T - T*, H = Hess psi,

to second order.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from brenier.transport.maps.certificates.excess import Excess, affine_gap
from brenier.transport.maps.certificates.settings import ERROR_FACTORS


class Twin(NamedTuple):
    """What a twin got wrong, whose true map is known.

    Attributes:
        forward, inverse: root mean square errors, in the unit of distances.
        gap: by how much its dual value is below the true W2^2, in squared units.
        gap_error: its standard error.
    """

    forward: float
    inverse: float
    gap: float
    gap_error: float


@dataclasses.dataclass(frozen=True)
class MapError:
    """The estimated error of a map: an estimate, not a guarantee.

    Attributes:
        kind: "twin", or "matching" where the affine map was kept, or where the map misses more than its twin.
        forward, inverse: the root mean square errors of T and of its inverse, in the unit of distances, raised so that
            they covered the true error in 95 % of fits to pairs whose map is known.
        spread: root of the target's total variance, in that unit: an error of this size is that of the target's mean.
        twin_forward, twin_inverse: errors of the twin as they are, or None.
        twin_gap: by how much the twin's dual value is below its true one, in squared units.
        matching_gap, matching_gap_error: the gap that matchings tell of, and its standard error, or None.
        least_gap: what an affine map misses for having few rows alone, or None.
        underfits: whether matchings tell of more than the twin misses: there is something the map has not learnt.
        factors: by how much `forward` and `inverse` were raised.
        source: where these factors are from.
    """

    kind: str
    forward: float
    inverse: float
    spread: float
    twin_forward: float | None
    twin_inverse: float | None
    twin_gap: float | None
    matching_gap: float | None
    matching_gap_error: float | None
    least_gap: float | None
    underfits: bool
    factors: tuple[float, float]
    source: str

    def statement(self, unit: str) -> str:
        """Return in sentences how large the error is, and how that is known."""
        share = ""
        if self.spread > 0:
            share = f" ({self.forward / self.spread:.1%} of the target's spread)"
        found = (
            f"Estimated error of the map, root mean square: {self.forward:.3g} forward{share}, {self.inverse:.3g} "
            f"inverse ({unit}), "
        )
        if self.kind == "twin":
            return f"{found}from a second fit whose true map is known."
        if self.underfits:
            return (
                f"{found}from matchings of the rows: there is more to learn than this map has learnt. Give more steps, "
                "or a larger network."
            )
        return f"{found}from matchings of the rows, since an affine map was kept."


def estimated_error(
    twin: Twin | None, excess: Excess | None, affine: bool, spread: float
) -> MapError | None:
    """Return the estimated error of a map, None where neither a twin nor matchings tell of it.

    Args:
        twin: what a twin got wrong, or None.
        excess: what matchings tell, or None.
        affine: whether the affine map was kept.
        spread: of the target.
    """
    underfits = False
    if twin is not None and excess is not None:
        noise = math.hypot(twin.gap_error, excess.error)
        beyond = excess.gap - twin.gap
        underfits = not affine and beyond > ERROR_FACTORS.underfit_errors * noise
    by_matching = affine or underfits or twin is None
    if by_matching and excess is None:
        return None
    forward = inverse = 0.0
    factors = (ERROR_FACTORS.forward, ERROR_FACTORS.inverse)
    if by_matching and excess is not None:
        gap = affine_gap(excess) if affine else excess.gap
        forward = math.sqrt(gap * excess.stretch)
        inverse = math.sqrt(gap * excess.shrink)
        factors = (ERROR_FACTORS.matching_forward, ERROR_FACTORS.matching_inverse)
    elif twin is not None:
        forward, inverse = twin.forward, twin.inverse
    told = None if affine else twin
    return MapError(
        kind="matching" if by_matching else "twin",
        forward=factors[0] * forward,
        inverse=factors[1] * inverse,
        spread=spread,
        twin_forward=None if told is None else told.forward,
        twin_inverse=None if told is None else told.inverse,
        twin_gap=None if told is None else told.gap,
        matching_gap=None if excess is None else excess.gap,
        matching_gap_error=None if excess is None else excess.error,
        least_gap=None if excess is None else excess.least,
        underfits=underfits,
        factors=factors,
        source=ERROR_FACTORS.source,
    )
