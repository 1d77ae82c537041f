"""PairSides whose draws are known beforehand, and pairs of which a map is learnt in a moment."""

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from brenier.baselines.pair_task import DrawCoordinates, PairSides

STRETCH = torch.tensor([2.0, 0.5], dtype=torch.float64)
SHIFT = torch.tensor([1.0, -3.0], dtype=torch.float64)


def given_sides(x: Tensor, y: Tensor) -> PairSides:
    """PairSides that draw the first rows of x and y."""

    def first(rows: Tensor) -> DrawCoordinates:
        return lambda n, _: rows[:n]

    sizes = (math.inf, math.inf)
    return PairSides(first(x), first(y), (x, y), sizes, (x, y))


def rows(n: int, dim: int, seed: int = 0) -> Tensor:
    """Standard normal rows, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=generator, dtype=torch.float64)


def stretched(x: Tensor) -> Tensor:
    """The optimal map of rows in the plane that the tests of learning ask for."""
    return STRETCH * x + SHIFT


def number(value: Tensor) -> float:
    """A scalar, without its graph."""
    return float(value.detach())


def error(found: Tensor, truth: Tensor) -> float:
    """Mean squared error over the variance of the truth."""
    return float((found - truth).square().sum(1).mean() / truth.var(0).sum())


def quick(settings: Any) -> Any:
    """Settings with small networks, small batches and a high rate: they learn a simple map in a moment."""
    return dataclasses.replace(
        settings,
        widths=(32, 32),
        batch_size=256,
        learning_rate=6e-3,
        evaluate_every=1000,
    )
