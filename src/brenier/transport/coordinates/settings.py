"""What the coordinates of a fit are told, and how much memory they take."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class CoordinateSettings:
    """How coordinates are determined from samples.

    Attributes:
        min_relative_scale: with `scale="auto"` features get units of their own where the scale of one falls below this
            share of the largest: it would contribute less to the cost than float32 resolves.
        drowned_scale, drowned_range: a feature whose scale and range fall below these shares of the largest scale
            counts next to nothing in a common unit, and is told of.
        knots_of_one, knots_of_two, knots_of_more: values of one, of two, or of more covariates at which coordinates
            are computed, at most; between them they are interpolated.
        min_relative_spread: of knots in a direction, as a share of the largest, below which nothing is interpolated
            along it: covariates that follow from others vary by rounding there.
    """

    min_relative_scale: float = 1e-4
    min_relative_spread: float = 1e-6
    drowned_scale: float = 1e-2
    drowned_range: float = 0.1
    knots_of_one: int = 17
    knots_of_two: int = 32
    knots_of_more: int = 64

    def max_knots(self, covariates: int) -> int:
        """Return how many knots there are at most, for a number of covariates."""
        return {1: self.knots_of_one, 2: self.knots_of_two}.get(
            covariates, self.knots_of_more
        )


@dataclasses.dataclass(frozen=True)
class EmbeddingSettings:
    """How classes are told apart by the network. A saved model relies on them.

    Attributes:
        one_hot_classes: classes up to which each has a coordinate of its own; beyond, they are points on a sphere of
            so many dimensions.
        embedding_length: of an embedding, where points have variance one: short, so that a network learns first what
            all classes share, and then what tells them apart.
    """

    one_hot_classes: int = 64
    embedding_length: float = 0.2


@dataclasses.dataclass(frozen=True)
class RowMatrices:
    """How many rows are encoded at once where every row has a matrix of its own.

    Attributes:
        numbers: of these matrices, in memory at once.
    """

    numbers: int = 2**22

    def rows(self, dim: int) -> int:
        """Return how many rows of this dimension are encoded at once."""
        return max(1, self.numbers // dim**2)
