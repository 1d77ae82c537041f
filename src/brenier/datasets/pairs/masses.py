"""Pairs whose optimal plan is known where mass may change, and a pair with outliers.

    min over plans pi   int c dpi + rho_s KL(pi_0 | mu) + rho_t KL(pi_1 | nu)

From a convex g, its map T and any law pi_0 follow laws for which the plan (id, T)#pi_0 is optimal, up to a factor:

    mu proportional to pi_0 e^{-g / rho_s},   nu to (T#pi_0) e^{env / rho_t},   env(z) = min over y of h(z - y) + g(y)

pi_0 is N(0, I/d) on the ball |x| <= 1 + 2 (2 d)^(-1/2): there g is bounded below, so that samples of mu are exact and
endless, by rejection. Those of nu are rejected from a mixture of normal laws, since e^{env / rho_t} is below a sum of
exponentials of affine functions. e^{g / rho_s} is then the growth of a source row, and e^{-env / rho_t} how much of a
target row is explained, both up to a factor that depends on the masses of mu and nu.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from brenier.datasets.pairs.costs import CostPair, convex_map, unit_normal
from brenier.datasets.pairs.neutral import normal_points
from brenier.datasets.pairs.pieces import ConvexPieces, PotentialMap
from brenier.datasets.pairs.rejection import Rejection
from brenier.datasets.pairs.synthetic import (
    Map,
    TensorSampler,
    normal,
    orthogonal,
    positive,
    separable_pair,
)
from brenier.errors import DataError
from brenier.transport.costs import Cost, SquaredEuclidean


@dataclasses.dataclass(frozen=True)
class MassPairSettings:
    """What these pairs look like.

    Attributes:
        deviations: of |x| under N(0, I/d), about (2 d)^(-1/2) each, beyond one where pi_0 ends: the further out, the
            fewer rows are accepted.
        outlier_deviation: standard deviation of the coordinates of outliers about their centre.
    """

    deviations: float = 2.0
    outlier_deviation: float = 0.5


MASS_PAIR_SETTINGS = MassPairSettings()

# (n, generator) -> x and T(x), both (n, d).
Matched = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


@dataclasses.dataclass(frozen=True)
class UnbalancedPair(CostPair):
    """Two laws, and the map and the densities of their optimal plan where mass may change.

    The target is not the image of the source: only the plan's marginals are image of each other.

    Attributes:
        rho_source, rho_target: prices of changes of mass, infinity for an exact side.
        growth: x (n, d) -> (n,), how much of a source row is transported, up to a factor.
        explained: z (n, d) -> (n,), how much of a target row is explained, up to a factor.
        matched: samples z of the target, and where they come from.
    """

    rho_source: float
    rho_target: float
    growth: Map
    explained: Map
    matched: Matched

    def target(self, n: int, generator: torch.Generator) -> Tensor:
        """Return samples of the target: (n, d)."""
        return self.matched(n, generator)[1]

    def target_with_preimage(
        self, n: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return samples z of the target, and the x with T(x) = z: (n, d), (n, d)."""
        x, z = self.matched(n, generator)
        return z, x


@dataclasses.dataclass(frozen=True)
class OutlierPair(CostPair):
    """A pair with rows in its target that come from nowhere; map and variances are those without them.

    Attributes:
        share: of outliers among the rows of the target.
        outliers: samples of them.
    """

    share: float
    outliers: TensorSampler

    def target(self, n: int, generator: torch.Generator) -> Tensor:
        """Return samples of the target, outliers among them: (n, d)."""
        clean = super().target(n, generator)
        coin = torch.rand(n, 1, generator=generator, device=generator.device)
        return torch.where(coin < self.share, self.outliers(n, generator), clean)


