"""What fits by class and by covariate share: rows become conditioned points, and one network is trained on these."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from brenier.estimators.initial import identity_potential, initial_potential
from brenier.estimators.options import Options
from brenier.potentials import Conditional, Potential
from brenier.statistics import Calibration, Features, Weighted, rows_of, weights_of
from brenier.transport.coordinates import Conditions
from brenier.transport.dual import DualTask, MemberSamples
from brenier.transport.maps import ConditionalMap


class ConditionedDraw(Protocol):
    """Batches of one side as conditioned points (n, d + e)."""

    size: int  # rows there are

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        """Return a batch of n rows, or of as many as there are."""
        ...

    def rows(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows drawn with replacement, by the same law."""
        ...


def conditioned_task(
    source: ConditionedDraw,
    target: ConditionedDraw,
    held_out: tuple[Weighted, Weighted],
    dim: int,
    options: Options,
    generator: torch.Generator,
) -> DualTask:
    """Return the training of a new potential on conditioned points.

    Args:
        source, target: how batches are drawn.
        held_out: conditioned points of either side with their weights, never drawn by these.
        dim: how many of their leading coordinates are transported.
        options: what the fit is told.
        generator: the only source of randomness.
    """
    settings, x = options.settings, held_out[0].rows
    points = x.shape[1]
    potential = initial_potential(points, options, generator, dim)
    options.pace.try_out(potential, x)
    batch = options.pace.first_batch(
        min(settings.training.batch_size, source.size, target.size)
    )
    # Embeddings are features of a batch too, where it has rows enough for their products.
    bearable = batch // settings.calibration.rows_per_feature // 2
    seen = points if points <= bearable else dim
    features = Features(batch, x[:, :seen], generator, settings.calibration)
    calibration = []
    for draw in (source, target):
        rows = draw.rows(settings.pipeline.coordinate_rows, generator)
        calibration.append(
            Calibration(features, rows, complete=False, settings=settings.calibration)
        )
    task = DualTask(
        potential,
        options.objective,
        MemberSamples(
            source,
            target,
            rows_of(held_out),
            calibration,
            weights=weights_of(held_out),
        ),
        settings.dual,
        generator,
    )
    task.selected = options.pace.selected_rows(task.selected)
    return task


def conditioned_identity(task: DualTask, options: Options) -> Potential:
    """Return the potential of the maps that training started from."""
    return Conditional(
        identity_potential(task.model.dim, options), task.model.transport_dim
    )


def conditional_map(
    network: Potential,
    conditions: Conditions,
    task: DualTask,
    options: Options,
    start_rows: Tensor | None,
) -> ConditionalMap:
    """Return the maps of a network, with source rows as conditioned points at which inverse problems start."""
    return ConditionalMap(
        network,
        conditions,
        method=task.objective.method,
        tol=options.settings.pipeline.inverse_tol_factor * task.objective.tol,
        start_rows=start_rows,
    )
