"""Pairs whose optimal plan is known where mass may change, and a pair with outliers.

    min over plans pi   int c dpi + rho_s KL(pi_0 | mu) + rho_t KL(pi_1 | nu)

From a convex g, its map T and any law pi_0 follow laws for which the plan (id, T)#pi_0 is optimal, up to a factor:

    mu proportional to pi_0 e^{-g / rho_s},   nu to (T#pi_0) e^{env / rho_t},   env(z) = min over y of h(z - y) + g(y)

pi_0 is N(0, I/d) on the ball |x| <= 1 + 2 (2 d)^(-1/2): there g and env are bounded, so that samples of mu and nu are
exact and endless, by rejection. e^{g / rho_s} is then the growth of a source row, e^{-env / rho_t} how much of a target
row is explained, both up to a factor that depends on the masses of mu and nu.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from brenier.datasets.pairs.costs import CostPair, convex_map, unit_normal
from brenier.datasets.pairs.neutral import normal_points
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
        deviations: of |x| under N(0, I/d), about (2 d)^(-1/2) each, beyond one where pi_0 ends: within, densities are
            bounded, and the further out, the fewer rows are accepted.
        surplus: rows proposed over rows wanted and the share accepted so far.
        least_share: of proposed rows that must be accepted; with less, rho is too small for the pair.
        outlier_deviation: standard deviation of the coordinates of outliers about their centre.
    """

    deviations: float = 2.0
    surplus: float = 1.2
    least_share: float = 1e-4
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
    radius = 1 + MASS_PAIR_SETTINGS.deviations / math.sqrt(2 * dim)
    low, high = moved.pieces.range_within(radius)
    # h(grad h*(s)) is convex in s for every cost of the library, hence largest at one of the slopes.
    longest = cost.conjugate_gradient(moved.pieces.slopes.mT)
    dearest = high + float(cost.value(longest).max())

    def log_source(x: Tensor) -> Tensor:
        return (low - moved.pieces.value(x)) / rho_source

    def log_target(x: Tensor) -> Tensor:
        return (moved.envelope_at(x, moved.forward(x)) - dearest) / rho_target

    source = Rejection("rho_source", dim, dtype, radius, log_source)
    target = Rejection("rho_target", dim, dtype, radius, log_target)

    def matched(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = target.sample(n, generator)
        return x, moved.forward(x)

    points = normal_points(dim, seed) / math.sqrt(dim)
    return UnbalancedPair(
        "unbalanced",
        dim,
        source.sample,
        moved.forward,
        moved.backward,
        source.checked_variance(points, points),
        target.checked_variance(points, moved.forward(points)),
        cost,
        rho_source,
        rho_target,
        lambda x: (moved.pieces.value(x) / rho_source).exp(),
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


@dataclasses.dataclass(frozen=True)
class Rejection:
    """A law with a density to N(0, I/d) on a ball, sampled by rejection.

    Attributes:
        name: of the parameter that sets how many rows are accepted.
        dim: d.
        dtype: of samples.
        radius: of the ball.
        log_share: (n, d) -> (n,), logarithm of the probability to accept a row of the ball.
    """

    name: str
    dim: int
    dtype: torch.dtype
    radius: float
    log_share: Map

    def probability(self, x: Tensor) -> Tensor:
        """Return the probability to accept rows: (n, d) -> (n,).

        Raises:
            DataError: where it would be above one.
        """
        inside = torch.linalg.vector_norm(x, dim=-1) <= self.radius
        log_share = torch.where(inside, self.log_share(x), -math.inf)
        slack = math.sqrt(torch.finfo(x.dtype).eps)
        if bool((log_share > slack).any()):
            raise DataError(
                "cost: h(grad h*(s)) is not convex in s, so that samples by rejection would not be exact; take another"
            )
        return log_share.exp()

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Return independent samples: (n, d)."""
        proposed = unit_normal(self.dim, self.dtype)
        kept: list[Tensor] = []
        missing, share = n, 1.0
        while missing > 0:
            x = proposed(
                math.ceil(MASS_PAIR_SETTINGS.surplus * missing / share), generator
            )
            coin = torch.rand(
                len(x), generator=generator, device=x.device, dtype=x.dtype
            )
            accepted = x[coin < self.probability(x)]
            share = max(len(accepted) / len(x), MASS_PAIR_SETTINGS.least_share)
            kept.append(accepted[:missing])
            missing -= len(kept[-1])
        return torch.cat(kept) if kept else proposed(0, generator)

    def checked_variance(self, points: Tensor, images: Tensor) -> float:
        """Return the trace of the covariance of images (n, d) of points of N(0, I/d), were these of this law.

        Raises:
            DataError: where too few would be accepted.
        """
        share = self.probability(points)
        least = MASS_PAIR_SETTINGS.least_share
        if not float(share.mean()) > least:
            raise DataError(
                f"{self.name}: so small that not one of {1 / least:.0f} rows is accepted; give a larger one"
            )
        weight = share / share.sum()
        return float(weight @ (images - weight @ images).square().sum(1))
