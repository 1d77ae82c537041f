"""Activations with the two facts the potentials need: the derivative, and whether convexity survives them.

All three are Lipschitz, so a network of them grows at most linearly; softplus and CeLU are convex and increasing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from brenier.errors import DataError


@dataclasses.dataclass(frozen=True)
class Activation:
    """A scalar function, and its derivative in terms of argument s and value a."""

    name: str
    value: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor, Tensor], Tensor]  # (s, a) -> da/ds
    convex: bool


def _softplus(s: Tensor) -> Tensor:
    return functional.softplus(s, threshold=40.0)  # at 20, where torch goes over to s, a double still sees the jump


def _celu_derivative(s: Tensor, a: Tensor) -> Tensor:
    return (a + 1).clamp(max=1.0)  # exp(s) below zero, where a = exp(s) - 1


_ACTIVATIONS = (
    Activation("celu", functional.celu, _celu_derivative, convex=True),
    Activation("softplus", _softplus, lambda s, a: torch.sigmoid(s), convex=True),
    Activation("tanh", torch.tanh, lambda s, a: 1 - a.square(), convex=False),
)
ACTIVATIONS = {activation.name: activation for activation in _ACTIVATIONS}


def activation_named(name: str) -> Activation:
    """Return the activation of that name.

    Raises:
        DataError: for a name that is not one of `ACTIVATIONS`.
    """
    if name not in ACTIVATIONS:
        raise DataError(f"activation: {name!r} is not known; choose one of {', '.join(sorted(ACTIVATIONS))}")
    return ACTIVATIONS[name]
