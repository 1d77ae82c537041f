"""Pairs whose optimal map is known for another cost than the squared distance, c(x, z) = h(z - x).

    convex          T(x) = x + grad h*(grad g(x)), g a smooth convex log-sum-exp         any h, any source
    sparse          the same, where grad g is small for all features but a few           elastic costs
    radial          T of `radial_pair`, monotone along the radii of N(0, I)              |z - x|^p, any p
    coordinatewise  T(x)_i = sinh(a_i asinh(x_i) + b_i), each increasing                 sum of |z_i - x_i|^p, any p
    monotone        the same on the line, skewed                                         every convex h

The first is optimal since g is convex: y -> h(z - y) + g(y) is least at x for z = T(x) ("The geometry of optimal
transportation", Gangbo and McCann, 1996). Radii: | |z| - |x| | is the least distance between two spheres, and on the
line increasing maps are optimal for every convex cost. A `Pair` that knows its cost is a `CostPair`.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from brenier.datasets.pairs.neutral import normal_points
from brenier.datasets.pairs.pieces import ConvexPieces, PotentialMap
from brenier.datasets.pairs.synthetic import (
    Map,
    Pair,
    TensorSampler,
    normal,
    positive,
    radial_pair,
    sinh_arcsinh_variance,
)
from brenier.errors import DataError
from brenier.transport.costs import Cost, CostFacts, Elastic, Power, SeparablePower


@dataclasses.dataclass(frozen=True)
class CostPairSettings:
    """What these pairs look like. Sources of convex and sparse pairs are N(0, I/d): |x| is about one, as are moves.

    Attributes:
        pieces: of the log-sum-exp.
        sharpness: standard deviation of w_k' x / t: how sharp the jumps between its pieces are.
        margin: largest slope of g over the largest that h has, where that is finite (log-cosh).
        moved_share: of the features that a piece moves, where the cost is elastic; at least one is.
        unmoved_slope: largest slope along features that a sparse pair never moves, over the cost's sparsity.
        tail, skew: a and b of the map on the line.
    """

    pieces: int = 10
    sharpness: float = 4.0
    margin: float = 0.9
    moved_share: float = 0.25
    unmoved_slope: float = 0.5
    tail: float = 1.25
    skew: float = 0.75


COST_PAIR_SETTINGS = CostPairSettings()


@dataclasses.dataclass(frozen=True)
class CostPair(Pair):
    """A pair, and the cost for which its map is optimal.

    Attributes:
        backward: T^{-1}, which all of them know.
        cost: c(x, z) = h(z - x).
    """

    backward: Map
    cost: Cost


def convex_cost_pair(
    cost: Cost,
    dim: int,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    *,
    slopes_of: Cost | None = None,
) -> CostPair:
    """Return N(0, I/d) and its image under T(x) = x + grad h*(grad g(x)), g a log-sum-exp of affine functions.

        g(x) = t log sum_k exp((w_k' x + b_k) / t),   w_k = grad h(v_k)

    with ten v_k of length one, in random directions, so that displacements are about as long as the source is wide; of
    an elastic cost a quarter of the coordinates of each v_k are not zero. b_k from N(0, t^2), and t is such that the
    standard deviation of w_k' x / t is about four. The inverse is solved in float64, to 1e-8 at least.

    Args:
        cost: h.
        dim: d.
        seed: of g; samples have a generator of their own.
        dtype: of samples.
        slopes_of: the cost whose gradient makes the w_k, by default `cost`; so the same g serves two costs.

    Raises:
        DataError: for a dim below one, or slopes that the cost does not reach.
    """
    moved = convex_map(cost, dim, seed, slopes_of)
    return _pair("convex", moved, seed, dtype)


def convex_map(
    cost: Cost, dim: int, seed: int, slopes_of: Cost | None = None
) -> PotentialMap:
    """Return the map of `convex_cost_pair`.

    Raises:
        DataError: for a dim below one, or slopes that the cost does not reach.
    """
    generator = torch.Generator().manual_seed(seed)
    own = cost if slopes_of is None else slopes_of
    slopes = _slopes(own, _moves(own, positive("dim", dim), generator))
    limit = CostFacts.of(cost).largest_slope
    if not float(slopes.abs().max()) < limit:
        raise DataError(
            f"slopes_of: g has a slope of {float(slopes.abs().max()):.3g}, and the cost reaches none from {limit:.3g} "
            "on; leave it out"
        )
    return PotentialMap(_log_sum_exp(slopes, generator), cost)


def sparse_pair(
    dim: int = 30,
    moved: int = 3,
    sparsity: float = 0.25,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> CostPair:
    """Return N(0, I/d) and its image under a map that is optimal for `Elastic(sparsity)` and moves few features.

    As `convex_cost_pair`, but the same features are moved by all v_k, and along the others slopes are uniform up to
    half of the sparsity: how far a row is moved depends on them, yet they are left exactly where they are.

    Args:
        dim: d.
        moved: features that are moved, chosen by the seed.
        sparsity: of the cost.
        seed: of g; samples have a generator of their own.
        dtype: of samples.

    Raises:
        DataError: for a dim below one, a sparsity that is not positive, or more features moved than there are.
    """
    if not 1 <= moved <= positive("dim", dim):
        raise DataError(f"moved: is {moved}; give a number from 1 to dim = {dim}")
    cost = Elastic(sparsity)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(dim, generator=generator)[:moved]
    moves = torch.zeros(dim, COST_PAIR_SETTINGS.pieces, dtype=torch.float64)
    moves[chosen] = unit_vectors(moved, generator)
    uniform = 2 * torch.rand(moves.shape, generator=generator, dtype=torch.float64) - 1
    still = COST_PAIR_SETTINGS.unmoved_slope * sparsity * uniform
    still[chosen] = 0.0
    pieces = _log_sum_exp(_slopes(cost, moves) + still, generator)
    return _pair("sparse", PotentialMap(pieces, cost), seed, dtype)


def power_radial_pair(
    p: float, dim: int = 2, bend: float = 1.0, dtype: torch.dtype = torch.float32
) -> CostPair:
    """Return N(0, I) stretched along its radii, as by `synthetic.radial_pair`, with the cost |z - x|^p / p.

    Raises:
        DataError: for p <= 1, a dim below one or a bend that is not positive.
    """
    return _with_cost(radial_pair(dim, bend, dtype), "radial", Power(p))


def coordinatewise_pair(
    p: float,
    dim: int,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    *,
    strength: float = 1.0,
) -> CostPair:
    """Return N(0, I) and its image under an increasing map of every coordinate, with the cost sum of |z_i - x_i|^p / p.

        T(x)_i = sinh(a_i asinh(x_i) + b_i)

    with log a_i uniform on (-ln 2, ln 2)/2 and b_i on (-1/2, 1/2), both times `strength`.

    Args:
        p: above one.
        dim: d.
        seed: of a and b; samples have a generator of their own.
        dtype: of samples.
        strength: how far the map is from the identity.

    Raises:
        DataError: for p <= 1, a dim below one or a strength that is not positive.
    """
    generator = torch.Generator().manual_seed(seed)
    size = (2, positive("dim", dim))
    uniform = torch.rand(size, generator=generator, dtype=torch.float64) - 0.5
    log_a, b = positive("strength", strength) * uniform
    pair = _increasing(torch.exp(math.log(2) * log_a), b, dtype)
    return _with_cost(pair, "coordinatewise", SeparablePower(p))


def monotone_pair(p: float, dtype: torch.dtype = torch.float32) -> CostPair:
    """Return N(0, 1) and the skewed law of sinh(a asinh(x) + b) on the line, with the cost |z - x|^p / p.

    Raises:
        DataError: for p <= 1.
    """
    settings = COST_PAIR_SETTINGS
    a, b = torch.tensor([[settings.tail], [settings.skew]], dtype=torch.float64)
    return _with_cost(_increasing(a, b, dtype), "monotone", Power(p))


def _increasing(a: Tensor, b: Tensor, dtype: torch.dtype) -> Pair:
    """Return N(0, I) and its image under x_i -> sinh(a_i asinh(x_i) + b_i)."""

    def forward(x: Tensor) -> Tensor:
        return torch.sinh(a.to(x) * torch.asinh(x) + b.to(x))

    def backward(z: Tensor) -> Tensor:
        return torch.sinh((torch.asinh(z) - b.to(z)) / a.to(z))

    source = normal(len(a), dtype)
    variance = sinh_arcsinh_variance(a, b)
    return Pair("increasing", len(a), source, forward, backward, len(a), variance)


def _with_cost(pair: Pair, name: str, cost: Cost) -> CostPair:
    """Return a pair under another name, with a cost."""
    parts = {each.name: getattr(pair, each.name) for each in dataclasses.fields(pair)}
    return CostPair(**parts | {"name": name}, cost=cost)


def unit_vectors(dim: int, generator: torch.Generator) -> Tensor:
    """Return vectors of length one, uniform on the sphere: (dim, pieces), float64."""
    size = (dim, COST_PAIR_SETTINGS.pieces)
    normals = torch.randn(size, generator=generator, dtype=torch.float64)
    return normals / torch.linalg.vector_norm(normals, dim=0)


def _moves(cost: Cost, dim: int, generator: torch.Generator) -> Tensor:
    """Return displacements of length one, sparse where the cost makes them so: (d, pieces)."""
    moves = unit_vectors(dim, generator)
    if not CostFacts.of(cost).kink:
        return moves
    count = max(1, round(COST_PAIR_SETTINGS.moved_share * dim))
    order = torch.rand(moves.shape, generator=generator).argsort(0)
    few = torch.where(order < count, moves, 0.0)
    return few / torch.linalg.vector_norm(few, dim=0)


def _slopes(cost: Cost, moves: Tensor) -> Tensor:
    """Return grad h of displacements (d, pieces), within what h reaches by a margin."""
    limit = COST_PAIR_SETTINGS.margin * CostFacts.of(cost).largest_slope
    return cost.gradient(moves.mT).mT.clamp(-limit, limit)


def _log_sum_exp(slopes: Tensor, generator: torch.Generator) -> ConvexPieces:
    """Return the log-sum-exp of these slopes (d, pieces), as sharp as the settings say, with random offsets."""
    length = float(torch.linalg.vector_norm(slopes, dim=0).mean())
    spread = length / math.sqrt(len(slopes))
    temperature = spread / COST_PAIR_SETTINGS.sharpness
    offsets = torch.randn(slopes.shape[1], generator=generator, dtype=torch.float64)
    return ConvexPieces(slopes, temperature * offsets, temperature)


def _pair(name: str, moved: PotentialMap, seed: int, dtype: torch.dtype) -> CostPair:
    """Return N(0, I/d) and its image under a map."""
    dim = len(moved.pieces.slopes)
    images = moved.forward(normal_points(dim, seed) / math.sqrt(dim))
    variance = float(images.var(0, correction=0).sum())
    maps = moved.forward, moved.backward
    return CostPair(
        name, dim, unit_normal(dim, dtype), *maps, 1.0, variance, moved.cost
    )


def unit_normal(dim: int, dtype: torch.dtype) -> TensorSampler:
    """Return a sampler of N(0, I/d)."""
    standard = normal(dim, dtype)
    return lambda n, generator: standard(n, generator) / math.sqrt(dim)
