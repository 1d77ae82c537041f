"""Derivatives of what worker processes evaluated, as autograd asks for them.

Two autograd functions stand for the work of other processes. Autograd differentiates what was made last first. So, of
the terms of one batch, `WorkerDerivatives` is made before anything else and `WorkerTerms` after everything else: all
workers are asked for their derivatives before this process differentiates its own rows, and waited for after that.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from brenier.training import WorkerProcess, serialise


class WorkerDerivatives(torch.autograd.Function):
    """Stands for what the workers differentiate. Made first, it is differentiated last, and waits for them."""

    @staticmethod
    def forward(
        ctx: Any, workers: Sequence[WorkerProcess], *parameters: Tensor
    ) -> Tensor:
        """Return a number that the terms of the workers depend on."""
        ctx.workers = workers
        return parameters[0].new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:
        """Return the sum of what the workers found."""
        found = [worker.answer() for worker in ctx.workers]
        sums = [
            functools.reduce(torch.add, map(torch.from_numpy, gradients))
            for gradients in zip(*found, strict=True)
        ]
        return None, *sums


class WorkerTerms(torch.autograd.Function):
    """The terms of the workers. Made last, they are differentiated first: all are asked before the own rows follow."""

    @staticmethod
    def forward(
        ctx: Any,
        derivatives: Tensor,
        workers: Sequence[WorkerProcess],
        key: int,
        found: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """Return g(x) of every worker, then env(z) of every worker."""
        ctx.workers, ctx.key = workers, key
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        """Ask the workers for their derivatives."""
        half = len(ctx.workers)
        pairs = zip(cotangents[:half], cotangents[half:], strict=True)
        for worker, (source, target) in zip(ctx.workers, pairs, strict=True):
            worker.ask(
                "differentiate", serialise(ctx.key, source.numpy(), target.numpy())
            )
        return cotangents[0].new_zeros(()), None, None, None
