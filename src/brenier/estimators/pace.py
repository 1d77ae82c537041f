"""How a fit keeps to `max_time`: the wall time of all of it, from the samples to the map that has been measured.

Training gets what the preparation leaves, less a reserve for the conclusion: the last evaluation, the comparison with
the start, the measurement, the round trip. Nearly all of these, and of training, is evaluations of the potential, so
that what one of them takes, and how many an inner problem needs, foretells the rest; and what the coordinates took
foretells whatever decomposes covariances. A conclusion that would take more than its share of the time is done on fewer
rows. Every phase of it gets a share of what is left when it begins, so that no wrong guess adds up.

Without `max_time` nothing is timed, and nothing left out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping

from torch import Tensor

from brenier.estimators.settings import PaceSettings
from brenier.potentials import Potential
from brenier.training import Clock


@dataclasses.dataclass
class Pace:
    """What is known of the time that a fit has, and of what its parts take.

    Attributes:
        limit: seconds of the whole fit, or None.
        clock: that began with the fit.
        settings: shares of the time.
        own_batch: whether the size of batches is the user's.
        batch_size: rows of the first batches where they have to be smaller than usual, or None.
        evaluation: seconds that one evaluation of the potential takes, for a row.
        per_row: evaluations that the inner problem of a row takes at the tolerance of held-out evaluations.
        learnt: evaluation seconds of the run when it was last learnt from.
        coordinates: seconds that the coordinates took, and with them the decompositions.
        draws: seconds that it took to draw the rows held out.
        shortened: what was done on fewer rows or left out, in words.
    """

    limit: float | None = None
    clock: Clock = dataclasses.field(default_factory=Clock)
    settings: PaceSettings = dataclasses.field(default_factory=PaceSettings)
    own_batch: bool = False
    batch_size: int | None = None
    evaluation: float = 0.0
    per_row: float = 0.0
    learnt: float = 0.0
    coordinates: float = 0.0
    draws: float = 0.0
    shortened: list[str] = dataclasses.field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds left, infinite where there is no limit."""
        return math.inf if self.limit is None else self.limit - self.clock.gone()

    # ---- preparation

    @contextlib.contextmanager
    def timed_coordinates(self) -> Iterator[None]:
        """Time the block as that in which coordinates are found."""
        began = self.clock.now()
        yield
        self.coordinates = self.clock.now() - began

    @contextlib.contextmanager
    def timed_draws(self) -> Iterator[None]:
        """Time the block as that in which rows are held out."""
        began = self.clock.now()
        yield
        self.draws = self.clock.now() - began

    def drawn_rows(self, most: int, drawn: int) -> int:
        """Return how many rows of a stream there is time to draw for the coordinates.

        Args:
            most: rows of either side, at most.
            drawn: rows that were held out.
        """
        if self.limit is None or not self.draws:
            return most
        affordable = self.settings.drawing_share * self.limit * drawn / self.draws
        found = _between(affordable / 2, self.settings.least_drawn_rows, most)
        if found < most:
            self.shortened.append(f"coordinates of {found:,} of {most:,} rows")
        return found

    def try_out(self, potential: Potential, rows: Tensor) -> None:
        """Time evaluations of a potential on some rows; nothing where there is no limit."""
        if self.limit is None or not len(rows):
            return
        self.per_row = self.settings.usual_evaluations
        n, long_enough = self.settings.first_trial_rows, False
        potential.value_and_gradient(rows[:n])  # the first call takes longer
        # Of few rows it takes longer per row, and of many it may take minutes.
        while not long_enough:
            some = rows[:n]
            taken = [self._seconds_of(potential, some) for _ in range(2)]
            seconds = min(taken)  # others may have held up one of them
            self.evaluation = seconds / len(some)
            long_enough = seconds >= self.settings.trial_seconds
            long_enough |= n >= min(len(rows), self.settings.trial_rows)
            n *= 4

    def _seconds_of(self, potential: Potential, rows: Tensor) -> float:
        """Return what one evaluation of a potential on some rows takes."""
        began = self.clock.now()
        potential.value_and_gradient(rows)
        return self.clock.now() - began

    def first_batch(self, rows: int) -> int:
        """Return how many rows the first batches have: as told, or fewer where too few steps of so many would fit."""
        if self.batch_size is not None:  # that of the run that is resumed
            return min(rows, self.batch_size)
        small = self.settings.small_batch
        if self.limit is None or self.own_batch or rows <= small:
            return rows
        training = self.left - self.settings.conclusion_share * self.limit
        if training < self.settings.least_steps * self.step_seconds(rows):
            self.batch_size = small
            return small
        return rows

    def step_seconds(self, rows: int) -> float:
        """Return what a training step of so many rows will take."""
        return rows * self.settings.step_evaluations * self.evaluation

    def selected_rows(self, rows: int) -> int:
        """Return on how many of the held-out rows weights are selected."""
        if self.limit is None or not self.evaluation:
            return rows
        seconds = self.settings.selection_share * self.limit
        affordable = seconds / (self.per_row * self.evaluation)
        return _between(affordable, self.settings.least_rows, rows)

    # ---- training

    def learn(self, seconds: float, rows: int, evaluations: float) -> None:
        """Take in what a held-out evaluation took.

        Args:
            seconds: of all of it.
            rows: that were solved.
            evaluations: of the potential, per row.
        """
        if (
            self.limit is not None and rows and evaluations >= 2
        ):  # else there was nothing to solve
            self.per_row, self.evaluation = evaluations, seconds / (rows * evaluations)

    def training_seconds(self, before: float, rows: int, selected: int) -> float | None:
        """Return how many seconds training has, all in all.

        Args:
            before: those it has had.
            rows: whose inner problems the conclusion solves.
            selected: rows of the last evaluation.
        """
        if self.limit is None:
            return None
        least = self.settings.least_training_share * self.limit
        return max(least, before + self.left - self.reserve(rows, selected))

    def reserve(self, rows: int, selected: int) -> float:
        """Return how many seconds the conclusion and the evaluation before it may need.

        Args:
            rows: whose inner problems the conclusion solves.
            selected: rows of the last evaluation.
        """
        settings = self.settings
        evaluation = selected * self.per_row * self.evaluation
        decompositions = settings.conclusion_decompositions * self.coordinates
        needed = rows * self.solved_row() + decompositions + settings.other_seconds
        most = settings.conclusion_share * (self.limit or math.inf)
        return evaluation + min(settings.safety * needed, most)

    # ---- conclusion

    def solved_row(self) -> float:
        """Return what an inner problem takes at the tolerance of the conclusion."""
        return self.settings.tighter * self.per_row * self.evaluation

    def rows(self, most: int, share: float, what: str, evaluations: float = 0) -> int:
        """Return how many rows a phase of the conclusion has time for.

        Args:
            most: rows that it has.
            share: of the seconds left that it may take.
            what: it does, in words.
            evaluations: per row, where no inner problems are solved.
        """
        if self.limit is None:
            return most
        of_row = evaluations * self.evaluation or self.solved_row()
        affordable = share * self.left / of_row if of_row else math.inf
        found = _between(affordable, self.settings.least_rows, most)
        if found < most:
            self.shortened.append(f"{what} on {found:,} of {most:,} rows")
        return found

    def affords(self, decompositions: float, share: float, what: str) -> bool:
        """Say whether there is time for something that takes as long as the coordinates took, so many times.

        Args:
            decompositions: how many times.
            share: of the seconds left that it may take.
            what: it is, in words, or nothing where it is to be told elsewhere.
        """
        if self.limit is None:
            return True
        if decompositions * self.coordinates <= share * self.left:
            return True
        if what:
            self.shortened.append(what)
        return False

    def measured(self, rows: int, seconds: float) -> None:
        """Take in what inner problems took at the tolerance of the conclusion."""
        if self.limit is not None and rows and self.per_row:
            of_row = seconds / rows
            self.evaluation = of_row / (self.settings.tighter * self.per_row)

    def diagnostics(self) -> Mapping[str, object]:
        """Return what there is to tell, nothing where there is no limit."""
        if self.limit is None:
            return {}
        return {"seconds": self.clock.gone(), "shortened": list(self.shortened)}


def _between(affordable: float, least: int, most: int) -> int:
    """Return what can be afforded, at least so many, at most so many."""
    return most if affordable >= most else min(most, max(least, int(affordable)))
