"""Scalar functions of the networks: activations with their derivatives, and a square of linear growth.

All activations are Lipschitz, so that a network of them grows at most linearly. Softplus and CeLU are convex and
increasing, so that a network of them with positive weights is convex.
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
    """A scalar function, applied to every element.

    Attributes:
        name: what users call it.
        value: s -> value at s, differentiable.
        value_and_slope_: (s, slope) -> None, in place and without a graph: writes the derivative at s into slope, then
            the value into s.
        convex: whether it is convex and increasing.
    """

    name: str
    value: Callable[[Tensor], Tensor]
    value_and_slope_: Callable[[Tensor, Tensor], None]
    convex: bool


# exp(s) is 2^(s LOG2_E): on many CPUs torch's exp2 takes a third of the time of its exp.
LOG2_E = math.log2(math.e)


def _celu(s: Tensor) -> Tensor:
    # torch's own takes several times as long on a CPU.
    return s.relu() + (s.clamp(max=0) * LOG2_E).exp2() - 1


def _celu_and_slope_(s: Tensor, slope: Tensor) -> None:
    # The slope exp(min(s, 0)) is the value too, up to max(s, 0) - 1.
    torch.clamp(s, max=0, out=slope).mul_(LOG2_E).exp2_()
    s.clamp_(min=0).add_(slope).sub_(1)


def _softplus(s: Tensor) -> Tensor:
    # Beyond the threshold torch returns s itself; at its default of 20 a double still sees the jump.
    return functional.softplus(s, threshold=40.0)


def _softplus_and_slope_(s: Tensor, slope: Tensor) -> None:
    torch.sigmoid(s, out=slope)
    s.copy_(_softplus(s))


def _tanh_and_slope_(s: Tensor, slope: Tensor) -> None:
    torch.square(s.tanh_(), out=slope).neg_().add_(1)  # 1 - tanh^2


ACTIVATIONS = {
    "celu": Activation("celu", _celu, _celu_and_slope_, convex=True),
    "softplus": Activation("softplus", _softplus, _softplus_and_slope_, convex=True),
    "tanh": Activation("tanh", torch.tanh, _tanh_and_slope_, convex=False),
}


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


@dataclasses.dataclass(frozen=True)
class HuberSquare:
    """s(a) = a^2 up to |a| = knee, and 2 knee |a| - knee^2 beyond: twice Huber's function, of linear growth.

    Attributes:
        knee: where the square ends, in standard deviations of the data (for the coordinates in which potentials are
            trained). At 8 the function is a square wherever there are data.
    """

    knee: float = 8.0

    def __call__(self, a: Tensor) -> Tensor:
        """Return s(a), differentiable."""
        clipped = a.clamp(-self.knee, self.knee)
        return clipped * (2 * a - clipped)


SQUARE = HuberSquare()
