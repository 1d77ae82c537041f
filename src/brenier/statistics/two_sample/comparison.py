"""The exact test of two samples for one law, powerful for changes of many kinds.

A statistic is computed for the samples and for B permutations of their rows; p = (1 + #{as large}) / (1 + B) is at most
alpha with a chance of alpha or less under one law, whatever that is, at any number of rows ("Testing Statistical
Hypotheses", Lehmann and Romano, 2005, section 15.2). "auto" is the smallest of many p-values by normal theory, each
divided by its share of the level (a weighted Bonferroni correction); permutations then make exact what normal theory
and Bonferroni only approximate, and as all parts share the permutations, parts that say the same cost little. Parts are

* columns: means of normal scores (van der Waerden) and of their squares (Klotz), which for Gaussian columns lose
  nothing to the tests of mean and variance; the distribution function, as Anderson and Darling weight it; both ends;
* pairs: products of two normal scores, and of their sizes, which tell correlations apart, also those of spreads;
* kernel: means of waves over random sets of columns, which tell all laws apart (the maximum mean discrepancy).

All are means over rows of functions of ranks. Their permutations are one product of matrices.

P-values of columns compare each column with the largest of all columns in every permutation ("Resampling-Based Multiple
Testing", Westfall and Young, 1993), which holds the chance of naming any unchanged column below the level.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from brenier.statistics.two_sample.features import (
    MeanFeatures,
    column_features,
    kernel_features,
    pair_features,
)
from brenier.statistics.two_sample.groups import RowGroups, row_groups, signed_shares
from brenier.statistics.two_sample.ranks import PooledRanks, pooled_ranks, rows_numbered
from brenier.statistics.two_sample.result import TwoSampleTest
from brenier.statistics.two_sample.settings import (
    COMPARISON_SETTINGS,
    ComparisonSettings,
)
from brenier.statistics.two_sample.surprise import among_others


@dataclasses.dataclass(frozen=True)
class GroupedSamples:
    """Two samples in groups, with the ranks of their values.

    Attributes:
        x, z: (n, d), (m, d).
        groups: of rows.
        ranks: of values.
        settings: how much is computed at once.
    """

    x: Tensor
    z: Tensor
    groups: RowGroups
    ranks: PooledRanks
    settings: ComparisonSettings

    def first_scores(self) -> Tensor:
        """Return the normal scores of one row of every group: (groups, d)."""
        first = (self.groups.x[:, 0], self.groups.z[:, 0])
        rows = torch.cat(
            [rows_numbered(self.x, first[0]), rows_numbered(self.z, first[1])]
        )
        return self.ranks.scores[self.ranks.places(rows)]

    def differences(
        self, parts: Sequence[MeanFeatures], shares: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """Return for every part differences of means, (permutations, features), and their standard deviations.

        The deviations, (features,), are those over all permutations, zero for what is constant.
        """
        found: list[Tensor] = []
        totals: list[tuple[Tensor, Tensor]] = []
        done = 0
        for places in self._places(parts):
            means = [part.means(places, self.ranks.scores[places]) for part in parts]
            weights = shares[done : done + len(places)].mT
            done += len(places)
            new = [weights @ each for each in means]
            sums = [(each.sum(0), each.square().sum(0)) for each in means]
            found = [a + b for a, b in zip(found, new, strict=True)] if found else new
            pairs = zip(totals, sums, strict=True) if totals else ()
            totals = [(a + c, b + d) for (a, b), (c, d) in pairs] or sums
        scale = float(shares[:, 0].square().sum()) * done / (done - 1)
        spreads = [self._variance(a / done, b / done) for a, b in totals]
        errors = [(scale * spread).sqrt() for spread in spreads]
        return list(zip(found, errors, strict=True))

    def _variance(self, mean: Tensor, square: Tensor) -> Tensor:
        """Return variances from means and mean squares, zero where they are but rounding."""
        variance = square - mean.square()
        known = variance > self.settings.constant * square
        return torch.where(known, variance, 0.0)

    def _places(self, parts: Sequence[MeanFeatures]) -> Iterator[Tensor]:
        """Yield the places of all values, some groups at a time: (groups, size, d)."""
        size = self.groups.x.shape[1]
        per_row = self.x.shape[1] + max(part.per_row for part in parts)
        count = max(1, self.settings.entries_at_once // (per_row * size))
        for sample, numbers in ((self.x, self.groups.x), (self.z, self.groups.z)):
            for some in numbers.split(count):
                places = self.ranks.places(rows_numbered(sample, some.flatten()))
                yield places.unflatten(0, (-1, size))


def compared_samples(
    x: Tensor,
    z: Tensor,
    statistic: str,
    permutations: int,
    level: float,
    generator: torch.Generator,
    max_points: int | None = None,
    settings: ComparisonSettings = COMPARISON_SETTINGS,
) -> TwoSampleTest:
    """Return what the permutation test finds; see `brenier.metrics.two_sample_test`."""
    n, m = len(x), len(z)
    if min(n, m) < 2:
        columns = statistic in ("auto", "columns")
        ones = torch.ones(x.shape[1], dtype=torch.float64) if columns else None
        return TwoSampleTest(
            1.0, statistic, 0.0, permutations, (n, m), ones, level, 1.0
        )
    groups = row_groups(n, m, max_points or settings.groups, generator, settings)
    ranks = pooled_ranks(x, z, groups)
    samples = GroupedSamples(x, z, groups, ranks, settings)
    shares = signed_shares(groups, permutations, generator)
    if statistic == "energy":
        values = _energies(samples.first_scores(), shares)
        surprises = {"energy": among_others(values)[:, None]}
    else:
        surprises = _surprises(samples, shares, statistic, generator)
        values = torch.cat(list(surprises.values()), -1).amax(-1)
    alone = None
    if "columns" in surprises:
        of_columns = surprises["columns"]
        alone = _as_large(of_columns.amax(-1)[:, None], of_columns[0], settings)
    splits = math.comb(len(groups), len(groups.x))
    least = max(
        1 / (1 + permutations),
        min(1.0, (1 + (len(groups.x) == len(groups.z))) / splits),
    )
    return TwoSampleTest(
        float(_as_large(values[:, None], values[:1], settings)),
        statistic,
        float(values[0]),
        permutations,
        groups.rows,
        alone,
        level,
        least,
    )


def _surprises(
    samples: GroupedSamples,
    shares: Tensor,
    statistic: str,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Return how surprising the parts of a statistic are, weighted by their shares of the level."""
    settings, d = samples.settings, samples.x.shape[1]
    kinds = ("columns", "pairs", "kernel") if statistic == "auto" else (statistic,)
    parts: dict[str, MeanFeatures] = {}
    if "columns" in kinds:
        parts["columns"] = column_features(samples.ranks, settings)
    if "pairs" in kinds and d > 1:
        parts["pairs"] = pair_features(samples.first_scores(), settings)
    if "kernel" in kinds:
        parts["kernel"] = kernel_features(d, generator, settings)
    if not parts:  # pairs of a single column
        return {"pairs": torch.zeros(shares.shape[1], 1, dtype=shares.dtype)}
    found = samples.differences(list(parts.values()), shares)
    share = {kind: getattr(settings, kind) if len(kinds) > 1 else 1.0 for kind in kinds}
    return {
        kind: parts[kind].surprises(*differences) + math.log(share[kind])
        for kind, differences in zip(parts, found, strict=True)
    }


def _energies(scores: Tensor, shares: Tensor) -> Tensor:
    """Return the energy distance of scores (R, d) for every column of signed shares (R, k)."""
    distances = torch.cdist(scores, scores)
    return -(shares * (distances @ shares)).sum(0)


def _as_large(values: Tensor, observed: Tensor, settings: ComparisonSettings) -> Tensor:
    """Return the share of values (k, 1) that are as large as those observed (c,), but for rounding: (c,)."""
    slack = settings.tie * observed.abs().clamp_min(1)
    return (values >= observed - slack).double().mean(0)
