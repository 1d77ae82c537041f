"""Whether the trained network is better than the map that training started from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from brenier.statistics import (
    ControlVariateSettings,
    SampleTerms,
    adjusted_difference,
    normal_score,
    two_sample_score,
)
from brenier.training.run import Run

BEATS = 2.33  # normal score: one in a hundred


SLIGHT = 1e-5  # gain of J per coordinate, of variance one, that is none: initial weights may have a billionth


def beats_start(
    run: Run, many_source: Tensor, many_target: Tensor, distinct: bool = True
) -> bool:
    """Say whether held-out J is below the start's, which is zero row by row in its coordinates.

    It has to be so significantly. Or the samples have to refute the start, for where that is the transport map both
    sides are of one law in its coordinates. Or both together: these are other rows than those held out, so the two
    scores are independent ("The American Soldier", Stouffer et al., 1949, vol. 1, p. 45).

    Args:
        run: one that has ended.
        many_source, many_target: many rows of either side that are not held out, in the coordinates.
        distinct: whether none of them is there twice, without which the two laws cannot be compared.
    """
    potential, (x, z) = run.result(), run.held_out
    many = [
        side[torch.randperm(len(side), generator=run.generator)]
        for side in (many_source, many_target)
    ]
    with torch.no_grad():
        value = run.objective(potential, x, z)
        rows = ControlVariateSettings().fitted_rows
        others = run.objective(potential, *(side[:rows].to(x) for side in many))
    if not (value.loss.isfinite() and others.loss.isfinite()):
        return False
    difference, error = adjusted_difference(
        SampleTerms(value.source, x, many[0], others.source),
        SampleTerms(value.target, z, many[1], others.target),
    )
    if difference > -SLIGHT * run.potential.transport_dim:
        return False
    gain = normal_score(-difference / error if error else math.inf, min(len(x), len(z)))
    if gain > BEATS or not distinct:
        return gain > BEATS
    refuted = two_sample_score(many_source, many_target, run.generator)
    return max(refuted, (gain + refuted) / math.sqrt(2)) > BEATS
