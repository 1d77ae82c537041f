"""Extreme values by column: what lies far beyond all others, and whether it would decide a mean and a variance.

Distances D = |x - median| / spread are in robust spreads: 1.4826 times the median absolute deviation or the distance of
the quartiles over 1.349, whichever is larger, and where one value holds a good part of a column that of the others.
Some rows of one end are *wild* where nearly nothing lies between them and the bulk, on a logarithmic scale, and they
carry most of the second moment about the median. A single row is the harder to tell from the end of a long tail, so
fewer rows must be farther away. Rows that lie as close together as those of the bulk are a *cluster*, a part of the law
however far away it is, unless they repeat one value, which is a *code* such as -999. Where far rows carry nearly all of
the second moment with nothing missing in between, the column has a *heavy tail*.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from brenier.statistics.ties import sorted_columns


@dataclasses.dataclass(frozen=True)
class ExtremesSettings:
    """What is told apart as extreme.

    Attributes:
        min_extreme_rows: of a column, in which medians say something.
        tied_share: a value that holds this share of a column is no part of its spread.
        nearest, farthest, levels: distances from which an empty stretch may begin, and how many are tried.
        empty_stretch, few_stretch: factor in distance over which nearly nothing lies, for many wild rows, and by what
            share longer it is for a single one.
        stray: rows within the stretch, as a share of those beyond it, at most.
        wild_moment: share of the second moment that the wild rows of both ends carry, at least.
        max_wild_share: of rows at one end; more of them are no exception.
        cluster_rows: from which on their common spread tells a cluster from wild rows; fewer must be closer together.
        cluster_spread, few_spread: of a cluster, at most, in spreads of the bulk: of many rows, and between few.
        told_distance: from which a cluster is told of, since its distance squeezes the others.
        code_share: of the rows at one end that repeat a value exactly, from which it is a code.
        code_gap: spreads between a repeated value at the end of a column, and all other values.
        tail_distance, tail_moment, tail_rows, max_tail_share: a tail is heavy where rows beyond this distance carry
            this share of the second moment, and are so many, but not a greater share.
    """

    min_extreme_rows: int = 10
    tied_share: float = 0.2
    nearest: float = 4.0
    farthest: float = 5000.0
    levels: int = 13
    empty_stretch: float = 3.0
    few_stretch: float = 1.3
    stray: float = 0.25
    wild_moment: float = 0.4
    max_wild_share: float = 0.15
    cluster_rows: int = 5
    cluster_spread: float = 30.0
    few_spread: float = 5.0
    told_distance: float = 50.0
    code_share: float = 0.5
    code_gap: float = 5.0
    tail_distance: float = 30.0
    tail_moment: float = 0.75
    tail_rows: int = 3
    max_tail_share: float = 0.2


class Found(enum.Enum):
    """What the extreme values of a column are."""

    CODE = "code"
    WILD = "wild"
    CLUSTER = "cluster"
    TAIL = "tail"


class Extreme(NamedTuple):
    """Extreme values at one end of a column, or at both where they are a heavy tail.

    Attributes:
        kind: what they are.
        column: its number.
        low, high: the others lie between these.
        value: that repeats, or the farthest.
        distance: of the median one of them, in spreads of the others.
        moment: share of the second moment that they carry.
    """

    kind: Found
    column: int
    low: float
    high: float
    value: float
    distance: float
    moment: float

    def holds(self, rows: Tensor) -> Tensor:
        """Say which rows (n, d) have one of these values: (n,)."""
        own = rows[:, self.column]
        return (own < self.low) | (own > self.high)


def extremes(
    rows: Tensor, settings: ExtremesSettings = ExtremesSettings()
) -> list[Extreme]:
    """Return the extreme values of every column of rows (n, d), float64; of few rows, and of most columns, none."""
    if len(rows) < settings.min_extreme_rows:
        return []
    centre, spread = _centre_and_spread(rows, settings)
    far = (rows - centre).abs().amax(0) > settings.nearest * spread
    found = []
    for column in torch.nonzero(far & (spread > 0)).flatten().tolist():
        own, middle, scale = rows[:, column], centre[column], spread[column]
        found += _Column(
            own, column, float(middle), float(scale), settings, rows.shape[1]
        ).extremes()
    return found


def _centre_and_spread(
    rows: Tensor, settings: ExtremesSettings
) -> tuple[Tensor, Tensor]:
    """Return medians and robust spreads of columns of rows (n, d): (d,), zero where these are constant.

    Where one value holds a good part of a column, which then is among some quantiles, it is the spread of the others,
    in which repeated ones count once: they may be a code.
    """
    n, ordered = len(rows), sorted_columns(rows)
    centre = ordered[:, (n - 1) // 2].clone()
    # Of skewed columns the quartiles say more than the median deviation.
    quartiles = ordered[:, int(0.75 * (n - 1))] - ordered[:, int(0.25 * (n - 1))]
    deviations = sorted_columns((rows - centre).abs())[:, (n - 1) // 2]
    spread = torch.maximum(1.4826 * deviations, quartiles / 1.349)
    for middle in np.arange(settings.tied_share / 2, 1, settings.tied_share):
        value = ordered[:, int(middle * (n - 1))]
        tied = (rows == value).double().mean(0) >= settings.tied_share
        for column in torch.nonzero(tied).flatten().tolist():
            others = ordered[column][ordered[column] != value[column]]
            distinct = (others - centre[column]).abs().unique()
            enough = len(others) >= settings.min_extreme_rows
            spread[column] = 1.4826 * distinct.median() if enough else 0.0
    return centre, spread


class _Group(NamedTuple):
    """Rows (n,) beyond a bound, in spreads, at one end of a column: what they are, and a value among them."""

    kind: Found | None
    bound: float
    beyond: Tensor
    value: float


@dataclasses.dataclass(frozen=True)
class _Column:
    """A column (n,), its number, median and spread, what is told apart as extreme, and how many columns there are."""

    values: Tensor
    number: int
    centre: float
    spread: float
    settings: ExtremesSettings
    columns: int

    def extremes(self) -> list[Extreme]:
        """Return what is extreme at either end, or the heavy tail."""
        scaled = (self.values - self.centre) / self.spread
        squares = scaled.square()
        ends = [(sign, self._group(sign * scaled)) for sign in (-1, 1)]
        rest = torch.ones(len(scaled), dtype=torch.bool)
        for _, group in ends:
            if group is not None:
                rest &= ~group.beyond
        codes = any(group and group.kind is Found.CODE for _, group in ends)
        # The farthest rows of a heavy tail may lie apart from the others, which are no less of it.
        if not codes and self._has_tail(scaled, rest):
            return [self._tail(scaled)]
        decide = (
            float(squares[~rest].sum() / squares.sum()) >= self.settings.wild_moment
        )
        found = []
        for sign, group in ends:
            if group and group.kind and (decide or group.kind is Found.CODE):
                bound = self.centre + sign * self.spread * group.bound
                limits = (bound, math.inf) if sign < 0 else (-math.inf, bound)
                distance = abs(float(scaled[group.beyond].median()))
                share = float(squares[group.beyond].sum() / squares.sum())
                end = Extreme(
                    group.kind, self.number, *limits, group.value, distance, share
                )
                found.append(end)
        return found

    def _group(self, ended: Tensor) -> _Group | None:
        """Return the rows that stand out at the upper end of distances (n,), which carry a sign."""
        found = self._code(ended)
        if found is None:
            bound = self._stretch(ended)
            if bound is not None:
                found = self._named(ended, bound)
        return found

    def _code(self, ended: Tensor) -> _Group | None:
        """Return the rows that repeat the last value of a column, where that lies far from a bulk that varies."""
        settings, last = self.settings, float(ended.max())
        beyond = ended == last
        others, count = ended[~beyond], int(beyond.sum())
        most = 2 * settings.max_wild_share * len(ended)
        if last < settings.nearest or not 2 <= count <= most:
            return None
        gap = last - float(others.max())
        # Of a column of mostly one value, such as a rare one of two, no value is out of place.
        mostly_one = _repeated(others)[1] > 0.5 * len(others)
        if mostly_one or gap < settings.code_gap * (1 + 10 / count):
            return None
        value = float(self.values[beyond][0])
        return _Group(Found.CODE, last - gap / 2, beyond, value)

    def _stretch(self, ended: Tensor) -> float | None:
        """Return from where on nearly nothing lies, before the rows of the upper end; None where there are no such."""
        settings, n = self.settings, len(ended)
        ordered = ended[ended > settings.nearest].sort().values
        for bound in _levels(settings):
            inside = int(torch.searchsorted(ordered, bound, right=True))
            first, count = inside, len(ordered) - inside
            # Few rows must lie beyond a longer stretch, and so must those of a small sample, whose spread is uncertain.
            for _ in range(3):
                if count:
                    longer = (1 + self._few / count) * (1 + 10 / n)
                    end = bound * settings.empty_stretch * longer
                    first = int(torch.searchsorted(ordered, end, right=True))
                    count = len(ordered) - first
            few = 0 < count <= settings.max_wild_share * n
            if few and first - inside <= settings.stray * count:
                return bound
        return None

    @property
    def _few(self) -> float:
        """How much longer the stretch is for a single row: among many columns one is odd by chance."""
        return self.settings.few_stretch * self.columns**0.25

    def _named(self, ended: Tensor, bound: float) -> _Group:
        """Return the rows beyond a stretch, and what they are: nothing to be told of where it is a cluster nearby."""
        beyond = ended > bound
        own, count = ended[beyond], int(beyond.sum())
        value, repeats = _repeated(self.values[beyond])
        if repeats > 1 and repeats >= self.settings.code_share * count:
            return _Group(Found.CODE, bound, beyond, value)
        kind: Found | None = Found.WILD
        if self._together(own):
            near = float(own.median()) < self.settings.told_distance
            kind = None if near else Found.CLUSTER
        return _Group(kind, bound, beyond, float(self.values[ended.argmax()]))

    def _together(self, own: Tensor) -> bool:
        """Say whether rows at these distances lie as close together as those of the bulk may."""
        if len(own) >= self.settings.cluster_rows:
            deviation = 1.4826 * float((own - own.median()).abs().median())
            return deviation <= self.settings.cluster_spread
        return len(own) > 1 and float(own.max() - own.min()) <= self.settings.few_spread

    def _has_tail(self, scaled: Tensor, rest: Tensor) -> bool:
        """Say whether far values carry nearly all of the second moment of a column, and of the rest of it."""
        for own in (scaled.abs(), scaled[rest].abs()):
            settings = self.settings
            beyond = own > settings.tail_distance
            count = int(beyond.sum())
            # A cluster carries as much, beyond an empty stretch.
            nearer = int((own > settings.tail_distance / 3).sum()) - count
            few = settings.tail_rows <= count <= settings.max_tail_share * len(own)
            if not few or nearer < settings.stray * count:
                return False
            moment = float(own[beyond].square().sum() / own.square().sum())
            if moment < settings.tail_moment:
                return False
        return True

    def _tail(self, scaled: Tensor) -> Extreme:
        """Return the far values of a column as a heavy tail."""
        beyond = scaled.abs() > self.settings.tail_distance
        reach = self.settings.tail_distance * self.spread
        squares = scaled.square()
        return Extreme(
            Found.TAIL,
            self.number,
            self.centre - reach,
            self.centre + reach,
            float(self.values[scaled.abs().argmax()]),
            float(scaled[beyond].abs().median()),
            float(squares[beyond].sum() / squares.sum()),
        )


def _levels(settings: ExtremesSettings) -> list[float]:
    """Return the distances from which an empty stretch may begin."""
    factor = (settings.farthest / settings.nearest) ** (1 / (settings.levels - 1))
    return [settings.nearest * factor**k for k in range(settings.levels)]


def _repeated(values: Tensor) -> tuple[float, int]:
    """Return the most frequent value, and how often it is there."""
    distinct, counts = values.unique(return_counts=True)
    most = int(counts.argmax())
    return float(distinct[most]), int(counts[most])
