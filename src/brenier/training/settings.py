"""How to train: steps, seconds, batches, rates, and when to stop.

In the first thousand steps many small batches are worth more than few large ones. Later the noise of batches is what
bounds the error, and more small ones do not average it away: normalised steps of noise let the weights grow, and with
them what the next step changes. So batches grow with the steps taken.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from brenier.errors import DataError

MakeOptimiser = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


def cosine(progress: float) -> float:
    """Return the factor on the learning rate at progress in [0, 1]: a short warm-up, then half a cosine."""
    return (
        min(1.0, progress / 0.01 + 0.05)
        * 0.5
        * (1 + math.cos(math.pi * min(1.0, progress)))
    )


def short_run_factor(steps: float) -> float:
    """Return how short a run of so many steps is, from 1 to 0: the power of the groups' factors on the learning rate.

    Where few steps can be taken, some parameters should take larger ones; over many, those only add noise.
    """
    return min(1.0, max(0.0, 2 - steps / SHORT))


LARGEST = 1024  # side of a weight matrix beyond which SOAP leaves that side as it is
SHORT = 400  # steps of a run that is short, by all means; one of twice as many is not
GROWTH = 1000  # steps after which batches grow by their first size


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        max_steps: optimiser steps at most, or infinity; the learning-rate schedule is laid over them.
        max_time: seconds at most, or None; the schedule then follows whichever budget is used up faster, and a run
            is no longer reproducible to the bit.
        batch_size: rows drawn from either side per step, at first.
        largest_batch: rows drawn at most; up to there as many again are drawn after every thousand steps, or always the
            same number where it is None.
        uses: steps that a solved row of the target enters at most, where inner problems are hard (see `batches`).
        bandwidth: of the Gaussian kernels that rows drawn are smeared with at full learning rate, in standard
            deviations of every coordinate; it falls to zero with the rate.
        learning_rate: rate of the default optimiser, SOAP, before the schedule's factor and those of `short_run_factor` apply.
        optimizer: a function of the parameters that makes another torch optimiser, or None.
        schedule: factor on the learning rate as a function of progress in [0, 1].
        clip: largest gradient norm.
        averaging: largest decay of the running average of the weights, 0 for none; it covers about a ninth of the
            steps taken, and so no more than a thousand of them.
        loosest: root mean square residual, per feature, that inner problems are solved to at full learning rate.
        fresh_rows: rows drawn after which each has been so often that they may be known by heart.
        evaluate_every: steps between two evaluations on held-out samples.
        patience: evaluations without a better held-out J after which training stops; one that is significantly worse
            counts threefold. With `max_time` only those count: seconds given are used, down to a rate of zero.
    """

    max_steps: float = 3000
    max_time: float | None = None
    batch_size: int = 1024
    largest_batch: int | None = None
    uses: int = 3
    bandwidth: float = 0.0
    learning_rate: float = 1e-2
    optimizer: MakeOptimiser | None = None
    schedule: Callable[[float], float] = cosine
    clip: float = 10.0
    averaging: float = 0.999
    loosest: float = 0.05
    fresh_rows: float = math.inf
    evaluate_every: int = 50
    patience: int = 12

    def rows(self, step: int) -> int:
        """Return how many rows a step draws from either side."""
        grown = self.batch_size * (1 + step // GROWTH)
        return max(self.batch_size, min(grown, self.largest_batch or 0))

    def make_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return the optimiser for a potential's groups: SOAP, Adam in the eigenbases of Shampoo, unless one was given.

        "SOAP: Improving and Stabilizing Shampoo using Adam" (Vyas et al., 2024).
        """
        if self.optimizer is None:
            from pytorch_optimizer import SOAP  # takes long to import

            return SOAP(
                groups,
                lr=self.learning_rate,
                betas=(0.5, 0.9),
                weight_decay=0.0,
                max_precondition_dim=LARGEST,
            )
        made = self.optimizer(
            parameter for group in groups for parameter in group["params"]
        )
        if not isinstance(made, torch.optim.Optimizer):
            raise DataError(
                f"optimizer: the function returned {type(made).__name__}; return a torch optimiser"
            )
        return made
