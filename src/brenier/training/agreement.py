"""What ranks make one: the gradients of a step, the numbers of a history, and the time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from brenier.training.ranks import Ranks


def summed_gradients(model: nn.Module, ranks: Ranks, fault: str, shares: bool) -> str:
    """Make the gradients of all ranks one; return why the step must not be taken, by any of them.

    Args:
        model: whose parameters have this rank's gradients.
        ranks: the group.
        fault: why this rank must not take the step, if it must not.
        shares: whether the gradients add up, or are averaged.
    """
    if ranks.size == 1:
        return fault
    parameters = [each for each in model.parameters() if each.requires_grad]
    gradients = [
        torch.zeros_like(each) if each.grad is None else each.grad
        for each in parameters
    ]
    # Networks that are trained in turn have none, and a rank has none of those that others work on.
    had = [float(each.grad is not None) for each in parameters]
    told = gradients[0].new_tensor([float(bool(fault)), *had])
    *gradients, told = ranks.sums([*gradients, told])
    faulty, *had = told.tolist()
    scale = 1.0 if shares else 1 / ranks.size
    for parameter, gradient, known in zip(parameters, gradients, had, strict=True):
        parameter.grad = gradient * scale if known else None
    if fault or not faulty:
        return fault
    return "the loss of another process cannot be used"


def pooled_row(
    means: Sequence[float], sums: Sequence[float], ranks: Ranks
) -> tuple[list[float], list[float]]:
    """Return the mean of the means, and the sum of the sums, of all ranks."""
    if ranks.size == 1:
        return list(means), list(sums)
    own = torch.tensor([*means, *sums], dtype=torch.float64)
    found = ranks.sums([own])[0].tolist()
    return [each / ranks.size for each in found[: len(means)]], found[len(means) :]


def agreed_times(
    seconds: Sequence[float], limit: float | None, ranks: Ranks
) -> tuple[list[float], float | None]:
    """Return the seconds of the first rank's clock, and its limit, or None."""
    if ranks.size == 1:
        return list(seconds), limit
    *told, end = ranks.agree([*seconds, math.inf if limit is None else limit])
    return told, None if math.isinf(end) else end
