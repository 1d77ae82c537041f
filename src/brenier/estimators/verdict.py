"""Whether the trained network is better than the map that training started from.

It must be, as surely as `z_threshold` says; otherwise there is nothing to learn beyond that map at this sample size.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from brenier.estimators.options import Options
from brenier.estimators.plan import Choice
from brenier.estimators.settings import FitSettings
from brenier.potentials import Potential
from brenier.statistics import (
    RowWeights,
    SampleTerms,
    Weighted,
    adjusted_difference,
    effective_rows,
    normal_score,
    some_of,
    some_weights,
    thinned,
    two_sample_score,
)
from brenier.training import Run
from brenier.transport.dual import DualTask


class Comparison(NamedTuple):
    """Many rows of either side that are not held out, to compare two maps by.

    Attributes:
        source, target: (n, d), (m, d), in the coordinates.
        distinct: whether none of them is there twice, without which the two laws cannot be compared.
        evidence: how many different rows of a side are held out, where some are there several times; else None.
        weights: (n,), (m,), of the rows.
    """

    source: Tensor
    target: Tensor
    distinct: bool = True
    evidence: int | None = None
    weights: RowWeights = (None, None)


class Extent(NamedTuple):
    """What there is time for.

    Attributes:
        share: of the rows that are solved.
        adjusted: whether noise is taken out by what many more rows tell of the moments.
    """

    share: float = 1.0
    adjusted: bool = True

    def of(self, rows: int) -> int:
        """Return how many of some rows there is time for, two at least."""
        return rows if self.share >= 1 else min(rows, max(2, int(self.share * rows)))


class ComparedProblem(Protocol):
    """A transport problem whose network is compared with the map that its training started from."""

    @property
    def task(self) -> DualTask:
        """What is trained."""
        ...

    def compare(self) -> Comparison:
        """Return many rows of either side by which the two are compared."""
        ...

    def identity(self) -> Potential:
        """Return the potential of the map that training started from."""
        ...


def network_or_start(
    problem: ComparedProblem, run: Run[Potential], options: Options
) -> Choice:
    """Return the network of a run that has ended, or the start where it is no better; a network goes on from a map.

    Args:
        problem: what was fitted.
        run: its training.
        options: what the fit is told.
    """
    if options.warm is None and not _improves(problem, run, options):
        return Choice(problem.identity(), options.start)
    return Choice(run.result(), "network")


def _improves(problem: ComparedProblem, run: Run[Potential], options: Options) -> bool:
    """Say whether the network is better than the start, on as many rows as there is time for."""
    pace, task, settings = options.pace, problem.task, options.settings
    if not run.step and pace.limit is not None:
        return False  # as new as it was
    comparison = problem.compare()
    most = len(task.held_out[1]) + settings.control.fitted_rows
    rows = pace.rows(most, pace.settings.judged_share, "judged")
    what = "judged without control variates"
    adjusted = pace.affords(1, pace.settings.judged_share, what)
    extent = Extent(rows / most, adjusted)
    began = pace.clock.now()
    better = improves_on_start(run, task, comparison, settings, extent)
    pace.measured(rows, pace.clock.now() - began)
    return better


def improves_on_start(
    run: Run[Potential],
    task: DualTask,
    rows: Comparison,
    settings: FitSettings,
    extent: Extent | None = None,
) -> bool:
    """Say whether held-out J is below the start's, which is zero row by row in its coordinates.

    It has to be so significantly. Or the samples have to refute the start, for where that is the transport map both
    sides are of one law in its coordinates. Or both together: these are other rows than those held out, so the two
    scores are independent ("The American Soldier", Stouffer et al., 1949, vol. 1, p. 45).

    Args:
        run: one that has ended.
        task: what it trained.
        rows: many rows of either side.
        settings: `z_threshold`, `min_gain`, and those of the statistics.
        extent: what there is time for; all of it by default.
    """
    extent = extent or Extent()
    x, z = (some_of(side, extent.of(len(side))) for side in task.held_out)
    pipeline, fitted_rows = settings.pipeline, extent.of(settings.control.fitted_rows)
    potential = run.result()
    many_x, many_z = (
        Weighted(side, own)[torch.randperm(len(side), generator=run.generator)]
        for side, own in zip((rows.source, rows.target), rows.weights, strict=True)
    )
    weights = some_weights(task.weights, (len(x), len(z)))
    with torch.no_grad():
        value = task.objective(potential, x, z).weighted(weights)
        if extent.adjusted:
            others = task.objective(
                potential,
                many_x.rows[:fitted_rows].to(x),
                many_z.rows[:fitted_rows].to(x),
            )
        else:
            others = value
    if not (value.loss.isfinite() and others.loss.isfinite()):
        return False
    if extent.adjusted:
        difference, error = adjusted_difference(
            _terms_of_side(value.source, x, weights[0], many_x, others.source),
            _terms_of_side(value.target, z, weights[1], many_z, others.target),
            settings.control,
        )
    else:
        difference, error = float(value.loss), value.standard_error()
    if difference > -pipeline.min_gain * potential.transport_dim:
        return False
    held_out = min(
        int(effective_rows(len(side), own))
        for side, own in zip((x, z), weights, strict=True)
    )
    evidence = min(held_out, extent.of(rows.evidence or held_out))
    error *= math.sqrt(held_out / evidence)  # copies of a row are no evidence
    errors = -difference / error if error else math.inf
    gain = normal_score(errors, evidence)
    if gain > pipeline.z_threshold or not rows.distinct:
        return gain > pipeline.z_threshold
    refuted = _refutation(rows, run.generator, settings)
    if refuted is None:
        return False
    both = (gain + refuted) / math.sqrt(2)
    return max(refuted, both) > pipeline.z_threshold


def _terms_of_side(
    terms: Tensor,
    points: Tensor,
    weights: Tensor | None,
    others: Weighted,
    other_terms: Tensor,
) -> SampleTerms:
    """Return what is known of one side of J."""
    return SampleTerms(terms, points, others.rows, other_terms, weights, others.weights)


def _refutation(
    rows: Comparison, generator: torch.Generator, settings: FitSettings
) -> float | None:
    """Return how surely the two sides are of two laws, as a normal score, or None where weights leave too few rows."""
    # A permutation test takes plain samples of both laws.
    x, z = (
        thinned(Weighted(side, own), generator)
        for side, own in zip((rows.source, rows.target), rows.weights, strict=True)
    )
    if min(len(x), len(z)) < 2:
        return None
    return two_sample_score(x, z, generator, settings.two_sample)
