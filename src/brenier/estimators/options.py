"""What a fit is told, and what it gives back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from brenier.estimators.pace import Pace
from brenier.estimators.settings import FitSettings
from brenier.potentials import Potential
from brenier.statistics import RowWeights, effective_rows
from brenier.training import Progress
from brenier.transport.costs import Cost, SquaredEuclidean
from brenier.transport.dual import DualObjective, UnbalancedMass
from brenier.transport.maps import ConditionalMap, TransportMap

if TYPE_CHECKING:
    from brenier.estimators.plan import Plan

MakePotential = Callable[[int, torch.Generator], Potential]


@dataclasses.dataclass(frozen=True)
class Options:
    """What a fit is told.

    Attributes:
        make_potential: (d, generator) -> a potential that starts at the identity.
        make_network: the same for one network, where that is the mean of several.
        start: "affine" or "identity".
        scale: how features are weighted: "auto", "common", "feature" or a (d,) tensor of units.
        objective: J and its inner solver.
        settings: all others.
        seed: the only source of randomness.
        seed_given: whether a run resumed must have that seed.
        device: where to train.
        dtype: precision of the network.
        folder: where the unfinished run is kept, or None.
        progress: the progress bar, which may be hidden.
        warm: a map to go on from, or None.
        keep_rows: whether the map keeps source rows at which inverse problems start.
        processes: how many share the work of training, or None for as many as are worth it.
        cost: that transport is optimal for.
        mass: unbalanced mass, or None.
        folds: how many networks of few rows leave out a fold each; 0 where rows are held out once for all.
        entropic: whether the entropic plan of few rows is a rival of the networks.
        pace: how the fit keeps to its time.
        features: the names of the features, for messages, or None.
        weights: of the rows of either side, None where they count alike; of a scan those of the rows of its pool.
        effective: how many rows of equal weights either side is worth, where that does not follow from its weights.
    """

    make_potential: MakePotential
    make_network: MakePotential
    start: str
    scale: str | Tensor
    objective: DualObjective
    settings: FitSettings
    seed: int
    seed_given: bool
    device: torch.device
    dtype: torch.dtype
    folder: str | None
    progress: Progress
    warm: TransportMap | ConditionalMap | None
    keep_rows: bool
    processes: int | None
    pace: Pace
    cost: Cost = dataclasses.field(default_factory=SquaredEuclidean)
    mass: UnbalancedMass | None = None
    folds: int = 0
    entropic: bool = False
    features: tuple[str, ...] | None = None
    weights: RowWeights = (None, None)
    effective: tuple[float | None, float | None] = (None, None)

    def worth(self) -> dict[str, object]:
        """Return what the weights make the rows of either side worth; nothing where all count alike."""
        names = ("source", "target")
        sides = zip(names, self.weights, self.effective, strict=True)
        found = {
            name: known or effective_rows(len(weights), weights)
            for name, weights, known in sides
            if weights is not None
        }
        return {"effective_rows": found} if found else {}


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What a fit gives back: the map, how training went, the file of its run, and the samples without wild rows."""

    map: TransportMap | ConditionalMap
    history: list[dict[str, float]]
    diagnostics: dict[str, Any]
    run_file: Path | None = None
    plan: Plan | None = None
