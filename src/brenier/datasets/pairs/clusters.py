"""Two separated clusters and the Gaussian that closing the gap between them makes: one of the pairs of `neutral`.

    T(x) = Q t(Q' x),   t_1 = s Phi^{-1} o F,   t_i(y) = e_i y for i > 1

F is the distribution function of two clusters on the line, Phi that of N(0, 1), Q is orthogonal. T is the gradient of a
convex function, since every t_i increases, and its inverse is all but discontinuous where the gap was.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from brenier.datasets.pairs.synthetic import Pair, normal, orthogonal, positive


def clusters_pair(dim: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Pair:
    """Return two separated clusters and the one Gaussian that closing the gap between them makes.

    F is the distribution function of (N(-m, v^2) + N(m, v^2)) / 2 with m = (3 d)^(1/2) / 2 and v = m / 5. That is the
    law of the first coordinate of Q' x; the others are N(0, 1). s = m, and log e_i is uniform on (-ln 2, ln 2)/2. The
    target is Gaussian. The inverse is found by bisection. Beyond 37 v (13 in single precision), where there are no
    samples, t_1 is constant.

    Args:
        dim: d.
        seed: of Q and e; samples have a generator of their own.
        dtype: of samples.

    Raises:
        DataError: for a dim below one.
    """
    generator = torch.Generator().manual_seed(seed)
    basis = orthogonal(positive("dim", dim), generator)
    uniform = torch.rand(dim, generator=generator, dtype=torch.float64) - 0.5
    scale = torch.exp(math.log(2) * uniform)
    m = s = math.sqrt(0.75 * dim)
    v = m / 5
    gaussian = normal(dim, dtype)

    def source(n: int, generator: torch.Generator) -> Tensor:
        y = gaussian(n, generator)
        coin = torch.randint(2, (n,), generator=generator, device=generator.device)
        sign = 2 * coin - 1
        y[:, 0] = m * sign + v * y[:, 0]
        return y @ basis.mT.to(y)

    def forward(x: Tensor) -> Tensor:
        y = x @ basis.to(x)
        first = s * _close_gap(y[..., :1], m, v)
        others = y[..., 1:] * scale[1:].to(y)
        moved = torch.cat([first, others], -1)
        return moved @ basis.mT.to(x)

    def backward(z: Tensor) -> Tensor:
        y = z @ basis.to(z)
        first = _open_gap(y[..., :1] / s, m, v)
        others = y[..., 1:] / scale[1:].to(y)
        moved = torch.cat([first, others], -1)
        return moved @ basis.mT.to(z)

    variance_source = m**2 + v**2 + dim - 1
    variance_target = s**2 + float(scale[1:].square().sum())
    return Pair(
        "clusters", dim, source, forward, backward, variance_source, variance_target
    )


def _close_gap(y: Tensor, m: float, v: float) -> Tensor:
    """Return Phi^{-1}(F(y)), F of the two clusters, from the tail beyond |y|, where no digits cancel."""
    smallest = torch.finfo(y.dtype).tiny
    tail = _mixture_tail(y.abs(), m, v).clamp(min=smallest)
    return -torch.sign(y) * torch.special.ndtri(tail)


def _open_gap(z: Tensor, m: float, v: float) -> Tensor:
    """Return the inverse of `_close_gap` by bisection."""
    tail = _normal_tail(z.abs())
    low, high = torch.zeros_like(z), torch.full_like(z, m + 40 * v)
    for _ in range(64):  # more halvings than float64 has bits
        middle = (low + high) / 2
        above = _mixture_tail(middle, m, v) > tail
        low = torch.where(above, middle, low)
        high = torch.where(above, high, middle)
    return torch.sign(z) * (low + high) / 2


def _mixture_tail(y: Tensor, m: float, v: float) -> Tensor:
    """Return 1 - F(y), F of the two clusters."""
    return (_normal_tail((y + m) / v) + _normal_tail((y - m) / v)) / 2


def _normal_tail(y: Tensor) -> Tensor:
    """Return 1 - Phi(y); `torch.special.ndtr` loses all digits far out."""
    return torch.special.erfc(y / math.sqrt(2)) / 2
