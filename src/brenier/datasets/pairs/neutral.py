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

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from brenier.datasets.pairs.benchmark import Mixture
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

PIECES = 10  # of the log-sum-exp
WIDTHS = (0.3, 0.6, 1.2)  # of the mixture's components, each with its mirror image
DEGREE = 5  # of Student's t
STRENGTH = 2.0  # of separable maps


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
    root, a = math.sqrt(positive("dim", dim)), 0.5
    t = root / 4
    directions = torch.randn(dim, PIECES, generator=generator, dtype=torch.float64)
    directions = root * directions / torch.linalg.vector_norm(directions, dim=0)
    offsets = t * torch.randn(PIECES, generator=generator, dtype=torch.float64)

    def weights(x: Tensor) -> Tensor:
        return torch.softmax((x @ directions.to(x) + offsets.to(x)) / t, -1)

    def forward(x: Tensor) -> Tensor:
        return a * x + weights(x) @ directions.mT.to(x)

    # T varies with the directions' span alone, where p = weights gives, by Stein's lemma,
    # tr Cov(T) = a^2 d + 2 a E[sum_k p_k |w_k|^2 - |W p|^2] / t + E |W p|^2 - |W E p|^2.
    span = torch.linalg.qr(directions).Q
    p = weights(_normal_points(span.shape[1], seed) @ span.mT)
    mean, second = p.mean(0), float((p @ directions.mT).square().sum(1).mean())
    slope = (dim - second) / t
    spread = second - float((directions @ mean).square().sum())
    return Pair(
        "logsumexp",
        dim,
        normal(dim, dtype),
        forward,
        None,
        dim,
        a**2 * dim + 2 * a * slope + spread,
    )


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
    c = torch.randn(len(WIDTHS), dim, generator=generator, dtype=torch.float64)
    c = math.sqrt(dim / 4) * c / torch.linalg.vector_norm(c, dim=1, keepdim=True)
    s = torch.stack([width**2 * covariance(dim, generator) for width in WIDTHS])
    centres, factors = torch.cat([c, -c]), torch.linalg.cholesky(s).repeat(2, 1, 1)
    mixture = Mixture(centres.to(dtype), factors.to(dtype), torch.ones((), dtype=dtype))
    # The cumulants of |x|^2 under N(c, S) are tr S + |c|^2, 2 tr S^2 + 4 c' S c and 8 tr S^3 + 24 c' S^2 c.
    sc = (s @ c[..., None])[..., 0]
    first = s.diagonal(dim1=1, dim2=2).sum(1) + c.square().sum(1)
    second = 2 * s.square().sum((1, 2)) + 4 * (c * sc).sum(1)
    third = 8 * (s @ s * s).sum((1, 2)) + 24 * sc.square().sum(1)
    b, square, cube = (
        bend / dim,
        second + first**2,
        third + 3 * second * first + first**3,
    )
    variances = [
        float(part.mean()) for part in (first, first + 2 * b * square + b**2 * cube)
    ]
    return Pair("mixture", dim, mixture.sample, forward, backward, *variances)


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
    gaussian = normal(dim, dtype)

    def source(n: int, generator: torch.Generator) -> Tensor:
        x = gaussian(n, generator)
        e = torch.randn(
            n, DEGREE, generator=generator, device=generator.device, dtype=dtype
        )
        return x / e.square().mean(1, keepdim=True).sqrt()

    # |x|^2 / d has the F law of degrees d and five; the trapezoidal rule in its logarithm is exact to rounding.
    log = torch.linspace(-80, 40, 12001, dtype=torch.float64)
    weight = torch.softmax(
        dim / 2 * log - (dim + DEGREE) / 2 * torch.log1p(dim / DEGREE * log.exp()), 0
    )
    radius = (dim * log.exp()).sqrt()
    variance = float(weight @ inwards(radius[:, None]).square()[:, 0])
    return Pair(
        "tails", dim, source, inwards, outwards, dim * DEGREE / (DEGREE - 2), variance
    )


