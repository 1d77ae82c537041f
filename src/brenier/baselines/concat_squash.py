"""The velocity network of FFJORD and RNODE: layers whose output the time gates and shifts, with Jacobians by hand.

    layer(x, t) = (W x + b) * sigmoid(g t + g0) + h t

"FFJORD: Free-form Continuous Dynamics for Scalable Reversible Generative Models" (Grathwohl et al., 2019). At one time
it is an ordinary perceptron, whose Jacobian, or its product with a vector, is written out: so training differentiates
once, not twice.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

# name -> activation and its derivative, of what comes in and what went out
SQUASHES: dict[
    str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]
] = {
    "tanh": (torch.tanh, lambda _, out: 1 - out.square()),
    "softplus": (nn.functional.softplus, lambda given, _: given.sigmoid()),
}


def uniform_part(
    shape: Sequence[int], bound: float, generator: torch.Generator | None
) -> nn.Parameter:
    """Return a parameter of numbers drawn uniformly from -bound to bound."""
    return nn.Parameter(bound * (2 * torch.rand(*shape, generator=generator) - 1))


class FieldAt(NamedTuple):
    """A velocity field at some rows.

    Attributes:
        velocity: (n, d).
        divergence: (n,), exact or estimated.
        square: (n,), the squared Frobenius norm of the Jacobian, exact or estimated.
    """

    velocity: Tensor
    divergence: Tensor
    square: Tensor


class ConcatSquash(nn.Module):
    """One layer: before * after + 4 after numbers.

    Args:
        before, after: numbers in and out.
        generator: source of the weights, as torch draws those of linear layers of x and of t.
    """

    def __init__(
        self, before: int, after: int, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(before)
        self.weight = uniform_part((after, before), bound, generator)
        self.bias = uniform_part((after,), bound, generator)
        self.gate = uniform_part((after,), 1.0, generator)
        self.gate_bias = uniform_part((after,), 1.0, generator)
        self.shift = uniform_part((after,), 1.0, generator)

    def at(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Return the matrix (after, before) and the offset (after,) of the layer at a time."""
        gate = torch.sigmoid(self.gate * t + self.gate_bias)
        return self.weight * gate[:, None], self.bias * gate + self.shift * t

    @torch.no_grad()
    def silence_(self) -> None:
        """Make the layer zero for all rows and times."""
        for part in (self.weight, self.bias, self.shift):
            part.zero_()


class ConcatSquashField(nn.Module):
    """v: R^d x [0, T] -> R^d.

    Args:
        dim: d.
        hidden: units of the layers between.
        activation: "tanh" or "softplus".
        generator: source of the weights.
    """

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int],
        activation: str = "tanh",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.activation = dim, activation
        self.squash, self.slope = SQUASHES[activation]
        sizes = [dim, *hidden, dim]
        self.layers = nn.ModuleList(
            ConcatSquash(before, after, generator)
            for before, after in itertools.pairwise(sizes)
        )

    def forward(self, t: float | Tensor, x: Tensor) -> Tensor:
        """Return v(x, t): (n, d) -> (n, d)."""
        *inner, (matrix, offset) = self._at(t)
        for weight, bias in inner:
            x = self.squash(torch.addmm(bias, x, weight.mT))
        return torch.addmm(offset, x, matrix.mT)

    def at(self, t: float | Tensor, x: Tensor, probe: Tensor | None) -> FieldAt:
        """Return the field at rows (n, d), estimated by random vectors (n, d) where these are given."""
        if probe is None:
            return self.exactly(t, x)
        return self.estimated(t, x, probe)

    def exactly(self, t: float | Tensor, x: Tensor) -> FieldAt:
        """Return the field at rows (n, d) by its whole Jacobian."""
        *inner, (matrix, offset) = self._at(t)
        # Of the layers so far, transposed to (n, d, units): one product of matrices for all rows.
        jacobian: Tensor | None = None
        for weight, bias in inner:
            given = torch.addmm(bias, x, weight.mT)
            x = self.squash(given)
            through = weight.mT if jacobian is None else jacobian @ weight.mT
            jacobian = self.slope(given, x)[:, None, :] * through
        velocity = torch.addmm(offset, x, matrix.mT)
        alone = matrix.mT.expand(len(x), -1, -1)
        whole = alone if jacobian is None else jacobian @ matrix.mT
        divergence = whole.diagonal(dim1=1, dim2=2).sum(1)
        return FieldAt(velocity, divergence, whole.square().sum((1, 2)))

    def estimated(self, t: float | Tensor, x: Tensor, probe: Tensor) -> FieldAt:
        """Return the field at rows (n, d), with e^T J e and |e^T J|^2 for random vectors e (n, d) of unit covariance.

        Both are without bias: the estimate of Hutchinson, "A Stochastic Estimator of the Trace of the Influence
        Matrix" (1989).
        """
        layers, slopes = self._at(t), []
        for weight, bias in layers[:-1]:
            given = torch.addmm(bias, x, weight.mT)
            x = self.squash(given)
            slopes.append(self.slope(given, x))
        matrix, offset = layers[-1]
        velocity = torch.addmm(offset, x, matrix.mT)
        pulled = probe @ matrix
        for (weight, _), slope in zip(
            reversed(layers[:-1]), reversed(slopes), strict=True
        ):
            pulled = (pulled * slope) @ weight
        divergence = torch.linalg.vecdot(pulled, probe)
        return FieldAt(velocity, divergence, pulled.square().sum(1))

    def silence_(self) -> None:
        """Make the field zero, by its last layer."""
        last = self.layers[-1]
        if isinstance(last, ConcatSquash):
            last.silence_()

    def _at(self, t: float | Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return matrix and offset of every layer at a time."""
        return [layer.at(t) for layer in self.layers]  # type: ignore[operator, union-attr]
