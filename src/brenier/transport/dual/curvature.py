"""A penalty that keeps psi convex around every row, for potentials that are not convex by construction.

T = grad psi is injective where psi is strongly convex. In high dimensions psi loses that in a few directions of very
many: random chords between far rows, as in `convexity`, see the mean curvature along them and hardly ever the least.
J sees it little: it only grows by how far psi is above its convex hull. So, for some rows of the source, the least
eigenvalue of Hess psi and its direction v are found, by Lanczos' method on differences of the gradient, and

    c(x) = (psi(x + h v) - 2 psi(x) + psi(x - h v)) / h^2

is held above a small bound: the mean of (bound - c)^+ is added to J. v is held fixed: the derivative of a least
eigenvalue is that of v' H v.

Rows of the target need none: where their inner problems end, Hess psi has no negative eigenvalue.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor
from torch.nn import functional

from brenier.potentials import Potential


@dataclasses.dataclass(frozen=True)
class Probe:
    """How the least curvature is found and held; lengths are in coordinates where the average feature has variance one.

    Attributes:
        products: of the Hessian and a vector, per row. With 12 the value found is .003 above the least eigenvalue in
            the median (d = 32); with 6 it is .06 above, and of a residual network's negative ones a quarter was seen.
        step: of the differences of the gradient: small against what psi bends over, large against rounding.
        reach: h, over which curvature is held: short beside what psi bends over, long enough for rounding. Free
            networks bend over less than .5: held over that, a row of six kept a negative eigenvalue (benchmark, d =
            64).
        least: the bound. The least true curvatures are .09 to .14 on the benchmark's pairs (d = 16 to 128), .12 on
            log-sum-exp (d = 128) and .26 and more on the other neutral pairs.
    """

    products: int = 12
    step: float = 0.1
    reach: float = 0.2
    least: float = 0.05


def curvature_penalty(
    potential: Potential,
    points: Tensor,
    generator: torch.Generator,
    probe: Probe | None = None,
) -> Tensor:
    """Return the mean of (least - c)^+ over points (n, d), c as in the module's docstring.

    Args:
        potential: g, with psi(y) = |y|^2/2 + g(y).
        points: (n, d).
        generator: source of the directions that the search begins with.
        probe: how it is found and held.

    Returns:
        A scalar, differentiable in the parameters; only points that fall short are differentiated.
    """
    probe = probe or Probe()
    values, directions = least_curvature(potential, points, generator, probe)
    short = (values < probe.least).nonzero().squeeze(-1)
    if not len(short):
        return points.new_zeros(())
    x, step = points[short], probe.reach * directions[short]
    above, below, at = potential(torch.cat([x + step, x - step, x])).view(3, -1)
    curvature = 1 + (above + below - 2 * at) / probe.reach**2
    return (probe.least - curvature).clamp(min=0).sum() / len(points)


@torch.no_grad()
def least_curvature(
    potential: Potential,
    points: Tensor,
    generator: torch.Generator,
    probe: Probe | None = None,
) -> tuple[Tensor, Tensor]:
    """Return upper bounds on the least eigenvalue of Hess psi at points (n, d), and the directions of that curvature.

    Lanczos' method, every vector orthogonalised against all before it: with d products the bound is the eigenvalue. Of
    conditioned points only the coordinates are looked at that transport may change.

    Args:
        potential: g.
        points: (n, d).
        generator: source of the first directions.
        probe: how many products, and of what differences.

    Returns:
        The bounds (n,), and unit vectors (n, d).
    """
    probe = probe or Probe()
    d, fixed = potential.transport_dim, potential.dim - potential.transport_dim
    first = torch.randn(len(points), d, generator=generator, dtype=points.dtype)
    first = first.to(points.device, non_blocking=True)
    vectors = [functional.normalize(first, dim=-1)]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    for _ in range(min(probe.products, d)):
        v = vectors[-1]
        product = _product(potential, points, functional.pad(v, (0, fixed)), probe.step)
        rest = product[:, :d]
        along = torch.linalg.vecdot(rest, v)
        # Along a vector of zeros the curvature is to be no minimum.
        diagonal.append(
            torch.where(v.any(-1), along, diagonal[0] if diagonal else along)
        )
        for vector in vectors:
            along = torch.linalg.vecdot(rest, vector)
            rest = torch.addcmul(rest, along.unsqueeze(-1), vector, value=-1)
        length = torch.linalg.vector_norm(rest, dim=-1)
        beside.append(length)
        # What rounding leaves where the vectors span all that products reach is no direction.
        whole = torch.linalg.vector_norm(product, dim=-1)
        some = length > math.sqrt(torch.finfo(rest.dtype).eps) * whole
        new = torch.where(some, 1 / length, 0.0).unsqueeze(-1) * rest
        vectors.append(new)
    offs = (
        torch.stack(beside[:-1], -1) if beside[1:] else first.new_zeros(len(first), 0)
    )
    small = torch.diag_embed(torch.stack(diagonal, -1))
    small = small + torch.diag_embed(offs.to(small), 1)
    usable = small.isfinite().all(-1).all(-1)[:, None, None]
    small = torch.where(usable, small, torch.eye(small.shape[-1]).to(small))
    values, mixtures = torch.linalg.eigh(small, UPLO="U")
    basis = torch.stack(vectors[:-1], -1)
    directions = (basis @ mixtures[:, :, :1]).squeeze(-1)
    return values[:, 0], functional.pad(directions, (0, fixed))


def _product(potential: Potential, x: Tensor, v: Tensor, step: float) -> Tensor:
    """Return Hess psi(x) v by a central difference: (n, d)."""
    ends = torch.cat([x + step * v, x - step * v])
    above, below = potential.value_and_gradient(ends)[1].chunk(2)
    return v + (above - below) / (2 * step)
