"""The part of the dual value that Gaussian fits explain, from all rows, and without favour to the rows fitted.

The dual value of the map between two Gaussian fits is too high on the rows that were fitted, and too low on others, by
the same amount to second order, as the optimism of any M-estimator ("An Introduction to the Bootstrap", Efron and
Tibshirani, 1993, chapter 17). It is found in closed form, so it can be cross-fitted: K times all rows but one part are
fitted, and the part left out is measured. Then

* the mean of the value on the fitted rows and the cross-fitted value estimates the dual value of the best affine map,
* the cross-fitted value alone is in expectation below it, whatever the rows are,

and both use every row. To either comes the *gain*: by how much the dual value of a network is above that of an affine
map, on rows that took part in neither. There it is a mean of independent terms, each a difference in which most of the
noise cancels.

In coordinates a = (x - m0)/s, b = (z - m1)/s, with delta = (m0 - m1)/s and M the linear part of the map,

    phi(x) = |a|^2/2 - a'M a/2 + <delta, a> + |delta|^2/4,   phi^c(z) = |b|^2/2 - b'M^-1 b/2 - <delta, b> + |delta|^2/4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from brenier.statistics import (
    Gaussian,
    RowWeights,
    Weighted,
    as_weighted,
    effective_rows,
    even_terms,
    freedom,
    widening,
)

RowPair: TypeAlias = tuple[Tensor, Tensor]  # source (n, d) and target (m, d)
WeightedPair: TypeAlias = tuple[Weighted, Weighted]
GaussianPair: TypeAlias = tuple[Gaussian, Gaussian]
# Fits Gaussians to both sides of every pair, in the units the rows are given in.
FitPairs: TypeAlias = Callable[[Sequence[WeightedPair]], Sequence[GaussianPair]]


@dataclasses.dataclass(frozen=True)
class CrossFitSettings:
    """How the affine part of the distance is cross-fitted.

    Attributes:
        folds: parts of either side, each left out once. With five a fit leaves out as much as a map that is trained on
            four rows in five.
        fold_rows: rows of a side that take part, at most.
        fold_numbers: numbers of a side that take part, at most: with 64 features 65,536 rows, a few seconds.
        bias_share: what of the difference between fitted and cross-fitted value counts as an error of their mean, where
            there are as many features as rows: with few rows the two errors are not quite equal.
        leaning_rows: with fewer rows of a side than this, its covariance leans on that of both sides, and its terms
            vary at least as those of the other side: of two rows neither is known, and they may be equal by chance.
    """

    folds: int = 5
    fold_rows: int = 200_000
    fold_numbers: int = 2**22
    bias_share: float = 0.2
    leaning_rows: int = 10

    def rows(self, dim: int) -> int:
        """Return how many rows of a side take part at most, with so many features."""
        return min(self.fold_rows, max(2, self.fold_numbers // dim))


class GaussianTerms(NamedTuple):
    """The dual terms of rows under Gaussian fits, in cost units.

    Attributes:
        fitted: phi (n,) and phi^c (m,) under the fit to all rows.
        crossed: the same, each under a fit that left the row out.
        bias: how far the mean of both may be off, beside its noise.
        weights: (n,), (m,), of the rows; means and errors follow them.
    """

    fitted: RowPair
    crossed: RowPair
    bias: float
    weights: RowWeights = (None, None)


class DualEstimate(NamedTuple):
    """An estimate of the dual value and one that is too low rather than too high, with their common standard error.

    The standard error of what a network adds to the affine part is told apart, where it is known.
    """

    value: float
    below: float
    error: float
    gain_error: float | None = None


@dataclasses.dataclass(frozen=True)
class AffinePart:
    """What is known of the affine part of the dual value.

    Attributes:
        terms: of many rows, among them those that a network is measured on, in front.
        baseline: Gaussian fits to training rows, whose affine map the gain of a network is taken over; None where there
            is no network, or no rows are left to measure it on.
        unit: (d,), that of the map's coordinates, in which cost, terms and fits are.
    """

    terms: GaussianTerms
    baseline: GaussianPair | None
    unit: Tensor

    @property
    def rows(self) -> tuple[int, int]:
        """The source and target rows it rests on."""
        phi, phi_c = self.terms.crossed
        return len(phi), len(phi_c)

    @property
    def worth(self) -> tuple[float, float]:
        """How many rows of equal weights these are."""
        of_x, of_z = self.terms.weights
        n, m = self.rows
        return effective_rows(n, of_x), effective_rows(m, of_z)

    def gains(self, rows: RowPair, terms: RowPair) -> RowPair | None:
        """Return the dual terms of a map on some rows less those of the affine map, (k,) and (l,), or None.

        Args:
            rows: source (k, d) and target (l, d), in the units of the data.
            terms: of the map on these.
        """
        if self.baseline is None:
            return None
        x, z = (side.to("cpu", torch.float64) / self.unit for side in rows)
        of_x, of_z = _terms(self.baseline, x, z)
        return terms[0].cpu() - of_x, terms[1].cpu() - of_z


def cross_fitted(
    pairs: Sequence[RowPair | WeightedPair],
    fit: FitPairs,
    generator: torch.Generator,
    settings: CrossFitSettings,
) -> list[GaussianTerms]:
    """Return the terms of all rows of some pairs, which are fitted together.

    Args:
        pairs: rows of either side, weighted or not, float64 on the CPU, in units in which the cost is |x - z|^2/2.
        fit: what fits Gaussians to them.
        generator: source of the folds.
        settings: how many folds there are.
    """
    few = settings.leaning_rows
    sides = [(as_weighted(x), as_weighted(z)) for x, z in pairs]
    whole = [
        _terms(_leaning(gaussians, rows, few), rows[0].rows, rows[1].rows)
        for gaussians, rows in zip(fit(sides), sides, strict=True)
    ]
    folds = [
        tuple(_folds(len(side), settings.folds, generator) for side in pair)
        for pair in sides
    ]
    crossed = [tuple(side.clone() for side in terms) for terms in whole]
    for k in range(settings.folds):
        kept = [
            (x[of_x != k], z[of_z != k])
            for (x, z), (of_x, of_z) in zip(sides, folds, strict=True)
        ]
        for gaussians, rows, pair, own, terms in zip(
            fit(kept), kept, sides, folds, crossed, strict=True
        ):
            out = [fold == k for fold in own]
            leaning = _leaning(gaussians, rows, few)
            found = _terms(leaning, pair[0].rows[out[0]], pair[1].rows[out[1]])
            for side, place, values in zip(terms, out, found, strict=True):
                side[place] = values
    estimates = []
    for pair, fitted, (phi, phi_c) in zip(sides, whole, crossed, strict=True):
        weights = pair[0].weights, pair[1].weights
        known = GaussianTerms(fitted, (phi, phi_c), 0.0, weights)
        estimates.append(known._replace(bias=_bias(pair, known, settings)))
    return estimates


def _leaning(gaussians: GaussianPair, rows: WeightedPair, few: int) -> GaussianPair:
    """Return the Gaussian fits of both sides, that of few rows leaning on the covariance of both."""
    counts = [side.effective for side in rows]
    if min(counts) >= few:
        return gaussians
    scatters = [k * side.covariance for k, side in zip(counts, gaussians, strict=True)]
    pooled = (scatters[0] + scatters[1]) / sum(counts)
    leaning = []
    for count, side in zip(counts, gaussians, strict=True):
        own = min(1.0, count / few)
        covariance = own * side.covariance + (1 - own) * pooled
        leaning.append(side._replace(covariance=covariance))
    return leaning[0], leaning[1]


def combined(
    terms: GaussianTerms,
    gains: RowPair | None,
    settings: CrossFitSettings = CrossFitSettings(),
) -> DualEstimate:
    """Return the dual value that follows from the affine part of all rows and the gain on some.

    Args:
        terms: of all rows, those that the gain is known of in front.
        gains: phi (k,) and phi^c (l,) of the map less those of an affine map, or None where the gain is not known.
        settings: `leaning_rows`.
    """
    value = below = total = 0.0
    variances, freedoms = list[float](), list[float]()
    of_gains = list[float]()
    for k, (crossed, fitted) in enumerate(_even_terms(terms)):
        weights = terms.weights[k]
        n, mean = effective_rows(len(crossed), weights), float(crossed.mean())
        value += 0.5 * (mean + float(fitted.mean()))
        below += mean
        # What every row adds to the error: in front are rows that count in the affine part and in the gain.
        added = _deviations(crossed)
        variance = float(added.square().sum())
        if n < settings.leaning_rows:
            other = _deviations(_even_terms(terms)[1 - k][0])
            rows = effective_rows(len(other), terms.weights[1 - k])
            least = float(other.square().sum()) * rows / n
            total += max(0.0, least - variance)
            variance = max(variance, least)
        variances.append(variance)
        freedoms.append(freedom(crossed, weights))
        if gains is not None:
            own = None if weights is None else weights[: len(gains[k])]
            gain = even_terms(gains[k].to(crossed), own)
            value, below = value + float(gain.mean()), below + float(gain.mean())
            of_gain = _deviations(gain)
            variances.append(float(of_gain.square().sum()))
            of_gains.append(variances[-1])
            freedoms.append(freedom(gain, own))
            added[: len(gain)] += of_gain
        total += float(added.square().sum())
    error = total**0.5 * widening(variances, freedoms)
    gain_error = sum(of_gains) ** 0.5 if of_gains else None
    error = (error**2 + terms.bias**2) ** 0.5
    return DualEstimate(value, below, error, gain_error)


def _even_terms(terms: GaussianTerms) -> list[RowPair]:
    """Return of either side the cross-fitted and the fitted terms, with plain means that are those by the weights."""
    return [
        (even_terms(crossed, weights), even_terms(fitted, weights))
        for crossed, fitted, weights in zip(
            terms.crossed, terms.fitted, terms.weights, strict=True
        )
    ]


def _deviations(terms: Tensor) -> Tensor:
    """Return what each of some terms (n,) adds to the error of their mean: the squares sum up to its variance."""
    n = len(terms)
    return (terms - terms.mean()) / (n * max(1, n - 1)) ** 0.5


def _folds(rows: int, folds: int, generator: torch.Generator) -> Tensor:
    """Return for each of some rows the fold it is left out in, as many in one as in another: (rows,).

    Where there are fewer rows than folds, some folds leave out none of this side; of one row alone, all of them.
    """
    if rows < 2:
        return torch.full((rows,), -1)
    order = torch.randperm(rows, generator=generator)
    fold = torch.empty(rows, dtype=torch.int64)
    fold[order] = torch.arange(rows) % min(folds, rows)
    return fold


def _terms(gaussians: GaussianPair, x: Tensor, z: Tensor) -> RowPair:
    """Return phi (n,) and phi^c (m,) of the map between two Gaussians."""
    source, target = gaussians
    factor = torch.linalg.cholesky(source.covariance)
    # M = L^-T (L' S1 L)^(1/2) L^-1 with S0 = L L': one eigendecomposition serves M and its inverse.
    values, vectors = torch.linalg.eigh(factor.mT @ target.covariance @ factor)
    floor = values[-1].clamp(min=torch.finfo(values.dtype).tiny)
    values = values.clamp(min=floor * torch.finfo(values.dtype).eps)
    a, b = x - source.mean, z - target.mean
    white = torch.linalg.solve_triangular(factor, a.mT, upper=False)
    along_x = (vectors.mT @ white) * values.unsqueeze(-1) ** 0.25
    along_z = (vectors.mT @ (factor.mT @ b.mT)) * values.unsqueeze(-1) ** -0.25
    delta = source.mean - target.mean
    constant = delta @ delta / 4
    phi = 0.5 * (a.square().sum(-1) - along_x.square().sum(0)) + a @ delta + constant
    phi_c = 0.5 * (b.square().sum(-1) - along_z.square().sum(0)) - b @ delta + constant
    return phi, phi_c


def _bias(
    pair: WeightedPair, terms: GaussianTerms, settings: CrossFitSettings
) -> float:
    """Return how far the mean of fitted and cross-fitted value may be off."""
    n, d = min(side.effective for side in pair), pair[0].rows.shape[1]
    optimism = sum(
        float(fitted.mean() - crossed.mean()) for crossed, fitted in _even_terms(terms)
    )
    return settings.bias_share * min(1.0, d / n) * abs(optimism)
