"""Pairs of laws whose optimal map is known: the gradient of a convex function, given in closed form both ways.

By Brenier's theorem a map T = grad psi, psi convex, is optimal between any source law and its own image under T. So a
pair is a source that can be sampled and such a T; its target is sampled through T.

    translation   T(x) = x + c
    scaling       T(x) = c x,                                  c > 0
    gaussian      T(x) = Gamma x,                              Gamma symmetric positive definite
    radial        T(x) = x (1 + b |x|^2 / d)^(1/2),            b > 0
    separable     T(x) = Q t(Q' x),  t_i(y) = sinh(a_i asinh(y) + b_i),   Q orthogonal, a_i > 0

The last is the sinh-arcsinh transformation ("Sinh-arcsinh distributions", Jones and Pewsey, 2009): a_i sets the weight
of the tails and b_i the skewness of a coordinate.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from brenier.errors import DataError
from brenier.statistics import Gaussian, gaussian_map, matrix_power

# (n, generator) -> (n, d), on the device of the generator.
TensorSampler = Callable[[int, torch.Generator], Tensor]
Map = Callable[[Tensor], Tensor]
Number = TypeVar("Number", int, float)


@dataclasses.dataclass(frozen=True)
class Pair:
    """A source, the optimal map to a target, and what is known of both.

    Attributes:
        name: what the pair is called in tables.
        dim: d.
        source: (n, generator) -> (n, d), independent samples on the generator's device.
        forward: T, (n, d) -> (n, d), in the precision and on the device of its argument.
        backward: T^{-1}, or None where it has no closed form; `target_with_preimage` serves then.
        variance_source: trace of the covariance of the source.
        variance_target: trace of the covariance of the target.
    """

    name: str
    dim: int
    source: TensorSampler
    forward: Map
    backward: Map | None
    variance_source: float
    variance_target: float

    def target(self, n: int, generator: torch.Generator) -> Tensor:
        """Return samples of the target: (n, d)."""
        return self.forward(self.source(n, generator))

    def target_with_preimage(
        self, n: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return samples z = T(x) of the target, and the x they come from: (n, d), (n, d)."""
        x = self.source(n, generator)
        return self.forward(x), x


def translation_pair(
    dim: int, distance: float = 3.0, dtype: torch.dtype = torch.float32
) -> Pair:
    """Return N(0, I) moved by `distance` along (1, ..., 1); W2 is that distance.

    Raises:
        DataError: for a dim below one.
    """
    shift = distance / math.sqrt(positive("dim", dim))
    return Pair(
        "translation",
        dim,
        normal(dim, dtype),
        lambda x: x + shift,
        lambda z: z - shift,
        dim,
        dim,
    )


def scaling_pair(
    dim: int, factor: float = 2.0, dtype: torch.dtype = torch.float32
) -> Pair:
    """Return N(0, I) and N(0, factor^2 I).

    Raises:
        DataError: for a dim below one or a factor that is not positive.
    """
    positive("dim", dim)
    positive("factor", factor)
    source = normal(dim, dtype)
    return Pair(
        "scaling",
        dim,
        source,
        lambda x: factor * x,
        lambda z: z / factor,
        dim,
        factor**2 * dim,
    )


