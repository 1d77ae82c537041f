"""Pairs with known optimal maps that no potential of this library contains.

As in `synthetic`, T is the gradient of a convex function, hence optimal from any source to its own image. No other plan
is optimal, even for a source without density: plans lie in the subdifferential of the potential, and since T is
continuous, that is the graph of T. On the right stands what is hard about a pair; Q is orthogonal.

    logsumexp   T(x) = a x + W softmax((W' x + b) / t),   source N(0, I)         soft jumps between ten pieces
    separable   T of `separable_pair`, twice as strong,   source N(0, I)         skewness and tails by direction
    mixture     T(x) = x (1 + c |x|^2 / d),               source a mixture       modes of three widths
    tails       the inverse of such a T,                  source Student's t     tails, of degree five
    clusters    T(x) = Q t(Q' x),                         source two clusters    t_1 closes a gap, its inverse opens one
    manifold    T of `separable`,                         source a surface       no density: two dimensions of d

All scale with d so that the affine map between the moments leaves an error of 5 to 40 % of the target's variance.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from brenier.datasets.pairs.benchmark import Mixture
from brenier.datasets.pairs.clusters import clusters_pair
from brenier.datasets.pairs.synthetic import (
    Map,
    Pair,
    covariance,
    normal,
    orthogonal,
    positive,
    separable_pair,
)
from brenier.errors import DataError


@dataclasses.dataclass(frozen=True)
class NeutralSettings:
    """What makes these pairs hard; the affine map between the moments leaves what the module's docstring says.

    Attributes:
        logsumexp_pieces: of the log-sum-exp.
        mixture_widths: of the mixture's components, each with its mirror image.
        tail_degrees: degrees of freedom of Student's t; its variance needs more than two.
        separable_strength: of separable maps, that of `manifold_pair` included.
    """

    logsumexp_pieces: int = 10
    mixture_widths: tuple[float, ...] = (0.3, 0.6, 1.2)
    tail_degrees: int = 5
    separable_strength: float = 2.0


NEUTRAL_SETTINGS = NeutralSettings()


def logsumexp_pair(dim: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Pair:
    """Return N(0, I) and its image under the gradient of a quadratic plus a log-sum-exp; the inverse is not closed.

        psi(x) = a |x|^2 / 2 + t log sum_k exp((w_k' x + b_k) / t),   T(x) = a x + W softmax((W' x + b) / t)

    with ten directions w_k uniform on the sphere of radius d^(1/2), b_k from N(0, d / 16), a = 1/2, t = d^(1/2) / 4.

    Args:
        dim: d.
        seed: of W and b; samples have a generator of their own.
        dtype: of samples.

    Raises:
        DataError: for a dim below one.
    """
    generator = torch.Generator().manual_seed(seed)
    a = 0.5
    root = math.sqrt(positive("dim", dim))
    t = root / 4
    pieces = NEUTRAL_SETTINGS.logsumexp_pieces
    normals = torch.randn(dim, pieces, generator=generator, dtype=torch.float64)
    directions = root * normals / torch.linalg.vector_norm(normals, dim=0)
    offsets = t * torch.randn(pieces, generator=generator, dtype=torch.float64)

    def weights(x: Tensor) -> Tensor:
        return torch.softmax((x @ directions.to(x) + offsets.to(x)) / t, -1)

    def forward(x: Tensor) -> Tensor:
        return a * x + weights(x) @ directions.mT.to(x)

    # T varies with the directions' span alone, where p = weights gives, by Stein's lemma,
    # tr Cov(T) = a^2 d + 2 a E[sum_k p_k |w_k|^2 - |W p|^2] / t + E |W p|^2 - |W E p|^2.
    span = torch.linalg.qr(directions).Q
    p = weights(normal_points(span.shape[1], seed) @ span.mT)
    second = float((p @ directions.mT).square().sum(1).mean())
    slope = (dim - second) / t
    spread = second - float((directions @ p.mean(0)).square().sum())
    variance = a**2 * dim + 2 * a * slope + spread
    return Pair("logsumexp", dim, normal(dim, dtype), forward, None, dim, variance)


def mixture_pair(
    dim: int, seed: int = 0, bend: float = 1.0, dtype: torch.dtype = torch.float32
) -> Pair:
    """Return a mixture of six Gaussians stretched along its radii by T(x) = x (1 + bend |x|^2 / d).

    The components are three pairs N(c_k, w_k^2 S_k), N(-c_k, w_k^2 S_k) with w = 0.3, 0.6, 1.2, |c_k|^2 = d / 4 and S_k
    drawn as in `gaussian_pair`. By this symmetry means are zero and both variances closed.

    Args:
        dim: d.
        seed: of centres and covariances; samples have a generator of their own.
        bend: of the map.
        dtype: of samples.

    Raises:
        DataError: for a dim below one or a bend that is not positive.
    """
    forward, backward = _cubic_maps(dim, bend)
    generator = torch.Generator().manual_seed(seed)
    widths = NEUTRAL_SETTINGS.mixture_widths
    c = torch.randn(len(widths), dim, generator=generator, dtype=torch.float64)
    c = math.sqrt(dim / 4) * c / torch.linalg.vector_norm(c, dim=1, keepdim=True)
    s = torch.stack([width**2 * covariance(dim, generator) for width in widths])
    centres = torch.cat([c, -c])
    factors = torch.linalg.cholesky(s).repeat(2, 1, 1)
    mixture = Mixture(centres.to(dtype), factors.to(dtype), torch.ones((), dtype=dtype))
    # The cumulants of |x|^2 under N(c, S) are tr S + |c|^2, 2 tr S^2 + 4 c' S c and 8 tr S^3 + 24 c' S^2 c.
    sc = (s @ c[..., None])[..., 0]
    first = s.diagonal(dim1=1, dim2=2).sum(1) + c.square().sum(1)
    second = 2 * s.square().sum((1, 2)) + 4 * (c * sc).sum(1)
    third = 8 * (s @ s * s).sum((1, 2)) + 24 * sc.square().sum(1)
    # Of these follow the moments E|x|^2, E|x|^4 and E|x|^6 within a component, and E|T(x)|^2.
    b = bend / dim
    square = second + first**2
    cube = third + 3 * second * first + first**3
    variance_source = float(first.mean())
    variance_target = float((first + 2 * b * square + b**2 * cube).mean())
    return Pair(
        "mixture",
        dim,
        mixture.sample,
        forward,
        backward,
        variance_source,
        variance_target,
    )


def tails_pair(dim: int, bend: float = 4.0, dtype: torch.dtype = torch.float32) -> Pair:
    """Return Student's t law of degree five, whose coordinates are dependent, and its image with lighter tails.

        T^{-1}(z) = z (1 + bend |z|^2 / d)

    Large radii r become about r^(1/3), so that the map bends inwards and its inverse outwards.

    Args:
        dim: d.
        bend: of the map.
        dtype: of samples.

    Raises:
        DataError: for a dim below one or a bend that is not positive.
    """
    outwards, inwards = _cubic_maps(dim, bend)
    degrees = NEUTRAL_SETTINGS.tail_degrees
    gaussian = normal(dim, dtype)
    denominator = normal(degrees, dtype)

    def source(n: int, generator: torch.Generator) -> Tensor:
        x = gaussian(n, generator)
        e = denominator(n, generator)
        return x / e.square().mean(1, keepdim=True).sqrt()

    # |x|^2 / d has the F law of degrees d and five; the trapezoidal rule in its logarithm is exact to rounding.
    log = torch.linspace(-80, 40, 12001, dtype=torch.float64)
    growth = torch.log1p(dim / degrees * log.exp())
    weight = torch.softmax(dim / 2 * log - (dim + degrees) / 2 * growth, 0)
    radius = (dim * log.exp()).sqrt()
    variance_source = dim * degrees / (degrees - 2)
    variance_target = float(weight @ inwards(radius[:, None]).square()[:, 0])
    return Pair(
        "tails", dim, source, inwards, outwards, variance_source, variance_target
    )


def manifold_pair(dim: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Pair:
    """Return a curved surface in d dimensions, without thickness, and its image under the map of `separable`.

        x = Q (r u_1, r u_2, sin(omega_3' u + phi_3), ..., sin(omega_d' u + phi_d)),   u ~ N(0, I) in two dimensions

    with r = (d / 2)^(1/2), omega_i ~ N(0, I) and phi_i uniform on (0, 2 pi). The map is known everywhere; away from the
    surface the samples say nothing of it.

    Args:
        dim: d.
        seed: of the surface and of the map; samples have a generator of their own.
        dtype: of samples.

    Raises:
        DataError: for a dim below two.
    """
    if dim < 2:
        raise DataError(f"dim: is {dim}; give at least 2, the dimension of the surface")
    moved = separable_pair(
        dim, seed, dtype, strength=NEUTRAL_SETTINGS.separable_strength
    )
    generator = torch.Generator().manual_seed(seed + 1)  # a basis other than the map's
    basis = orthogonal(dim, generator)
    omega = torch.randn(2, dim - 2, generator=generator, dtype=torch.float64)
    phi = 2 * math.pi * torch.rand(dim - 2, generator=generator, dtype=torch.float64)
    plane = normal(2, dtype)

    def surface(u: Tensor) -> Tensor:
        flat = math.sqrt(dim / 2) * u
        curved = torch.sin(u @ omega.to(u) + phi.to(u))
        return torch.cat([flat, curved], -1) @ basis.mT.to(u)

    # The trapezoidal rule on a grid of the plane.
    line = torch.linspace(-9, 9, 121, dtype=torch.float64)
    u = torch.cartesian_prod(line, line)
    weight = torch.softmax(-0.5 * u.square().sum(1), 0)

    def variance(y: Tensor) -> float:
        return float(weight @ (y - weight @ y).square().sum(1))

    x = surface(u)
    return Pair(
        "manifold",
        dim,
        lambda n, generator: surface(plane(n, generator)),
        moved.forward,
        moved.backward,
        variance(x),
        variance(moved.forward(x)),
    )


# By name: d -> Pair, further arguments by keyword.
NEUTRAL: Mapping[str, Callable[..., Pair]] = MappingProxyType(
    {
        "logsumexp": logsumexp_pair,
        "separable": partial(
            separable_pair, strength=NEUTRAL_SETTINGS.separable_strength
        ),
        "mixture": mixture_pair,
        "tails": tails_pair,
        "clusters": clusters_pair,
        "manifold": manifold_pair,
    }
)


def _cubic_maps(dim: int, bend: float) -> tuple[Map, Map]:
    """Return x -> x (1 + bend |x|^2 / d), the gradient of |x|^2 / 2 + bend |x|^4 / (4 d), and its inverse."""
    b = positive("bend", bend) / positive("dim", dim)

    def outwards(x: Tensor) -> Tensor:
        return x * (1 + b * x.square().sum(-1, keepdim=True))

    def inwards(z: Tensor) -> Tensor:
        # The root of r + b r^3 = |z|; b r^2 = 4 sinh^2 / 3 by the formula for a cubic with one real root.
        length = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
        angle = torch.asinh(1.5 * math.sqrt(3 * b) * length) / 3
        return z / (1 + 4 / 3 * torch.sinh(angle).square())

    return outwards, inwards


def normal_points(dim: int, seed: int) -> Tensor:
    """Return scrambled Sobol points of N(0, I): (2^15, d), float64."""
    engine = torch.quasirandom.SobolEngine(dim, scramble=True, seed=seed)
    points = engine.draw(2**15, dtype=torch.float64)
    return torch.special.ndtri(points.clamp(1e-12, 1 - 1e-12))
