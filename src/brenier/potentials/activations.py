"""Activations with the two facts the potentials need: the derivative, and whether convexity survives them.

All three are Lipschitz, so a network of them grows at most linearly; softplus and CeLU are convex and increasing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from brenier.errors import DataError


@dataclasses.dataclass(frozen=True)
class Activation:
    """A scalar function.

    Attributes:
        name: of it.
        value: of it, differentiable.
        both_: (s, slope) in place and without a graph: puts the derivative at s into slope, then the value into s.
        convex: whether it is convex and increasing.
    """

    name: str
    value: Callable[[Tensor], Tensor]
    both_: Callable[[Tensor, Tensor], None]
    convex: bool


LOG2_E = math.log2(
    math.e
)  # on many CPUs torch's exp2 takes a third of the time of its exp


def _celu(s: Tensor) -> Tensor:
    return (
        s.relu() + (s.clamp(max=0) * LOG2_E).exp2() - 1
    )  # torch's own takes several times as long on a CPU


def _celu_both(s: Tensor, slope: Tensor) -> None:
    torch.clamp(s, max=0, out=slope).mul_(LOG2_E).exp2_()
    s.clamp_(min=0).add_(slope).sub_(1)


def _softplus(s: Tensor) -> Tensor:
    return functional.softplus(
        s, threshold=40.0
    )  # at 20, where torch goes over to s, a double still sees the jump


def _softplus_both(s: Tensor, slope: Tensor) -> None:
    torch.sigmoid(s, out=slope)
    s.copy_(_softplus(s))


def _tanh_both(s: Tensor, slope: Tensor) -> None:
    torch.square(s.tanh_(), out=slope).neg_().add_(1)


_ACTIVATIONS = (
    Activation("celu", _celu, _celu_both, convex=True),
    Activation("softplus", _softplus, _softplus_both, convex=True),
    Activation("tanh", torch.tanh, _tanh_both, convex=False),
)
ACTIVATIONS = {activation.name: activation for activation in _ACTIVATIONS}


def activation_named(name: str) -> Activation:
    """Return the activation of that name.

    Raises:
        DataError: for a name that is not one of `ACTIVATIONS`.
    """
    if name not in ACTIVATIONS:
        raise DataError(
            f"activation: {name!r} is not known; choose one of {', '.join(sorted(ACTIVATIONS))}"
        )
    return ACTIVATIONS[name]
