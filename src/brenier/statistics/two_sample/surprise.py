"""How surprising values are: minus the logarithm of a probability.

These scales make unlike statistics comparable. No claim rests on them: that rests on permutations alone.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def normal_surprise(z: Tensor) -> Tensor:
    """Return -log P(|N(0, 1)| > |z|)."""
    return -(torch.special.log_ndtr(-z.abs()) + math.log(2))


def gamma_surprise(value: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Return -log P(G > value), G of the gamma law with these moments; zero where a moment is."""
    known = (mean > 0) & (variance > 0)
    safe = torch.where(known, variance, 1.0)
    shape = torch.where(known, mean.square() / safe, 1.0)
    rate = torch.where(known, mean / safe, 1.0)
    tail = torch.special.gammaincc(shape, (rate * value).clamp_min(0))
    least = torch.finfo(tail.dtype).tiny
    return torch.where(known, -tail.clamp_min(least).log(), 0.0)


def among_others(values: Tensor) -> Tensor:
    """Return how surprising each of some values is, all at least zero, by the moments of the others: (k,) -> (k,)."""
    others = len(values) - 1
    mean = (values.sum() - values) / others
    squares = (values.square().sum() - values.square()) / others
    return gamma_surprise(values, mean, (squares - mean.square()).clamp_min(0))
