"""What fits by class and by covariates share: rows become conditioned points, and one network is trained on these."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from brenier.estimators.pipeline import INVERSE, MOMENTS, Options
from brenier.estimators.start import identity, trainable
from brenier.potentials import Conditional
from brenier.statistics import Calibration, CalibrationSettings, Features
from brenier.training.run import Run
from brenier.transport.coordinates import Classes, Covariates, moved_at_once
from brenier.transport.maps import ConditionalMap


class ConditionedDraw(Protocol):
    """Batches of one side as conditioned points (n, d + c)."""

    size: int  # rows there are

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        """Return a batch of n rows, or of as many as there are."""
        ...

    def rows(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows drawn with replacement, by the same law."""
        ...


def inward(
    rows: Tensor,
    keys: Tensor,
    conditions: Classes | Covariates,
    way: str,
    options: Options,
) -> Tensor:
    """Return rows (n, d) as conditioned points (n, d + c), each in the coordinates of its condition.

    Args:
        rows: (n, d).
        keys: (n, ...), the condition of each row.
        conditions: what the keys mean.
        way: "encode_source" or "encode_target".
        options: device and precision.
    """
    most = moved_at_once(conditions.coordinates.dim)
    parts = [
        getattr(conditions.rows(key), way)(part.to(options.device)).to(options.dtype)
        for part, key in zip(rows.split(most), keys.split(most), strict=True)
    ]
    return torch.cat(parts)


def conditioned_run(
    source: ConditionedDraw,
    target: ConditionedDraw,
    held_out: tuple[Tensor, Tensor],
    dim: int,
    options: Options,
    generator: torch.Generator,
) -> Run:
    """Return a fresh run on conditioned points, of which the first `dim` coordinates are transported."""
    points = held_out[0].shape[1]
    potential = trainable(points, options, generator, dim)
    rows = min(options.settings.batch_size, source.size, target.size)
    most = rows // CalibrationSettings().rows_per_feature // 2
    seen = points if points <= most else dim
    features = Features(rows, held_out[0][:, :seen], generator)
    calibration = [
        Calibration(features, draw.rows(MOMENTS, generator), complete=False)
        for draw in (source, target)
    ]
    return Run(
        potential,
        options.objective,
        source,
        target,
        held_out,
        options.settings,
        generator,
        calibration,
    )


def conditioned_map(
    run: Run, conditions: Classes | Covariates, learnt: bool, options: Options
) -> ConditionalMap:
    """Return the map of the trained network, or where nothing was learnt of the identity."""
    potential = (
        run.result()
        if learnt
        else Conditional(
            identity(run.potential.dim, options), run.potential.transport_dim
        )
    )
    return ConditionalMap(
        potential,
        conditions,
        method=run.objective.method,
        tol=INVERSE * run.objective.tol,
    )
