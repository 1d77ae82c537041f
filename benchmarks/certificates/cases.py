"""Pairs whose map is known, and with it the distance, the error of any map, and the gap of any potential.

Every map is the gradient of a convex function, so optimal from any source to its image. Beside the pairs of
`brenier.datasets` there are

    curve      a curve in the plane, without thickness, moved by the map of `logsumexp`
    islands    five separated clusters, moved and bent by the map of `logsumexp`
    mild       `separable` at half its usual strength: nearly affine, so that few rows do not tell it from an affine map

A fitted potential psi misses of W2^2 exactly its gap, in squared units of the data,

    W2^2 - 2 (E phi(x) + E phi^c(z)) = 2 E[|x - T*(x)|^2/2 - phi(x) - phi^c(T*(x))]

whose terms on the right are small and positive row by row: some thousand rows show what millions would not on the left.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.harness import Flags
from brenier import TransportMap
from brenier.datasets import (
    NEUTRAL,
    Pair,
    gaussian_pair,
    logsumexp_pair,
    radial_pair,
    separable_pair,
    w2hd_pair,
)

DISPLACED = 2**20  # rows whose mean displacement is the distance
MANY_NUMBERS = (
    2**24
)  # of such rows at most, in all: fewer rows in high dimension, where their spread is small
AT_ONCE = 2**14  # rows worked on at once
TRUTH_SEED = 10**9  # that no sample has
DEGREES = 5  # of freedom of Student's t law in `tails_pair`
ISLANDS = 5


def curve_pair(dim: int) -> Pair:
    """Return a curve x = (u, sin(2 u), sin(3 u), ...), u ~ N(0, 1), moved by the map of `logsumexp`."""
    moved = logsumexp_pair(dim, seed=1)
    rates = torch.arange(2, dim + 1)

    def source(n: int, generator: torch.Generator) -> Tensor:
        u = torch.randn(n, 1, generator=generator)
        return torch.cat([u, torch.sin(rates * u)], -1)

    return _with_variances("curve", dim, source, moved.forward)


def islands_pair(dim: int) -> Pair:
    """Return five clusters N(c_k, I/25), |c_k| = d^(1/2), moved and bent by the map of `logsumexp`."""
    moved = logsumexp_pair(dim, seed=2)
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(ISLANDS, dim, generator=generator)
    centres *= math.sqrt(dim) / torch.linalg.vector_norm(centres, dim=1, keepdim=True)

    def source(n: int, generator: torch.Generator) -> Tensor:
        island = torch.randint(ISLANDS, (n,), generator=generator)
        return centres[island] + torch.randn(n, dim, generator=generator) / 5

    return _with_variances("islands", dim, source, moved.forward)


def mild_pair(dim: int) -> Pair:
    """Return the separable pair at half its usual strength."""
    return dataclasses.replace(separable_pair(dim, strength=0.5), name="mild")


def _with_variances(
    name: str,
    dim: int,
    source: Callable[[int, torch.Generator], Tensor],
    forward: Callable[[Tensor], Tensor],
) -> Pair:
    """Return a pair without a closed inverse, whose variances are those of many rows."""
    x = source(DISPLACED // 8, torch.Generator().manual_seed(TRUTH_SEED)).double()
    variances = [float(side.var(0).sum()) for side in (x, forward(x))]
    return Pair(name, dim, source, forward, None, *variances)


KINDS: Mapping[str, Callable[[int], Pair]] = {
    **NEUTRAL,
    "radial": radial_pair,
    "curve": curve_pair,
    "islands": islands_pair,
    "mild": mild_pair,
    "gaussian": gaussian_pair,
    "w2hd": w2hd_pair,
}


class Case(NamedTuple):
    """A pair, and how many rows a side there are to fit.

    Attributes:
        kind: name of the pair; what is fixed on other pairs is fixed on other kinds, whatever their dimension.
        dim: d.
        rows: n.
    """

    kind: str
    dim: int
    rows: int

    @property
    def name(self) -> str:
        """What the case is called in the rows."""
        return f"{self.kind} d={self.dim} n={self.rows:,}"

    @property
    def pair(self) -> Pair:
        """The pair, in the precision of samples."""
        return pair_of(self.kind, self.dim)

    def samples(self, seed: int, rows: int | None = None) -> tuple[Tensor, Tensor]:
        """Return independent rows of the source and of the target: (n, d), (n, d)."""
        generator = torch.Generator().manual_seed(seed)
        n = self.rows if rows is None else rows
        return self.pair.source(n, generator), self.pair.target(n, generator)


def chosen_cases(cases: Iterable[Case], flags: Flags) -> Iterator[Case]:
    """Yield the cases that the flags choose; with `--quick` those of fewest rows, with fewer still."""
    cases = list(cases)
    fewest = min(case.rows for case in cases)
    for case in cases:
        if case.kind not in flags.pairs or case.dim not in flags.dims:
            continue
        if flags.quick and case.rows == fewest:
            yield case._replace(rows=flags.quick_rows)
        if not flags.quick and case.rows in flags.sizes:
            yield case


class Figure(NamedTuple):
    """A mean and its standard error."""

    value: float
    error: float


class MapErrors(NamedTuple):
    """Root mean squares of T(x) - T*(x) and of T^{-1}(z) - T*^{-1}(z), in units of the data."""

    forward: float
    inverse: float


@functools.cache
def pair_of(kind: str, dim: int) -> Pair:
    """Return the pair of a kind."""
    return KINDS[kind](dim)


@functools.cache
def squared_distance(kind: str, dim: int) -> Figure:
    """Return W2^2: for `tails` an integral over the radius, else the mean over many rows, with its error."""
    pair = pair_of(kind, dim)
    if kind == "tails":
        return Figure(_tails_distance(pair), 0.0)
    rows = min(DISPLACED, MANY_NUMBERS // dim)
    generator = torch.Generator().manual_seed(TRUTH_SEED)
    terms = [
        (pair.forward(x) - x).square().sum(-1)
        for x in _chunks(pair, rows, generator, torch.float64)
    ]
    return _mean(torch.cat(terms))


def map_errors(transport: TransportMap, pair: Pair, rows: int, seed: int) -> MapErrors:
    """Return the errors of a map on so many new rows; the inverse's at the images of known rows."""
    generator = torch.Generator().manual_seed(TRUTH_SEED + 1 + seed)
    x, source = (pair.source(rows, generator).double() for _ in range(2))
    forward = transport(x) - pair.forward(x)
    back, _ = transport.inverse(pair.forward(source), return_solution=True)
    return MapErrors(*(_root_mean_square(off) for off in (forward, back - source)))


