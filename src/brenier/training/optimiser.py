"""An optimiser of the user's, made and checked: what it cannot do is said before training, or at its first step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable

import torch
from torch import nn

from brenier.errors import DataError

MakeOptimiser = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
MADE_BY = "give a function of the parameters, for example functools.partial(torch.optim.Adam, lr=1e-3)"


def own_optimizer(
    make: MakeOptimiser, parameters: Iterable[nn.Parameter]
) -> torch.optim.Optimizer:
    """Return the optimiser that a function of the user's makes.

    Raises:
        DataError: where the function fails or returns no optimiser, or one that needs a closure or has no `lr`.
    """
    try:
        made = make(parameters)
    except Exception as error:
        raise DataError(
            f"optimizer: cannot be made ({type(error).__name__}: {error}); {MADE_BY}",
            argument="optimizer",
        ) from error
    found = type(made).__name__
    if not isinstance(made, torch.optim.Optimizer):
        raise DataError(
            f"optimizer: the function returned {found}; return a torch optimiser",
            argument="optimizer",
        )
    closure = inspect.signature(made.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise DataError(
            f"optimizer: {found} needs a closure that evaluates the loss again, and batches are drawn only once; "
            "choose one that does without, such as torch.optim.Adam",
            argument="optimizer",
        )
    if any("lr" not in group for group in made.param_groups):
        raise DataError(
            f"optimizer: {found} has no learning rate `lr`, which training lets fall; choose one that has",
            argument="optimizer",
        )
    return made


def take_step(optimizer: torch.optim.Optimizer, own: bool) -> None:
    """Take a step.

    Args:
        optimizer: with the gradients in its parameters.
        own: whether it is one of the user's.

    Raises:
        DataError: where one of the user's fails, which names it.
    """
    if not own:
        optimizer.step()
        return
    try:
        optimizer.step()
    except Exception as error:
        raise DataError(
            f"optimizer: {type(optimizer).__name__} failed in a step ({type(error).__name__}: {error}); choose one "
            "that takes dense gradients of parameters of any shape, and neither a closure nor second derivatives",
            argument="optimizer",
        ) from error
