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
    SampleTerms,
    adjusted_difference,
    normal_score,
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
    """

    source: Tensor
    target: Tensor
    distinct: bool = True
    evidence: int | None = None


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
    rows = problem.compare()
    if options.warm is None and not improves_on_start(
        run, problem.task, rows, options.settings
    ):
        return Choice(problem.identity(), options.start)
    return Choice(run.result(), "network")


def improves_on_start(
    run: Run[Potential], task: DualTask, rows: Comparison, settings: FitSettings
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
    """
    x, z = task.held_out
    pipeline, fitted_rows = settings.pipeline, settings.control.fitted_rows
    potential = run.result()
    many_x = rows.source[torch.randperm(len(rows.source), generator=run.generator)]
    many_z = rows.target[torch.randperm(len(rows.target), generator=run.generator)]
    with torch.no_grad():
        value = task.objective(potential, x, z)
        others = task.objective(
            potential, many_x[:fitted_rows].to(x), many_z[:fitted_rows].to(x)
        )
    if not (value.loss.isfinite() and others.loss.isfinite()):
        return False
    difference, error = adjusted_difference(
        SampleTerms(value.source, x, many_x, others.source),
        SampleTerms(value.target, z, many_z, others.target),
        settings.control,
    )
    if difference > -pipeline.min_gain * potential.transport_dim:
        return False
    held_out = min(len(x), len(z))
    evidence = min(held_out, rows.evidence or held_out)
    error *= math.sqrt(held_out / evidence)  # copies of a row are no evidence
    errors = -difference / error if error else math.inf
    gain = normal_score(errors, evidence)
    if gain > pipeline.z_threshold or not rows.distinct:
        return gain > pipeline.z_threshold
    refuted = two_sample_score(
        rows.source, rows.target, run.generator, settings.two_sample
    )
    both = (gain + refuted) / math.sqrt(2)
    return max(refuted, both) > pipeline.z_threshold
