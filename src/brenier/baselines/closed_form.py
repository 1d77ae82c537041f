"""What baselines that are computed rather than trained share: one `fit`, and rows of either side by class.

A side is a table or an endless stream; of both at most a stated number of rows is drawn. Where the user says which
class every row has, each class gets its share of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from brenier.baselines.learned import SavedModelBaseline
from brenier.baselines.model import MapFrame, MapModel, ModelMap
from brenier.datasets import Population, Rows, Sampler, TableLike
from brenier.errors import DataError
from brenier.estimators import (
    GivenConditions,
    RandomState,
    both_sides,
    class_plan,
    validation,
)
from brenier.potentials import UsualType, usual_modes
from brenier.training import Clock

UNLABELLED = GivenConditions(None, None, None, None)


@dataclasses.dataclass(frozen=True)
class DrawnRows:
    """The rows that a map is computed from, float64.

    Attributes:
        source, target: (n, d), (m, d).
        source_codes, target_codes: (n,), (m,), the number of every row's class, or None.
        labels: of the classes, or None.
    """

    source: Tensor
    target: Tensor
    source_codes: Tensor | None = None
    target_codes: Tensor | None = None
    labels: tuple[Hashable, ...] | None = None

    def to(self, device: torch.device) -> DrawnRows:
        """Return the same rows on a device."""
        return dataclasses.replace(
            self, source=self.source.to(device), target=self.target.to(device)
        )

    def within(self, frame: MapFrame) -> DrawnRows:
        """Return the same rows in the coordinates of a frame."""
        return dataclasses.replace(
            self,
            source=frame.from_source(self.source),
            target=frame.from_target(self.target),
        )


class Computed(NamedTuple):
    """What a method computes.

    Attributes:
        model: of the map, in the coordinates of the frame.
        told: what is known of it, for `diagnostics_`; numbers and texts.
    """

    model: MapModel
    told: dict[str, Any]


class ClosedForm(SavedModelBaseline):
    """A baseline whose map is computed from rows of either side, without training.

    A subclass writes `computed`, and `frame` or `drawn` where it needs others.

    Args:
        max_rows: of either side at most that the map is computed from; drawn at random where there are more, and as
            many as that of endless streams.
        random_state: seed, numpy generator or None, as in scikit-learn; it draws the rows where there are more.
        device: where to compute, for example "cuda"; by default where X lies if it is a tensor, else the CPU.
        dtype: precision of the map, "float32" or "float64", or that type of torch or numpy.

    Attributes:
        map_: the fitted map.
        labels_: the classes of `fit`, or None.
        history_: empty, since nothing is trained.
        diagnostics_: the rows of either side that were used, and the "seconds" of the fit.
        n_features_in_, feature_names_in_: as in scikit-learn.
    """

    def __init__(
        self,
        *,
        max_rows: int = 100_000,
        random_state: RandomState = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype = "float64",
    ) -> None:
        self.max_rows = max_rows
        self.random_state = random_state
        self.device = device
        self.dtype = dtype

    @validation.names_both_sides
    def fit(self, X: TableLike | Sampler, Y: TableLike | Sampler) -> Self:
        """Compute the map from X (n, d) to Y (m, d), unpaired.

        Args:
            X, Y: arrays, tensors, frames, memory-mapped arrays, or functions (n, generator) -> (n, d) for endless
                streams. The `torch.Generator` must be their only randomness.

        Raises:
            DataError: for samples or parameters that cannot be used.
        """
        return self._fit(X, Y, UNLABELLED)

    # ---- what a method adds

    def computed(self, rows: DrawnRows, generator: torch.Generator) -> Computed:
        """Return the model of the map, found from rows in the coordinates of the frame."""
        raise NotImplementedError

    def frame(self, x: Tensor, z: Tensor) -> MapFrame:
        """Return the coordinates of rows (n, d), (m, d) of either side: centred, and of one unit."""
        return MapFrame.common(x, z)

    def drawn(
        self,
        source: Population,
        target: Population,
        given: GivenConditions,
        generator: torch.Generator,
    ) -> DrawnRows:
        """Return rows of both sides, at most `max_rows` of either; with labels, every class has its share.

        Raises:
            DataError: for samples that cannot be drawn, or labels that cannot be used.
        """
        most = int(self.max_rows)
        if given.kind() is None:
            x, z = (side.sample_distinct(most, generator) for side in (source, target))
            return DrawnRows(x.double(), z.double())
        return rows_by_class(source, target, given, most, generator)

    # ---- the same for all

    def _fit(
        self, X: TableLike | Sampler, Y: TableLike | Sampler, given: GivenConditions
    ) -> Self:
        """Fit; what `fit` does, for subclasses whose `fit` takes labels."""
        clock = Clock()
        self._check()
        sides = both_sides(X, Y)
        with UsualType(), usual_modes(gradients=True):
            generator = torch.Generator().manual_seed(
                validation.draw_seed(self.random_state)
            )
            device = self._device(sides.source)
            drawn = self.drawn(sides.source, sides.target, given, generator)
            rows = drawn.to(device)
            frame = self.frame(rows.source, rows.target)
            frame.check()
            found = self.computed(rows.within(frame), generator)
            dtype = getattr(torch, str(validation.name_of_dtype(self.dtype)))
            self.map_ = ModelMap(found.model.to(device, dtype), frame)
        self.labels_ = None if rows.labels is None else list(rows.labels)
        self.history_: list[dict[str, float]] = []
        self.diagnostics_ = {
            "source_rows": len(rows.source),
            "target_rows": len(rows.target),
            **found.told,
            "seconds": clock.gone(),
        }
        validation.remember_features(self, sides.source.dim, sides.names)
        return self

    def _check(self) -> None:
        """Raise a DataError for the first parameter that cannot be used."""
        validation.check_positive("max_rows", self.max_rows, whole=True)
        if int(self.max_rows) < 2:
            raise DataError(
                f"max_rows: must be 2 or more, got {self.max_rows}; of one row nothing can be told",
                argument="max_rows",
            )
        name = validation.name_of_dtype(self.dtype)
        validation.check_choice("dtype", name, ("float32", "float64"))

    def _device(self, source: Population) -> torch.device:
        """Return where the map lies."""
        if self.device is not None:
            return validation.check_device(self.device)
        if isinstance(source, Rows) and isinstance(source.values, Tensor):
            return source.values.device
        return torch.device("cpu")


def rows_by_class(
    source: Population,
    target: Population,
    given: GivenConditions,
    most: int,
    generator: torch.Generator,
) -> DrawnRows:
    """Return rows of the classes that both sides have, at most so many of either, every class with its share.

    Args:
        source, target: tables.
        given: one label per row of both sides.
        most: rows of a side; every class keeps two at least where it has them.
        generator: draws them.

    Raises:
        DataError: for labels that are missing or cannot be used, or sides that share no class.
    """
    for name in ("source_labels", "target_labels"):
        if getattr(given, name) is None:
            raise DataError(
                f"{name}: is missing; give one label per row of both sides",
                argument=name,
            )
    plan = class_plan(source, target, given)
    sides = []
    for own in zip(*plan.pairs, strict=True):
        total = sum(side.size for side in own)
        share = min(1.0, most / total)
        parts = [
            side.sample_distinct(max(2, int(share * side.size)), generator).double()
            for side in own
        ]
        counts = torch.tensor([len(part) for part in parts])
        codes = torch.repeat_interleave(torch.arange(len(parts)), counts)
        sides.append((torch.cat(parts), codes))
    (x, x_codes), (z, z_codes) = sides
    return DrawnRows(x, z, x_codes, z_codes, plan.labels)
