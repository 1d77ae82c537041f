"""The Wasserstein-2 distance a map was measured at, and what each figure is worth.

* The *dual value* E phi(x) + E phi^c(z), on samples training never saw, estimates a lower bound of W2^2/2 without
  bias as long as every inner minimum is exact. A point with residual R overestimates phi^c by at most |R|^2/(2m) where
  psi is m-strongly convex; that is subtracted where m is known by construction. Where it is not (a free network), the
  figure is a bound only under the assumption that the minima found are global. Of a fit its affine part comes from all
  rows (see `cross_fit`).
* The *primal cost* E c(x, T(x)) is the cost of the map itself. It is the optimal cost from mu to T#mu where psi is
  convex, and no bound of W2(mu, nu) unless T#mu = nu.

Both meet at the optimal map. The dual value errs by the square of the map's error, the primal cost linearly, so the
dual value is the estimate reported as W2. Where they are far apart, the moved samples do not have the target's law:

    primal cost - dual value = E_{T#mu} phi^c - E_nu phi^c   where psi is convex.

Everything is estimated on the scale of squares, where the terms are means; roots come last.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from brenier.statistics import (
    RowWeights,
    effective_rows,
    even_terms,
    freedom,
    root_of,
    weighted_mean,
    widened_error,
    with_error,
)
from brenier.transport.coordinates import Coordinates
from brenier.transport.maps.cross_fit import DualEstimate


@dataclasses.dataclass(frozen=True)
class ContradictionSettings:
    """When primal cost and dual value contradict each other.

    Attributes:
        errors: they differ by more than so many of their errors,
        share: and by more than this share of the larger.
    """

    errors: float = 3.0
    share: float = 0.25


CONTRADICTION = ContradictionSettings()


@dataclasses.dataclass(frozen=True)
class Distance:
    """W2 between two sets of samples, with its bounds and their standard errors.

    Attributes:
        w2: the estimate, the root of `squared`; zero where that is negative.
        w2_error: such that w2 ± 1.96 errors holds the interval.
        interval: lower and upper end of the 95 % interval of W2. The lower end is zero where no difference can be seen.
            It allows for the noise of the samples, not for what the map misses, by which W2 may be larger.
        squared: the estimate of W2^2, which may be negative.
        squared_error: its standard error.
        lower: the root of the lower bound: of a dual value that is in expectation none too high, less the correction
            for inner residuals.
        lower_error: as `w2_error`.
        primal: root mean square displacement of the forward map.
        primal_error: as `w2_error`.
        certified: whether `lower` holds, up to sampling error, without further assumption.
        unconverged: target rows whose inner problem did not converge.
        rows: source and target rows that the map was measured on.
        affine_rows: source and target rows that the affine part rests on, or None where it was not told apart.
        gain_counted: whether the figures count what a network adds to the affine part, measured on `rows`.
        unit: what the figures are measured in.
        held_out: whether training never saw these rows.
        effective_rows: how many rows of equal weights the affine part rests on, or where there is none the figures;
            None where all rows count alike.
        gain_error: the standard error of what the network adds to `squared`, where that is told apart from the affine
            part; None where it is not.
    """

    w2: float
    w2_error: float
    interval: tuple[float, float]
    squared: float
    squared_error: float
    lower: float
    lower_error: float
    primal: float
    primal_error: float
    certified: bool
    unconverged: int
    rows: tuple[int, int]
    affine_rows: tuple[int, int] | None
    gain_counted: bool
    unit: str
    held_out: bool
    effective_rows: tuple[float, float] | None = None
    gain_error: float | None = None

    def __float__(self) -> float:
        return self.w2

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Distance:
        """Return what `dataclasses.asdict` made of a distance; 0.1 knew no squares and no intervals."""
        if "squared" not in held:
            w2, error = held["w2"], held["w2_error"]
            # Its error of a root near zero was the root of the error of the square.
            of_square = 2 * w2 * error if w2 > 0 else error**2
            root = root_of(w2**2, of_square)
            held = {
                **held,
                "interval": (root.low, root.high),
                "squared": w2**2,
                "squared_error": of_square,
                "affine_rows": None,
                "gain_counted": True,
            }
        found = dict(held)
        for name in ("interval", "rows", "affine_rows", "effective_rows"):
            found[name] = None if found.get(name) is None else tuple(found[name])
        return cls(**found)

    @property
    def differs(self) -> bool:
        """Whether the two samples differ, with 95 % confidence: whether the interval leaves out zero."""
        return self.interval[0] > 0

    @property
    def contradiction(self) -> str | None:
        """How primal cost and dual value contradict each other, or None.

        They do where they differ by more than their errors explain and by a large share: the moved samples then do not
        have the law of the target.
        """
        primal = self.primal**2
        # Two standard errors of a root above zero are those of its square over twice the root.
        error = 2 * self.primal * self.primal_error + self.squared_error
        apart = abs(primal - self.squared)
        large = apart > CONTRADICTION.share * max(primal, self.squared)
        if not (large and apart > CONTRADICTION.errors * error):
            return None
        return (
            f"the map moves samples by {self.primal:.4g} (root mean square), where the distance is {self.w2:.4g}: "
            "moved samples do not have the law of the target"
        )

    def verdict(self) -> str:
        """Return in one sentence whether the two samples differ, and by how much."""
        low, high = self.interval
        if self.differs:
            found = f"The two samples differ: W2 is between {low:.4g} and {high:.4g}"
        else:
            found = f"No difference can be seen at this size: W2 is at most {high:.4g}"
        if not self.held_out and self.affine_rows is None:
            found = f"If the map was not fitted to these rows: {found[0].lower()}{found[1:]}"
        return f"{found} (95 %; {self.unit})."

    def statement(self) -> str:
        """Return what may be claimed, in sentences: the verdict, the figures, and what each rests on."""
        lines = [self.verdict(), self._estimate(), self._basis(), self._bound()]
        lines.append(
            f"Primal cost of the map: {with_error(self.primal, self.primal_error)}; no bound, it equals W2 when "
            "the moved samples are distributed as the target, and too large where a map follows the noise of few rows."
        )
        if self.contradiction:
            lines.append(f"Do not use this map: {self.contradiction}.")
        if self.unconverged:
            lines.append(
                f"{self.unconverged} target rows had unconverged inner problems; the dual value may be too high."
            )
        return "\n".join(lines)

    def _estimate(self) -> str:
        squared = with_error(self.squared, self.squared_error)
        if not self.differs:
            found = f"W2^2 = {squared}, which is zero within its error"
        else:
            found = f"W2 = {with_error(self.w2, self.w2_error)}, W2^2 = {squared}"
        return (
            f"{found} (± is one standard error). Errors and interval are those of the samples: what the map misses is "
            "not in them, and makes W2 larger."
        )

    def _basis(self) -> str:
        """Return which rows the figures rest on."""
        n, m = self.rows
        worth = ""
        if self.effective_rows is not None:
            of_n, of_m = self.effective_rows
            worth = f", worth {of_n:,.0f} and {of_m:,.0f} of equal weights"
        if self.affine_rows is None:
            kind = "held-out" if self.held_out else "given"
            return f"Measured on {n} source and {m} target {kind} rows{worth}."
        all_n, all_m = self.affine_rows
        affine = f"The affine part rests on {all_n} source and {all_m} target rows{worth}, cross-fitted"
        if self.gain_counted:
            kind = "held-out rows"
            if not self.held_out:
                kind = "rows, which the fit it went on from may have seen"
            return f"{affine}; what the network adds to it, on {n} and {m} {kind}."
        return f"{affine}, and is all that these figures count."

    def _bound(self) -> str:
        bound = f"Lower bound of W2 (dual value less inner residuals): {with_error(self.lower, self.lower_error)}"
        if self.certified:
            return f"{bound}; it holds in expectation for any data, since psi is convex by construction."
        return (
            f"{bound}; it holds in expectation if every inner minimum found is global, which a free network does not "
            "guarantee: compare the round-trip error, or fit with potential='convex'."
        )


@dataclasses.dataclass(frozen=True)
class Measured:
    """What is measured of a map on samples, in cost units, float64.

    Attributes:
        phi: (n,), terms of the source.
        phi_c: (m,), terms of the target; the sum of both means estimates the dual value of W2^2/2.
        cost: (n,), c(x, T(x)).
        residual: (m,), of the inner problems.
        unconverged: target rows whose inner problem did not converge.
        strong_convexity: an m for which psi is certainly m-strongly convex, or zero.
        weights: (n,), (m,), of the rows, None where all of a side count alike.
    """

    phi: Tensor
    phi_c: Tensor
    cost: Tensor
    residual: Tensor
    unconverged: int
    strong_convexity: float
    weights: RowWeights = (None, None)

    def dual(self) -> DualEstimate:
        """Return the dual value, the mean of these terms by their weights."""
        of_x, of_z = self.weights
        phi, phi_c = even_terms(self.phi, of_x), even_terms(self.phi_c, of_z)
        value = float(phi.mean() + phi_c.mean())
        freedoms = freedom(phi, of_x), freedom(phi_c, of_z)
        error = widened_error(phi, phi_c, freedoms=freedoms)
        return DualEstimate(value, value, error)

    @property
    def worth(self) -> tuple[float, float]:
        """How many rows of equal weights these are worth."""
        of_x, of_z = self.weights
        n, m = len(self.phi), len(self.phi_c)
        return effective_rows(n, of_x), effective_rows(m, of_z)

    def distance(
        self,
        coordinates: Coordinates,
        held_out: bool,
        dual: DualEstimate | None = None,
        primal: tuple[float, float] | None = None,
        affine_rows: tuple[int, int] | None = None,
        gain_counted: bool = True,
        worth: tuple[float, float] | None = None,
    ) -> Distance:
        """Return the distance that follows.

        Args:
            coordinates: of the map, which tell the unit that a distance is reported in.
            held_out: whether training never saw these rows.
            dual: a better estimate of the dual value; by default that of the terms.
            primal: a better estimate of the mean cost, and its standard error; by default that of the terms.
            affine_rows, gain_counted: as in `Distance`.
            worth: how many rows of equal weights the affine part rests on; by default those measured.
        """
        scale = 2.0 * coordinates.squared_unit()  # from cost to squared distance
        unit = "units of the data"
        if not coordinates.common:
            unit = "units of each feature's scale"
        dual = dual or self.dual()
        squared, error = scale * dual.value, scale * dual.error
        root = root_of(squared, error)
        lower = root_of(scale * dual.below - self._overestimate(scale), error)
        of_x, _ = self.weights
        moved_by = even_terms(self.cost, of_x)
        error_of_cost = widened_error(moved_by, freedoms=[freedom(moved_by, of_x)])
        cost = primal or (float(moved_by.mean()), error_of_cost)
        weighted = any(side is not None for side in self.weights)
        moved = root_of(scale * cost[0], scale * cost[1])
        return Distance(
            w2=root.value,
            w2_error=root.error,
            interval=(root.low, root.high),
            squared=squared,
            squared_error=error,
            lower=lower.value,
            lower_error=lower.error,
            primal=moved.value,
            primal_error=moved.error,
            certified=self.strong_convexity > 0,
            unconverged=self.unconverged,
            rows=(len(self.phi), len(self.phi_c)),
            affine_rows=affine_rows,
            gain_counted=gain_counted,
            unit=unit,
            held_out=held_out,
            effective_rows=(worth or self.worth) if weighted else None,
            gain_error=None if dual.gain_error is None else scale * dual.gain_error,
        )

    def _overestimate(self, scale: float) -> float:
        """Return by how much inner residuals can raise the dual value, where that is known."""
        if not self.strong_convexity:
            return 0.0
        found = self.residual.double().square()
        squares = float(weighted_mean(found, self.weights[1]))
        return scale * squares / (2 * self.strong_convexity)