def clusters_pair(dim: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Pair:
    """Return two separated clusters and the one Gaussian that closing the gap between them makes.

        T(x) = Q t(Q' x),   t_1 = s Phi^{-1} o F,   t_i(y) = e_i y for i > 1

    F is the distribution function of (N(-m, v^2) + N(m, v^2)) / 2 with m = (3 d)^(1/2) / 2 and v = m / 5. That is the
    law of the first coordinate of Q' x; the others are N(0, 1). s = m, and log e_i is uniform on (-ln 2, ln 2)/2. The
    target is Gaussian. The inverse, found by bisection, is all but discontinuous where the gap was. Beyond 37 v (13 in
    single precision), where there are no samples, t_1 is constant.

    Args:
        dim: d.
        seed: of Q and e; samples have a generator of their own.
        dtype: of samples.

    Raises:
        DataError: for a dim below one.
    """
    generator = torch.Generator().manual_seed(seed)
    basis = orthogonal(positive("dim", dim), generator)
    scale = torch.exp(
        math.log(2) * (torch.rand(dim, generator=generator, dtype=torch.float64) - 0.5)
    )
    m = s = math.sqrt(0.75 * dim)
    v = m / 5
    gaussian = normal(dim, dtype)

    def source(n: int, generator: torch.Generator) -> Tensor:
        y = gaussian(n, generator)
        sign = (
            2 * torch.randint(2, (n,), generator=generator, device=generator.device) - 1
        )
        y[:, 0] = m * sign + v * y[:, 0]
        return y @ basis.mT.to(y)

    def forward(x: Tensor) -> Tensor:
        y = x @ basis.to(x)
        first = s * _join(y[..., :1], m, v)
        return torch.cat([first, y[..., 1:] * scale[1:].to(y)], -1) @ basis.mT.to(x)

    def backward(z: Tensor) -> Tensor:
        y = z @ basis.to(z)
        first = _tear(y[..., :1] / s, m, v)
        return torch.cat([first, y[..., 1:] / scale[1:].to(y)], -1) @ basis.mT.to(z)

    others = float(scale[1:].square().sum())
    return Pair(
        "clusters", dim, source, forward, backward, m**2 + v**2 + dim - 1, s**2 + others
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
    moved = separable_pair(dim, seed, dtype, strength=STRENGTH)
    generator = torch.Generator().manual_seed(seed + 1)  # a basis other than the map's
    basis = orthogonal(dim, generator)
    omega = torch.randn(2, dim - 2, generator=generator, dtype=torch.float64)
    phi = 2 * math.pi * torch.rand(dim - 2, generator=generator, dtype=torch.float64)
    plane = normal(2, dtype)

    def surface(u: Tensor) -> Tensor:
        parts = [math.sqrt(dim / 2) * u, torch.sin(u @ omega.to(u) + phi.to(u))]
        return torch.cat(parts, -1) @ basis.mT.to(u)

    # The trapezoidal rule on a grid of the plane.
    line = torch.linspace(-9, 9, 121, dtype=torch.float64)
    u = torch.cartesian_prod(line, line)
    weight, x = torch.softmax(-0.5 * u.square().sum(1), 0), surface(u)
    variances = [
        float(weight @ (y - weight @ y).square().sum(1)) for y in (x, moved.forward(x))
    ]
    return Pair(
        "manifold",
        dim,
        lambda n, g: surface(plane(n, g)),
        moved.forward,
        moved.backward,
        *variances,
    )


# By name: d -> Pair, further arguments by keyword.
NEUTRAL: Mapping[str, Callable[..., Pair]] = MappingProxyType(
    {
        "logsumexp": logsumexp_pair,
        "separable": partial(separable_pair, strength=STRENGTH),
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
        angle = (
            torch.asinh(
                1.5
                * math.sqrt(3 * b)
                * torch.linalg.vector_norm(z, dim=-1, keepdim=True)
            )
            / 3
        )
        return z / (1 + 4 / 3 * torch.sinh(angle).square())

    return outwards, inwards


def _join(y: Tensor, m: float, v: float) -> Tensor:
    """Return Phi^{-1}(F(y)), F of the two clusters, from the tail beyond |y|, where no digits cancel."""
    tail = _tail(y.abs(), m, v).clamp(min=torch.finfo(y.dtype).tiny)
    return -torch.sign(y) * torch.special.ndtri(tail)


def _tear(z: Tensor, m: float, v: float) -> Tensor:
    """Return the inverse of `_join` by bisection."""
    tail = _beyond(z.abs())
    low, high = torch.zeros_like(z), torch.full_like(z, m + 40 * v)
    for _ in range(64):
        middle = (low + high) / 2
        above = _tail(middle, m, v) > tail
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return torch.sign(z) * (low + high) / 2


def _tail(y: Tensor, m: float, v: float) -> Tensor:
    """Return 1 - F(y), F of the two clusters."""
    return (_beyond((y + m) / v) + _beyond((y - m) / v)) / 2


def _beyond(y: Tensor) -> Tensor:
    """Return 1 - Phi(y); `torch.special.ndtr` loses all digits far out."""
    return torch.special.erfc(y / math.sqrt(2)) / 2


def _normal_points(dim: int, seed: int) -> Tensor:
    """Return scrambled Sobol points of N(0, I): (2^15, d), float64."""
    points = torch.quasirandom.SobolEngine(dim, scramble=True, seed=seed).draw(
        2**15, dtype=torch.float64
    )
    return torch.special.ndtri(points.clamp(1e-12, 1 - 1e-12))
