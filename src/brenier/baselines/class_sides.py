"""Both sides of every class in coordinates that all classes share, for methods that are told labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from brenier.baselines.fitting import FITTING, FitOptions, drawn
from brenier.baselines.flow_fit import SidePair
from brenier.baselines.learned import LearnedBaseline
from brenier.baselines.learned_settings import LearnedSettings
from brenier.baselines.model import MapFrame, MapModel
from brenier.baselines.pair_task import DrawCoordinates, PairSides, PairTask
from brenier.datasets import Population, Split, SplitSettings
from brenier.statistics import rows_of

MakeFrame = Callable[[Tensor, Tensor], MapFrame]


class ClassRecipe(NamedTuple):
    """A method that is told the classes: what it adds to a fit.

    Attributes:
        method: the estimator.
        pairs: both sides of every class.
    """

    method: LearnedBaseline[LearnedSettings]
    pairs: Sequence[SidePair]

    def sides(
        self,
        source: Population,
        target: Population,
        options: FitOptions,
        generator: torch.Generator,
    ) -> tuple[PairSides, MapFrame]:
        """Return both sides, with those of every class, in coordinates, and these."""
        return framed_class_sides(self.method.frame, self.pairs, options, generator)

    def model(self, dim: int, generator: torch.Generator) -> MapModel:
        """Return the untrained model."""
        return self.method.model(dim, generator)

    def prepare(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> None:
        """Put the model where training starts, in place."""
        self.method.prepare(model, sides, generator)

    def task(
        self, model: MapModel, sides: PairSides, generator: torch.Generator
    ) -> PairTask:
        """Return the task that trains the model."""
        return self.method.task(model, sides, generator)


def framed_class_sides(
    make: MakeFrame,
    pairs: Sequence[SidePair],
    options: FitOptions,
    generator: torch.Generator,
) -> tuple[PairSides, MapFrame]:
    """Return both sides, with those of every class, in the coordinates of a frame that all classes share.

    Rows of all classes together are drawn with every class alike, whatever its size.

    Args:
        make: rows (n, d), (m, d) of either side -> their frame.
        pairs: both sides of every class.
        options: what the fit is told.
        generator: source of randomness.

    Raises:
        DataError: where the coordinates overflow.
    """
    held_out = SplitSettings(max(2, FITTING.compared_rows // len(pairs)))
    splits = [Split.of(*pair, generator, held_out) for pair in pairs]
    dim = splits[0].source.dim
    most = min(FITTING.frame_rows, FITTING.frame_numbers // dim) // len(pairs)

    def known(side: Population) -> Tensor:
        return side.sample_distinct(max(2, most), generator).to(options.device)

    rows = [(known(split.source), known(split.target)) for split in splits]
    frame = make(*_joined(rows))
    frame.check()

    def from_source(x: Tensor) -> Tensor:
        return frame.from_source(x.to(options.device)).to(options.dtype)

    def from_target(z: Tensor) -> Tensor:
        return frame.from_target(z.to(options.device)).to(options.dtype)

    classes = []
    for split, (x, z) in zip(splits, rows, strict=True):
        seen, aim = (part[: held_out.held_out_rows] for part in rows_of(split.select))
        classes.append(
            PairSides(
                drawn(split.source, from_source),
                drawn(split.target, from_target),
                (from_source(seen), from_target(aim)),
                (split.source.size or math.inf, split.target.size or math.inf),
                (from_source(x), from_target(z)),
            )
        )
    return _together(classes, options), frame


def _together(classes: Sequence[PairSides], options: FitOptions) -> PairSides:
    """Return the sides of all classes together, each class as likely as any other."""
    return PairSides(
        _drawn_alike([one.source for one in classes]),
        _drawn_alike([one.target for one in classes]),
        _joined([one.held_out for one in classes]),
        (sum(one.sizes[0] for one in classes), sum(one.sizes[1] for one in classes)),
        _joined([one.known for one in classes]),
        lambda: options.clock.gone() / (options.max_time or math.inf),
        tuple(classes),
    )


def _joined(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the rows of all classes, of either side."""
    first, second = zip(*pairs, strict=True)
    return torch.cat(first), torch.cat(second)


def _drawn_alike(draws: Sequence[DrawCoordinates]) -> DrawCoordinates:
    """Return a draw of rows, the class of each of which is drawn first; they come class by class."""

    def draw(n: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(draws), (n,), generator=generator)
        counts = chosen.bincount(minlength=len(draws)).tolist()
        return torch.cat(
            [own(k, generator) for own, k in zip(draws, counts, strict=True) if k]
        )

    return draw
