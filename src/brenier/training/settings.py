"""How to train: steps, seconds, batches, rates, and when to stop.

In the first thousand steps many small batches are worth more than few large ones. Later the noise of batches is what
bounds the error, and more small ones do not average it away: normalised steps of noise let the weights grow, and with
them what the next step changes. So batches grow with the steps taken.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch

from brenier.training.optimiser import MakeOptimiser, own_optimizer


def cosine_schedule(progress: float) -> float:
    """Return the factor on the learning rate at progress in [0, 1]: a short warm-up, then half a cosine."""
    warm_up = min(1.0, progress / 0.01 + 0.05)
    return warm_up * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        max_steps: optimiser steps at most, or infinity; the learning-rate schedule is laid over them.
        max_time: seconds at most, or None; the schedule then follows whichever budget is used up faster, and a run
            is no longer reproducible to the bit.
        batch_size: rows drawn from either side per step, at first.
        largest_batch: rows drawn at most; up to there as many again are drawn after every `batch_growth_steps`, or
            always the same number where it is None.
        batch_growth_steps: steps after which batches grow by their first size.
        learning_rate: rate of the default optimiser, SOAP, before the factors of the schedule and of short runs.
        optimizer: a function of the parameters that makes another torch optimiser, or None.
        schedule: factor on the learning rate as a function of progress in [0, 1].
        short_run_steps: a run of so many steps is short: groups of parameters with an `lr_multiplier` get all of it,
            and none in a run of twice as many. Over many steps larger ones only add noise.
        max_precondition_dim: side of a weight matrix beyond which SOAP leaves that side as it is.
        clip: largest gradient norm.
        ema_decay: largest decay of the running average of the weights, 0 for none; it covers about a ninth of the
            steps taken, and so no more than a thousand of them.
        evaluate_every: steps between two evaluations on held-out samples.
        evaluation_share: of the seconds, where these are limited, that evaluations take at most; beyond, some are left
            out, but for the first and the last.
        patience: evaluations without a better held-out value after which training stops, or infinity. With `max_time`
            only those that are significantly worse count: seconds given are used, down to a rate of zero.
        overfit_penalty: evaluations that one with a significantly worse held-out value counts for.
        significant_errors: standard errors above the least held-out value at which one is significantly worse.
        select_within: standard errors of a difference of held-out values within which the later weights are kept: they
            have seen more samples at a lower rate.
        max_rollbacks: times training may lose its way and go back before it gives up.
    """

    max_steps: float = 3000
    max_time: float | None = None
    batch_size: int = 1024
    largest_batch: int | None = None
    batch_growth_steps: int = 1000
    learning_rate: float = 1e-2
    optimizer: MakeOptimiser | None = None
    schedule: Callable[[float], float] = cosine_schedule
    short_run_steps: float = 400
    max_precondition_dim: int = 1024
    clip: float = 10.0
    ema_decay: float = 0.999
    evaluate_every: int = 50
    evaluation_share: float = 0.1
    patience: float = 12
    overfit_penalty: int = 3
    significant_errors: float = 3.0
    select_within: float = 1.0
    max_rollbacks: int = 6

    def rows(self, step: int) -> int:
        """Return how many rows a step draws from either side."""
        grown = self.batch_size * (1 + step // self.batch_growth_steps)
        return max(self.batch_size, min(grown, self.largest_batch or 0))

    def short_run_factor(self, steps: float) -> float:
        """Return how short a run of so many steps is, from 1 to 0: the power of `lr_multiplier` on the rate."""
        return min(1.0, max(0.0, 2 - steps / self.short_run_steps))

    def make_optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Return the optimiser of some parameter groups: SOAP, Adam in the eigenbases of Shampoo, unless one was given.

        "SOAP: Improving and Stabilizing Shampoo using Adam" (Vyas et al., 2024).

        Raises:
            DataError: where the function given makes no optimiser that can be used.
        """
        if self.optimizer is None:
            from pytorch_optimizer import SOAP  # takes long to import

            return SOAP(
                groups,
                lr=self.learning_rate,
                betas=(0.5, 0.9),
                weight_decay=0.0,
                max_precondition_dim=self.max_precondition_dim,
            )
        parameters = (part for group in groups for part in group["params"])
        return own_optimizer(self.optimizer, parameters)
