"""A penalty that keeps psi convex where the data lie, for potentials that are not convex by construction.

A free potential can grow barriers between far parts of the data, where J sees nothing: then an inner problem has
several minima, a solve may end in the wrong one, env is overestimated, J is too small, and training, which makes J
small, builds the barrier higher. For a convex psi, and so for the true one,

    psi((1 - t) a + t b) <= (1 - t) psi(a) + t psi(b),

and the mean of what exceeds it on segments between points of both sides, added to J, has the same minimum as J.
"""

from __future__ import annotations

import torch
from torch import Tensor

from brenier.potentials import Potential


def convexity_penalty(
    potential: Potential, points: Tensor, values: Tensor, generator: torch.Generator
) -> Tensor:
    """Return the mean of (psi((1-t) a + t b) - (1-t) psi(a) - t psi(b))^+ on n/2 random segments.

    Args:
        potential: g, with psi(y) = |y|^2/2 + g(y).
        points: (n, d), among which the ends a and b are drawn.
        values: (n,), g at the points.
        generator: source of the pairs and of t, uniform between 1/4 and 3/4.

    Returns:
        A scalar, differentiable in the parameters; only segments that exceed are differentiated.
    """
    n = max(1, len(points) // 2)
    pairs = torch.randint(len(points), (2, n), generator=generator)
    i, j = pairs.to(points.device, non_blocking=True)
    t = 0.25 + 0.5 * torch.rand(n, generator=generator, dtype=points.dtype)
    t = t.to(points.device, non_blocking=True)
    a, b = points[i], points[j]
    with torch.no_grad():
        at_a, at_b = values[i], values[j]
        if potential.transport_dim < potential.dim:  # a segment has one condition
            d = potential.transport_dim
            b = torch.cat([b[:, :d], a[:, d:]], -1)
            at_b = potential(b)
        chord = torch.lerp(at_a + _half_square(a), at_b + _half_square(b), t)
        inside = torch.lerp(a, b, t.unsqueeze(-1))
        excess = _above(potential, inside, chord)
    exceeding = (excess > 0).nonzero().squeeze(-1)
    if not len(exceeding):
        return values.new_zeros(())
    t = t[exceeding]
    ends = torch.stack([a[exceeding], b[exceeding]])
    level = potential(ends.flatten(0, 1)).view(2, -1) + _half_square(ends)
    chord = torch.lerp(level[0], level[1], t)
    inside = torch.lerp(ends[0], ends[1], t.unsqueeze(-1))
    return _above(potential, inside, chord).clamp(min=0).sum() / n


def _above(potential: Potential, inside: Tensor, chord: Tensor) -> Tensor:
    """Return how far psi is above its chords: (n,)."""
    return potential(inside) + _half_square(inside) - chord


def _half_square(points: Tensor) -> Tensor:
    return 0.5 * torch.linalg.vecdot(points, points)
