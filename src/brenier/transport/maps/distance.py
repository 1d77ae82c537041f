"""The Wasserstein-2 distance a map was measured at, and what each figure is worth.

* The *dual value* E phi(x) + E phi^c(z), on samples training never saw, estimates a lower bound of W2^2/2 without
  bias as long as every inner minimum is exact. A point with residual R overestimates phi^c by at most |R|^2/(2m) where
  psi is m-strongly convex; that is subtracted where m is known by construction. Where it is not (a free network), the
  figure is a bound only under the assumption that the minima found are global.
* The *primal cost* E c(x, T(x)) is the cost of the map itself. It is the optimal cost from mu to T#mu where psi is
  convex, and no bound of W2(mu, nu) unless T#mu = nu.

Both meet at the optimal map. The dual value errs by the square of the map's error, the primal cost linearly, so the
dual value is the estimate reported as W2.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

from brenier.statistics import root_with_error, standard_error, with_error
from brenier.transport.coordinates import Coordinates


@dataclasses.dataclass(frozen=True)
class Distance:
    """W2 between two sets of samples, with its bounds and their standard errors.

    Attributes:
        w2: the estimate, the square root of the dual value of W2^2.
        w2_error: its standard error.
        lower: the square root of the lower bound: the dual value less the correction for inner residuals.
        lower_error: its standard error.
        primal: root mean square displacement of the forward map.
        primal_error: its standard error.
        certified: whether `lower` holds, up to sampling error, without further assumption.
        unconverged: target rows whose inner problem did not converge.
        rows: source and target rows measured on.
        unit: what the figures are measured in.
        held_out: whether training never saw these rows.
    """

    w2: float
    w2_error: float
    lower: float
    lower_error: float
    primal: float
    primal_error: float
    certified: bool
    unconverged: int
    rows: tuple[int, int]
    unit: str
    held_out: bool

    def __float__(self) -> float:
        return self.w2

    def statement(self) -> str:
        """Return what may be claimed, in sentences."""
        kind = "held-out" if self.held_out else "given"
        lines = [
            f"W2 = {with_error(self.w2, self.w2_error)} ({self.unit}; {self.rows[0]} source and {self.rows[1]} {kind} "
            "target rows; ± is one standard error)."
        ]
        bound = f"Lower bound of W2 (dual value less inner residuals): {with_error(self.lower, self.lower_error)}"
        if self.certified:
            lines.append(
                f"{bound}; it holds in expectation for any data, since psi is convex by construction."
            )
        else:
            lines.append(
                f"{bound}; it holds in expectation if every inner minimum found is global, which a free network "
                "does not guarantee: compare the round-trip error, or fit with potential='convex'."
            )
        lines.append(
            f"Primal cost of the map: {with_error(self.primal, self.primal_error)}; no bound, it equals W2 when "
            "the moved samples are distributed as the target."
        )
        if self.unconverged:
            lines.append(
                f"{self.unconverged} target rows had unconverged inner problems; the dual value may be too high."
            )
        return "\n".join(lines)


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
    """

    phi: Tensor
    phi_c: Tensor
    cost: Tensor
    residual: Tensor
    unconverged: int
    strong_convexity: float

    def distance(
        self,
        coordinates: Coordinates,
        held_out: bool,
        dual: tuple[float, float] | None = None,
        primal: tuple[float, float] | None = None,
    ) -> Distance:
        """Return the distance that follows.

        Args:
            coordinates: of the map, which tell the unit that a distance is reported in.
            held_out: whether training never saw these rows.
            dual: a better estimate of the dual value, and its standard error; by default that of the terms.
            primal: a better estimate of the mean cost, and its standard error; by default that of the terms.
        """
        scale = 2.0 * coordinates.squared_unit()  # from cost to squared distance
        unit = "units of the data"
        if not coordinates.common:
            unit = "units of each feature's scale"
        if dual is None:
            value = float(self.phi.mean() + self.phi_c.mean())
            dual = value, standard_error(self.phi, self.phi_c)
        value, error = scale * dual[0], scale * dual[1]
        w2, w2_error = root_with_error(value, error)
        lower, lower_error = root_with_error(value - self._overestimate(scale), error)
        if primal is None:
            primal = float(self.cost.mean()), standard_error(self.cost)
        root, root_error = root_with_error(scale * primal[0], scale * primal[1])
        return Distance(
            w2=w2,
            w2_error=w2_error,
            lower=lower,
            lower_error=lower_error,
            primal=root,
            primal_error=root_error,
            certified=self.strong_convexity > 0,
            unconverged=self.unconverged,
            rows=(len(self.phi), len(self.phi_c)),
            unit=unit,
            held_out=held_out,
        )

    def _overestimate(self, scale: float) -> float:
        """Return by how much inner residuals can raise the dual value, where that is known."""
        if not self.strong_convexity:
            return 0.0
        squares = float(self.residual.double().square().mean())
        return scale * squares / (2 * self.strong_convexity)