def true_gap(transport: TransportMap, pair: Pair, rows: int, seed: int) -> Figure:
    """Return W2^2 less twice the dual value of a map, from the terms of the module's docstring on new rows."""
    generator = torch.Generator().manual_seed(TRUTH_SEED + 2 + seed)
    unit = transport.unit_of_values()
    terms = []
    for x in _chunks(pair, rows, generator, torch.float64):
        z = pair.forward(x)
        phi, phi_c, _ = transport.dual_terms(x, z)
        terms.append((z - x).square().sum(-1) - 2 * unit * (phi + phi_c))
    return _mean(torch.cat(terms))


def _chunks(
    pair: Pair, rows: int, generator: torch.Generator, dtype: torch.dtype
) -> Iterator[Tensor]:
    """Yield so many rows of the source, some at once."""
    for begin in range(0, rows, AT_ONCE):
        yield pair.source(min(AT_ONCE, rows - begin), generator).to(dtype)


def _mean(terms: Tensor) -> Figure:
    return Figure(float(terms.mean()), float(terms.std() / math.sqrt(len(terms))))


def _root_mean_square(off: Tensor) -> float:
    return float(off.square().sum(-1).mean().sqrt())


def _tails_distance(pair: Pair) -> float:
    """Return E (r - |T|(r))^2 of a radial map; r^2/d has the F law of degrees d and five, whose tails rows miss."""
    log = torch.linspace(-80, 40, 12_001, dtype=torch.float64)
    growth = torch.log1p(pair.dim / DEGREES * log.exp())
    weight = torch.softmax(pair.dim / 2 * log - (pair.dim + DEGREES) / 2 * growth, 0)
    along = torch.eye(pair.dim, dtype=torch.float64)[:1]
    x = (pair.dim * log.exp()).sqrt()[:, None] * along
    return float(weight @ (x - pair.forward(x)).square().sum(-1))
