"""Segments of a rollout whose graph is not kept, but made again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Stretch(NamedTuple):
    """What some steps of a rollout lead to."""

    z: Tensor  # (n, d), the states after them
    running: Tensor  # (n,)
    gap: Tensor  # (n,), of the equation of Hamilton, Jacobi and Bellman
    before: Tensor  # (n, m), the last controls, without a graph


class _SegmentContext(Protocol):
    """What `Recomputed` keeps for its backward pass."""

    part: Callable[[Tensor, Tensor | None], Stretch]
    before: Tensor | None
    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[Tensor, ...]

    def save_for_backward(self, *tensors: Tensor) -> None: ...

    def mark_non_differentiable(self, *tensors: Tensor) -> None: ...


class Recomputed(torch.autograd.Function):
    """Some steps of a rollout, computed again in the backward pass, with the controls found before.

    Not torch.utils.checkpoint: that expects the same tensors of both passes, where the second one does not search, and
    it computes a segment anew for every derivative that is taken within, such as those of Hamiltonians.
    """

    @staticmethod
    def forward(
        ctx: _SegmentContext,
        part: Callable[[Tensor, Tensor | None], Stretch],
        before: Tensor | None,
        z: Tensor,
        *weights: Tensor,
    ) -> Stretch:
        """Return a stretch; its graph, with which controls are what they are in training, is dropped at once."""
        ctx.part, ctx.before = part, before
        ctx.save_for_backward(z, *weights)
        with torch.enable_grad():
            found = part(z.detach().requires_grad_(ctx.needs_input_grad[2]), before)
        kept = Stretch(*(each.detach() for each in found))
        ctx.mark_non_differentiable(kept.before)
        return kept

    @staticmethod
    @once_differentiable
    def backward(
        ctx: _SegmentContext, *slopes: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Return the derivatives by the arguments of `forward`."""
        z, *weights = ctx.saved_tensors
        needed = ctx.needs_input_grad[2]
        with torch.enable_grad():
            z = z.detach().requires_grad_(needed)
            found = ctx.part(z, ctx.before)
        pairs = [
            (each, slope)
            for each, slope in zip(found[:3], slopes[:3], strict=True)
            if slope is not None and each.requires_grad
        ]
        if not pairs:
            return (None,) * (3 + len(weights))
        sources = [z, *weights] if needed else weights
        derivatives: Sequence[Tensor | None] = torch.autograd.grad(
            [each for each, _ in pairs],
            sources,
            [slope for _, slope in pairs],
            allow_unused=True,
        )
        first = () if needed else (None,)
        return (None, None, *first, *derivatives)
