"""What the training of the dual objective is told, beside how long and how fast to train."""

from __future__ import annotations

import dataclasses
import math

from brenier.transport.dual.curvature import Probe


@dataclasses.dataclass(frozen=True)
class DualSettings:
    """How batches of the dual objective are drawn, solved and judged.

    Attributes:
        bandwidth: of the Gaussian kernels that rows are jittered with at full learning rate, in standard deviations of
            every coordinate; it falls to zero with the rate.
        calibrated: whether the rows of a batch are weighted so that it has the moments of its population; else all
            weights are equal.
        fresh_rows: rows drawn after which each has been drawn so often that the potential may overfit them.
        initial_inner_tol: root mean square residual, per feature, that inner problems are solved to at full learning
            rate; a loose solve costs less, and then the noise of batches is larger than its error.
        evaluation_rate: held-out J is evaluated at the inner tolerance of this factor of the learning rate.
        skip_fraction: share of the rows of a batch that may be left unfinished: the last few cost the most.
        max_deferrals: times a row may be left unfinished before its batch is solved to the end; where half of those
            left are left again, one row in 65,000 is left so often.
        max_reuse: steps that a solved target row enters at most, where inner problems are hard.
        target_evaluations: evaluations that a row should take in a batch on average; reusing rows brings the mean down
            to this, as far as it can.
        max_unconverged: share of unconverged rows in a batch beyond which its gradient is not trusted.
        penalty_rows: rows of either side between which psi is held convex.
        curvature_dim: features, codes of conditions included, from which on psi is held convex around single rows too
            (see `brenier.transport.dual.curvature`). In few dimensions chords between rows see enough.
        curvature_rows: rows of the source around which it is.
        curvature_weight: what the penalty counts for in J, per feature: J is a sum over features, the penalty is not.
            Rows that do not come back (benchmark, d = 32, 300 steps): 17 % without, 1.3 % at .06, .6 % at .2, where the
            forward error is a quarter larger (1.5 and 1.8 %).
        curvature_growth: by how many times itself that has grown when the learning rate has fallen to zero. Rows that
            do not come back and forward error (a product of two benchmark pairs, d = 32, 300 steps): 3.0 and 2.6 % at
            0, 1.9 and 2.9 % at 3, .85 and 3.2 % at 9; in d = 128, 150 steps: 29 and 22 % at 0, 6.5 and 24 % at 4.
        curvature_products, curvature_step, curvature_reach, least_curvature: how, see `Probe`.
    """

    bandwidth: float = 0.0
    calibrated: bool = True
    fresh_rows: float = math.inf
    initial_inner_tol: float = 0.05
    evaluation_rate: float = 0.01
    skip_fraction: float = 0.1
    max_deferrals: int = 16
    max_reuse: int = 3
    target_evaluations: float = 5.5
    max_unconverged: float = 0.1
    penalty_rows: int = 1024
    curvature_dim: int = 24
    curvature_rows: int = 128
    curvature_weight: float = 0.06
    curvature_growth: float = 3.0
    curvature_products: int = Probe.products
    curvature_step: float = Probe.step
    curvature_reach: float = Probe.reach
    least_curvature: float = Probe.least

    def inner_tol(self, dim: int, rate: float) -> float:
        """Return the bound on inner residuals of points of this dimension at a factor of the learning rate."""
        return self.initial_inner_tol * math.sqrt(dim * rate)

    def probe(self) -> Probe:
        """Return how the least curvature is found and held."""
        return Probe(
            self.curvature_products,
            self.curvature_step,
            self.curvature_reach,
            self.least_curvature,
        )
