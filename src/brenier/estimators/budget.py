"""What a fit chooses from its data and its budget, where the user has not chosen.

Every choice is a field with its reason; what it rests on was measured by `python -m benchmarks.ablation` and
`python -m benchmarks.parametrisation`, whose rows are described in the README of the benchmarks.
"""

from __future__ import annotations

import dataclasses
import math

from brenier.potentials import widths
from brenier.statistics import reference_bandwidth


@dataclasses.dataclass(frozen=True)
class Budget:
    """The rows, steps and seconds of a fit, and what follows from them.

    Attributes:
        rows: of the smaller side, or infinity.
        dim: of the points that the network sees.
        steps: training steps asked for, or None.
        seconds: training seconds asked for, or None.
        bounded_below: whether potentials have to be, as costs ask that grow more slowly than a square.
        default_steps: steps where neither is given and rows are many.
        min_steps: steps at least where neither is given: the fewer the rows, the sooner they are overfitted.
        many_rows: rows from which on a side has enough for the default number of steps and for deeper networks.
        long_steps, long_seconds: a run of so many is long. Then a fourth layer pays: it makes steps a quarter slower
            and can hold far more. And rows are not reused: that makes steps cheaper and noisier, and in long runs the
            noise bounds the accuracy.
        longer_steps, longer_seconds: a run of so many is longer still. Then a fifth layer pays, by less, and where
            layers are narrow a seventh.
        long_layers, longer_layers, narrow_layers: these numbers of layers.
        narrow_width: units up to which a layer is narrow.
        two_networks_seconds, two_networks_steps: seconds, and steps expected in them, from which on the mean of two
            networks is mostly closer than one network in twice the steps; so it is where neither steps nor seconds are
            given and rows are few. Where steps are slow two networks only halve them (d = 128, 300 s: forward error
            .90 % for two free ones, .53 % for one).
        step_seconds, step_seconds_per_feature: of a core for a step of `first_batch` rows of the default network, as a
            line in the dimension: through .05 s at d = 16 and .09 s at d = 128, which were measured.
        smooth_dim: dimension, codes of conditions included, from which on the default network is a free one of
            softplus, begun with small squares and spread biases. Forward and backward error at equal steps (%), d = 32:
            benchmark 1.5 and .36, celu 1.7 and .45, residual 3.1 and .90; log-sum-exp .24 and .23, celu .85 and .49,
            residual .28 and .25. d = 64: benchmark 2.9 and .70, residual 5.1 and 1.2.
        residual_dim: the same, from which on it is a residual one, whose steps are cheaper: d = 128, log-sum-exp, 270
            steps each: .36 and .34, free of softplus .70 and .43; of celu after the same seconds 2.1 and 1.1.
        smooth_squares, smooth_bias: initial size of the squares' weights, and deviation of the biases, there.
        widest_dim: dimension beyond which the layers of such a network are no wider: steps cost more than width gains.
        short_reuse, long_reuse: steps that a solved target row enters at most, in short and in long runs.
        max_passes: passes over all rows after which they may be overfitted.
        bandwidth_factor: of the kernel width that is best for a normal density: a map is smoother than the densities
            it is between.
        first_batch: rows of the first batches.
        max_batch: rows of a batch that has grown, at most.
        rows_per_batch_row: rows of the smaller side per row of a batch that has grown, at least.
        few_rows: rows below which evaluation is cheap, and done more often.
        folded_rows: rows below which, where no number of steps is asked for, every network leaves out a fold.
        fold_count: how many folds and networks there are then.
        steps_between_evaluations, steps_between_evaluations_few: steps from one evaluation to the next, where rows are
            many and where they are few.
    """

    rows: float
    dim: int
    steps: int | None = None
    seconds: float | None = None
    bounded_below: bool = False
    default_steps: int = 3000
    min_steps: int = 100
    many_rows: int = 100_000
    long_steps: int = 5000
    long_seconds: float = 180.0
    longer_steps: int = 10_000
    longer_seconds: float = 600.0
    long_layers: int = 4
    longer_layers: int = 5
    narrow_layers: int = 7
    narrow_width: int = 64
    two_networks_seconds: float = 300.0
    two_networks_steps: int = 5000
    step_seconds: float = 0.04
    step_seconds_per_feature: float = 4e-4
    smooth_dim: int = 24
    residual_dim: int = 96
    smooth_squares: float = 0.2
    smooth_bias: float = 1.0
    widest_dim: int = 64
    short_reuse: int = 3
    long_reuse: int = 1
    max_passes: int = 50
    bandwidth_factor: float = 0.3
    first_batch: int = 1024
    max_batch: int = 8192
    rows_per_batch_row: int = 8
    few_rows: int = 5000
    folded_rows: int = 5000
    fold_count: int = 3
    steps_between_evaluations: int = 100
    steps_between_evaluations_few: int = 20

    @property
    def max_steps(self) -> float:
        """Training steps at most: as asked, or as many as the seconds allow, or fewer where rows are few."""
        if self.steps is not None:
            return self.steps
        if self.seconds is not None:
            return math.inf
        share = min(1.0, self.rows / self.many_rows)
        return max(self.min_steps, round(self.default_steps * math.sqrt(share)))

    @property
    def is_long(self) -> bool:
        """Whether training may go on for long, by the seconds where they are limited, else by the steps."""
        return self._goes_on(self.long_steps, self.long_seconds)

    @property
    def is_longer(self) -> bool:
        """Whether it may go on for longer still."""
        return self._goes_on(self.longer_steps, self.longer_seconds)

    @property
    def networks(self) -> int:
        """How many networks the potential is the mean of: two where each takes steps enough, or rows are few."""
        if self.seconds is not None:
            long = self.seconds >= self.two_networks_seconds
            return 2 if long and self.affordable_steps >= self.two_networks_steps else 1
        return 2 if self.steps is None and self.rows < self.many_rows else 1

    def folds(self, networks: int | None) -> int:
        """Return how many folds the rows fall into, 0 for none, where a number of networks is asked for, or None."""
        if self.steps is not None or not self.rows < self.folded_rows:
            return 0
        count = self.fold_count if networks is None else networks
        return count if count > 1 else 0

    @property
    def affordable_steps(self) -> float:
        """About how many steps of the default network one core takes in the seconds, by the dimension alone."""
        if self.seconds is None:
            return math.inf
        return self.seconds / (
            self.step_seconds + self.step_seconds_per_feature * self.dim
        )

    def layers(self, dim: int) -> int | None:
        """Return how many layers a free network of this dimension has, None for its own default."""
        if self.rows < self.many_rows or not self.is_long:
            return None
        if not self.is_longer:
            return self.long_layers
        narrow = widths(dim)[0] <= self.narrow_width
        return self.narrow_layers if narrow else self.longer_layers

    @property
    def max_reuse(self) -> int:
        """Steps that a solved target row enters at most."""
        return self.long_reuse if self.is_long else self.short_reuse

    @property
    def fresh_rows(self) -> float:
        """Rows drawn after which each has been drawn so often that the potential may overfit them."""
        return self.max_passes * self.rows

    @property
    def largest_batch(self) -> int:
        """Rows of a batch that has grown, at most."""
        return int(min(self.max_batch, self.rows / self.rows_per_batch_row))

    @property
    def evaluate_every(self) -> int:
        """Steps between two evaluations."""
        if self.rows >= self.few_rows:
            return self.steps_between_evaluations
        return self.steps_between_evaluations_few

    def bandwidth(self, start: str) -> float:
        """Return the width of kernels for so many rows; zero outside Gaussian coordinates, where spreads say little."""
        if start == "identity":
            return 0.0
        return self.bandwidth_factor * reference_bandwidth(self.rows, self.dim)

    def _goes_on(self, steps: float, seconds: float) -> bool:
        if self.seconds is None:
            return self.max_steps >= steps
        return self.seconds >= seconds
