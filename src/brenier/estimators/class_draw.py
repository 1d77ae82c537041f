"""How rows of classes become conditioned points: all of them, or batches in which every class has its share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from brenier.datasets import Rows
from brenier.estimators.options import Options
from brenier.statistics import Weighted, joined_weights
from brenier.transport.coordinates import Classes, to_coordinates


def class_points(
    pairs: Sequence[tuple[Weighted, Weighted]], classes: Classes, options: Options
) -> tuple[Weighted, Weighted]:
    """Return rows of both sides of every class as conditioned points of either side.

    Weights are those within a class: together the rows of a class weigh as much as there are.

    Args:
        pairs: source and target rows, class by class.
        classes: their coordinates.
        options: device and precision.
    """
    source, target = (
        [side.levelled() for side in own] for own in zip(*pairs, strict=True)
    )
    u = side_points([side.rows for side in source], classes, False, options)
    w = side_points([side.rows for side in target], classes, True, options)
    return Weighted(u, joined_weights(source)), Weighted(w, joined_weights(target))


def side_points(
    side: Sequence[Tensor], classes: Classes, target: bool, options: Options
) -> Tensor:
    """Return rows of one side, class by class, as conditioned points."""
    counts = torch.tensor([len(rows) for rows in side])
    index = torch.repeat_interleave(torch.arange(len(side)), counts)
    return to_coordinates(
        torch.cat(list(side)), index, classes, target, options.device, options.dtype
    )


class ClassDraw:
    """Batches of one side as conditioned points, every class with its share.

    Args:
        sides: rows, class by class.
        shares: (k,), proportional to what a class gets of a batch.
        classes: their coordinates.
        target: whether the rows are of the target, else of the source.
        options: device and precision.
    """

    def __init__(
        self,
        sides: Sequence[Rows],
        shares: Tensor,
        classes: Classes,
        target: bool,
        options: Options,
    ) -> None:
        self.sides, self.classes, self.target, self.options = (
            sides,
            classes,
            target,
            options,
        )
        self.bounds = (shares / shares.sum()).cumsum(0)
        self.sizes = torch.tensor([side.size for side in sides])
        self.size = int(self.sizes.sum())
        self.encoded: Tensor | None = None
        self.cumulative = _cumulative(sides)
        apart = len({id(side) for side in sides}) == len(sides)
        if apart and all(side.in_memory for side in sides):  # every row is encoded once
            rows = [
                side.sample_distinct(side.size, torch.Generator()) for side in sides
            ]
            self.encoded = side_points(rows, classes, target, options)

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        """Return a batch: (n, d + e), or as many as there are rows."""
        return self.rows(min(n, self.size), generator)

    def rows(self, n: int, generator: torch.Generator) -> Tensor:
        """Return n rows drawn with replacement, classes in their shares but for rounding, in random order."""
        offset = torch.rand(1, generator=generator, dtype=torch.float64)
        places = (torch.arange(n, dtype=torch.float64) + offset) / n
        index = torch.searchsorted(self.bounds, places).clamp(max=len(self.sides) - 1)
        index = index[torch.randperm(n, generator=generator)]
        if self.encoded is not None and self.cumulative is not None:
            chosen = torch.rand(n, generator=generator, dtype=torch.float64)
            within = torch.searchsorted(self.cumulative, index + chosen, right=True)
            ends = self.sizes.cumsum(0)[index] - 1  # which rounding may pass
            return self.encoded[
                torch.minimum(within, ends).to(self.encoded.device, non_blocking=True)
            ]
        if self.encoded is not None:
            chosen = torch.rand(n, generator=generator, dtype=torch.float64)
            within = (chosen * self.sizes[index]).long()
            first = self.sizes.cumsum(0) - self.sizes
            return self.encoded[
                (first[index] + within).to(self.encoded.device, non_blocking=True)
            ]
        drawn = torch.empty(n, self.classes.coordinates.dim, dtype=torch.float64)
        for k in index.unique().tolist():
            own = index == k
            drawn[own] = self.sides[k].sample(int(own.sum()), generator).cpu()
        device, dtype = self.options.device, self.options.dtype
        return to_coordinates(drawn, index, self.classes, self.target, device, dtype)


def _cumulative(sides: Sequence[Rows]) -> Tensor | None:
    """Return the sums of weights up to each row, where those of the k-th class go from k to k + 1: (n,), or None."""
    if all(side.weights is None for side in sides):
        return None
    sums = []
    for k, side in enumerate(sides):
        own = side.own_weights
        if own is None:
            own = torch.ones(side.size, dtype=torch.float64)
        sums.append(k + own.cumsum(0) / own.sum())
    return torch.cat(sums)