def gaussian_pair(dim: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Pair:
    """Return two centred Gaussians with random covariances S0 and S1.

        S = Q diag(e) Q',   Q from the QR decomposition of a Gaussian matrix,   log e_i uniform on (-ln 2, ln 2)
        Gamma = S0^{-1/2} (S0^{1/2} S1 S0^{1/2})^{1/2} S0^{-1/2}

    Covariances and maps are computed in float64.

    Args:
        dim: d.
        seed: of the two covariances; samples have a generator of their own.
        dtype: of samples.

    Raises:
        DataError: for a dim below one.
    """
    generator = torch.Generator().manual_seed(seed)
    zero = torch.zeros(positive("dim", dim), dtype=torch.float64)
    first = Gaussian(zero, covariance(dim, generator))
    second = Gaussian(zero, covariance(dim, generator))
    root = matrix_power(first.covariance, 0.5)
    return Pair(
        "gaussian",
        dim,
        normal(dim, dtype, root),
        _linear(gaussian_map(first, second)),
        _linear(gaussian_map(second, first)),
        float(first.covariance.trace()),
        float(second.covariance.trace()),
    )


def radial_pair(
    dim: int = 2, bend: float = 1.0, dtype: torch.dtype = torch.float32
) -> Pair:
    """Return N(0, I) stretched along its radii by T(x) = x (1 + bend |x|^2 / d)^(1/2).

    With v = |T(x)|^2, |x|^2 = 2 v / (1 + (1 + 4 bend v / d)^(1/2)). The target's variance is d + bend (d + 2).

    Raises:
        DataError: for a dim below one or a bend that is not positive.
    """
    b = positive("bend", bend) / positive("dim", dim)

    def forward(x: Tensor) -> Tensor:
        return x * (1 + b * x.square().sum(-1, keepdim=True)).sqrt()

    def backward(z: Tensor) -> Tensor:
        v = z.square().sum(-1, keepdim=True)
        return z * (2 / (1 + (1 + 4 * b * v).sqrt())).sqrt()

    return Pair(
        "radial",
        dim,
        normal(dim, dtype),
        forward,
        backward,
        dim,
        dim + bend * (dim + 2),
    )


def separable_pair(
    dim: int,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    *,
    strength: float = 1.0,
) -> Pair:
    """Return N(0, I) and its image under a rotated coordinatewise map, skewed and with light or heavy tails.

        T(x) = Q t(Q' x),   t_i(y) = sinh(a_i asinh(y) + b_i)

    with log a_i uniform on (-ln 2, ln 2)/2 and b_i on (-1/2, 1/2), both times `strength`.

    Args:
        dim: d.
        seed: of Q, a and b; samples have a generator of their own.
        dtype: of samples.
        strength: how far the map is from the identity.

    Raises:
        DataError: for a dim below one or a strength that is not positive.
    """
    generator = torch.Generator().manual_seed(seed)
    basis = orthogonal(positive("dim", dim), generator)
    uniform = torch.rand(2, dim, generator=generator, dtype=torch.float64) - 0.5
    log_a, b = positive("strength", strength) * uniform
    a = torch.exp(math.log(2) * log_a)

    def forward(x: Tensor) -> Tensor:
        y = torch.asinh(x @ basis.to(x))
        moved = torch.sinh(a.to(x) * y + b.to(x))
        return moved @ basis.mT.to(x)

    def backward(z: Tensor) -> Tensor:
        y = torch.asinh(z @ basis.to(z))
        moved = torch.sinh((y - b.to(z)) / a.to(z))
        return moved @ basis.mT.to(z)

    return Pair(
        "separable",
        dim,
        normal(dim, dtype),
        forward,
        backward,
        dim,
        sinh_arcsinh_variance(a, b),
    )


def sinh_arcsinh_variance(a: Tensor, b: Tensor) -> float:
    """Return the sum of Var t_i(y), y ~ N(0, 1), by the trapezoidal rule, here exact to rounding."""
    y = torch.linspace(-14, 14, 2801, dtype=torch.float64)
    weight = torch.softmax(-0.5 * y.square(), 0)
    t = torch.sinh(a[:, None] * torch.asinh(y) + b[:, None])
    return float((t.square() @ weight - (t @ weight).square()).sum())


def covariance(dim: int, generator: torch.Generator) -> Tensor:
    """Return Q diag(e) Q', log e_i uniform on (-ln 2, ln 2): (d, d), float64."""
    basis = orthogonal(dim, generator)
    uniform = 2 * torch.rand(dim, generator=generator, dtype=torch.float64) - 1
    eigenvalues = (math.log(2) * uniform).exp()
    return (basis * eigenvalues) @ basis.mT


def orthogonal(dim: int, generator: torch.Generator) -> Tensor:
    """Return Q of the QR decomposition of a Gaussian matrix: (d, d), float64."""
    entries = torch.randn(dim, dim, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(entries).Q


def normal(dim: int, dtype: torch.dtype, root: Tensor | None = None) -> TensorSampler:
    """Return a sampler of N(0, root^2), root symmetric, or of N(0, I)."""

    def source(n: int, generator: torch.Generator) -> Tensor:
        e = torch.randn(
            n, dim, generator=generator, device=generator.device, dtype=dtype
        )
        return e if root is None else e @ root.to(e)

    return source


def _linear(matrix: Tensor) -> Map:
    """Return x -> matrix x, row by row, for a symmetric matrix."""
    return lambda x: x @ matrix.to(x)


def positive(name: str, value: Number) -> Number:
    """Return value, or raise a DataError that names it."""
    if not value > 0:
        raise DataError(f"{name}: is {value}; give a positive number")
    return value
