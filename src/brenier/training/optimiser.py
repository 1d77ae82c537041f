"""Steps of an optimiser, the user's too, whose faults are named; and the running average of the weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

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


@torch.no_grad()
def ema_update(
    average: nn.Module, model: nn.Module, step: int, max_decay: float
) -> None:
    """Take a step's weights into their exponential moving average, of about a ninth of the steps.

    Args:
        average: the average, changed in place.
        model: the module whose weights it takes in.
        step: how many were taken before.
        max_decay: largest decay.
    """
    decay = min(max_decay, (1 + step) / (10 + step))
    averages, weights = (
        list[Tensor](average.parameters()),
        list[Tensor](model.parameters()),
    )
    torch._foreach_lerp_(averages, weights, 1 - decay)