def unbalanced_pair(
    cost: Cost,
    rho_source: float,
    rho_target: float,
    dim: int,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> UnbalancedPair:
    """Return the laws between which the map of `convex_cost_pair` is optimal where mass may change, as told above.

    Args:
        cost: h.
        rho_source, rho_target: above zero, infinity for a side that is exact.
        dim: d.
        seed: of g; samples have a generator of their own.
        dtype: of samples.

    Raises:
        DataError: for a dim below one, or a rho that is not positive or so small that hardly a sample is accepted.
    """
    positive("rho_source", rho_source)
    positive("rho_target", rho_target)
    moved = convex_map(cost, dim, seed)
    pieces = moved.pieces
    radius = 1 + MASS_PAIR_SETTINGS.deviations / math.sqrt(2 * dim)
    low = pieces.lowest_within(radius)
    source = Rejection(
        "rho_source",
        unit_normal(dim, dtype),
        radius,
        lambda x: (low - pieces.value(x)) / rho_source,
    )
    target = _target_law(moved, rho_target, radius, dtype)
    source.check()
    target.check()

    def matched(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = target.sample(n, generator)
        return x, moved.forward(x)

    points = normal_points(dim, seed) / math.sqrt(dim)
    points = points[torch.linalg.vector_norm(points, dim=-1) <= radius]
    images = moved.forward(points)
    return UnbalancedPair(
        "unbalanced",
        dim,
        source.sample,
        moved.forward,
        moved.backward,
        weighted_variance(points, -pieces.value(points) / rho_source),
        weighted_variance(images, moved.envelope_at(points, images) / rho_target),
        cost,
        rho_source,
        rho_target,
        lambda x: (pieces.value(x) / rho_source).exp(),
        lambda z: (-moved.envelope(z) / rho_target).exp(),
        matched,
    )


def outlier_pair(
    share: float = 0.05,
    distance: float = 10.0,
    dim: int = 2,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> OutlierPair:
    """Return `separable_pair` with outliers among the rows of its target: a cluster in a random direction.

    Args:
        share: of outliers, from 0 to below 1.
        distance: of their centre from zero; both laws have standard deviations of about one.
        dim: d.
        seed: of the pair and of the direction; samples have a generator of their own.
        dtype: of samples.

    Raises:
        DataError: for a dim below one, a share outside of its range or a distance that is not positive.
    """
    if not 0 <= share < 1:
        raise DataError(f"share: is {share}; give a number from 0 to below 1")
    clean = separable_pair(dim, seed, dtype)
    generator = torch.Generator().manual_seed(seed + 1)  # not that of the map
    centre = positive("distance", distance) * orthogonal(dim, generator)[0]
    standard = normal(dim, dtype)

    def outliers(n: int, generator: torch.Generator) -> Tensor:
        e = standard(n, generator)
        return centre.to(e) + MASS_PAIR_SETTINGS.outlier_deviation * e

    parts = {each.name: getattr(clean, each.name) for each in dataclasses.fields(clean)}
    named = parts | {"name": "outliers"}
    return OutlierPair(**named, cost=SquaredEuclidean(), share=share, outliers=outliers)


def _target_law(
    moved: PotentialMap, rho: float, radius: float, dtype: torch.dtype
) -> Rejection:
    """Return the law of the x whose image T(x) has the law nu."""
    pieces, cost = moved.pieces, moved.cost
    # h(grad h*(s)) is convex in s for every cost of the library, hence largest at one of the slopes.
    longest = cost.conjugate_gradient(pieces.slopes.mT)
    dearest = float(cost.value(longest).max())
    # (sum of u_k)^s is at most the sum of u_k^s for s = t / rho <= 1, else K^(s - 1) times that.
    power = pieces.temperature / rho
    excess = max(0.0, power - 1) * math.log(len(longest))

    def log_share(x: Tensor) -> Tensor:
        log_density = moved.envelope_at(x, moved.forward(x)) / rho
        bound = dearest / rho + excess + (power * pieces.scores(x)).logsumexp(-1)
        return log_density - bound

    return Rejection("rho_target", _tilted(pieces, rho, dtype), radius, log_share)


def _tilted(pieces: ConvexPieces, rho: float, dtype: torch.dtype) -> TensorSampler:
    """Return a sampler of N(0, I/d) times sum_k exp((w_k' x + b_k) / rho), up to a factor: shifted normal laws."""
    dim = len(pieces.slopes)
    shifts = pieces.slopes.mT / (rho * dim)
    logs = pieces.offsets / rho + dim / 2 * shifts.square().sum(1)
    weights = torch.softmax(logs, 0)
    centred = unit_normal(dim, dtype)

    def sample(n: int, generator: torch.Generator) -> Tensor:
        device = generator.device
        uniform = torch.rand(n, generator=generator, device=device, dtype=dtype)
        ends = weights.cumsum(0)[:-1].to(uniform)
        return (
            centred(n, generator) + shifts.to(uniform)[torch.bucketize(uniform, ends)]
        )

    return sample


def weighted_variance(images: Tensor, log_weights: Tensor) -> float:
    """Return the trace of the covariance of images (n, d) with weights (n,) up to a factor."""
    weight = torch.softmax(log_weights, 0)
    return float(weight @ (images - weight @ images).square().sum(1))
