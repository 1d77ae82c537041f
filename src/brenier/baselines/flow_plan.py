"""What a characteristic flow is fitted to and how: classes, and the steps of training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable

from brenier.baselines.flow_fit import SidePair
from brenier.datasets import LabelsLike, Population
from brenier.errors import DataError
from brenier.estimators import GivenConditions, class_plan
from brenier.training import Settings


@dataclasses.dataclass(frozen=True)
class FlowSteps:
    """How a flow is trained where the user says nothing.

    Attributes:
        max_steps: where neither steps nor seconds are given.
        least_width, most_width: units per layer.
        evaluate_every: steps between two evaluations, which compare all pairs of held-out rows.
        patience: evaluations without a better held-out loss after which training stops.
    """

    max_steps: int = 5000
    least_width: int = 64
    most_width: int = 512
    evaluate_every: int = 100
    patience: int = 40


FLOW_STEPS = FlowSteps()


def flow_training(
    max_steps: int | None, max_time: float | None, batch_size: int, learning_rate: float
) -> Settings:
    """Return how to train."""
    if max_steps is None and max_time is None:
        max_steps = FLOW_STEPS.max_steps
    steps = math.inf if max_steps is None else max_steps
    return Settings(
        max_steps=steps,
        max_time=max_time,
        batch_size=int(batch_size),
        learning_rate=learning_rate,
        evaluate_every=FLOW_STEPS.evaluate_every,
        patience=FLOW_STEPS.patience,
    )


def flow_width(given: int | None, dim: int) -> int:
    """Return the units per layer for d features."""
    if given is not None:
        return int(given)
    return max(FLOW_STEPS.least_width, min(2 * dim, FLOW_STEPS.most_width))


def flow_classes(
    source: Population,
    target: Population,
    source_labels: LabelsLike | None,
    target_labels: LabelsLike | None,
) -> tuple[list[SidePair], tuple[Hashable, ...] | None]:
    """Return both sides of every class, and the classes, or of all rows where there are no labels."""
    if source_labels is None and target_labels is None:
        return [(source, target)], None
    if source_labels is None or target_labels is None:
        missing = "source_labels" if source_labels is None else "target_labels"
        raise DataError(
            f"{missing}: is missing; one map moves all classes, so rows of both sides need labels, or of none",
            argument=missing,
        )
    plan = class_plan(
        source, target, GivenConditions(source_labels, target_labels, None, None)
    )
    for label, pair in zip(plan.labels, plan.pairs, strict=True):
        for side, name in zip(pair, ("source_labels", "target_labels"), strict=True):
            if side.size < 2:
                raise DataError(
                    f"{name}: class {label!r} has one row, whose law cannot be told; leave that class out, or give "
                    "more rows",
                    argument=name,
                )
    return list(plan.pairs), plan.labels
