"""Which rows to believe: how far a row lies from the source that a map was fitted to.

A map is only known where its source has rows. How far out a row lies is told by two scores in the source coordinates,
whose units are the standard deviations of rows set aside: the distance to its third nearest kept row, where the map
keeps rows, which also sees holes and gaps between clusters; else the distance from the mean. Either is compared with
that of rows which took part in neither training nor selection, so that what is given back is the share of the source
that lies at least as far out (a conformal p-value, see `brenier.statistics.Exceedance`).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from brenier.datasets import CheckedSamples, TableLike
from brenier.errors import DataError
from brenier.potentials import usual_modes
from brenier.statistics import Exceedance, Weighted
from brenier.transport.coordinates import Classes, Covariates

if TYPE_CHECKING:
    from brenier.transport.maps.conditional import ConditionalMap, ConditionsLike
    from brenier.transport.maps.map import TransportMap


@dataclasses.dataclass(frozen=True)
class SupportSettings:
    """How far out a row is told to lie.

    Attributes:
        neighbour: the distance to the k-th nearest kept row is the score: the nearest alone is noisy.
        least_kept: kept rows without which the distance from the mean is.
        rows_per_feature: rows set aside for each feature, with fewer of which the coordinates' own centre and scale are
            taken.
        class_rows: rows set aside of a class, with fewer of which all classes together tell.
        rare: one row of the source in a thousand lies so far out: more of them than that are told of.
        chance: of a false warning.
        outside: by how much scaled covariates may leave their range, which rounding does.
    """

    neighbour: int = 3
    least_kept: int = 50
    rows_per_feature: int = 10
    class_rows: int = 50
    rare: float = 1e-3
    chance: float = 1e-3
    outside: float = 1e-6


SUPPORT = SupportSettings()
ALL_CLASSES = -1  # numerical floor: below the numbers of classes; the key of what all of them together tell


@dataclasses.dataclass(frozen=True)
class Support:
    """Where the source of a map lies, in its coordinates.

    Attributes:
        centre, scale: (d,), of rows set aside where these are many, float64 on the CPU.
        radii: their distances from the centre, in units of the scale.
        gaps: their distances to kept rows, or None where there are too few of those.
    """

    centre: Tensor
    scale: Tensor
    radii: Exceedance
    gaps: Exceedance | None

    @classmethod
    def of(cls, u: Weighted, kept: Tensor | None) -> Support:
        """Return that of rows set aside (n, d) in the coordinates, one at least, and kept rows (k, d)."""
        rows = u.of(lambda side: side.cpu().double())
        centre, scale = torch.zeros_like(rows.rows[0]), torch.ones_like(rows.rows[0])
        if rows.effective >= SUPPORT.rows_per_feature * len(centre):
            centre, scale = rows.mean(), rows.variance().sqrt()
            scale = torch.where(scale > 0, scale, 1.0)
        blank = cls(centre, scale, Exceedance.of(scale[:1]), None)
        radii = Exceedance.of(blank.radius(rows.rows), rows.weights)
        gaps = None
        if kept is not None and len(kept) >= SUPPORT.least_kept:
            gaps = Exceedance.of(blank.gap(rows.rows, kept), rows.weights)
        return cls(centre, scale, radii, gaps)

    def radius(self, u: Tensor) -> Tensor:
        """Return the distances of rows (n, d) from the centre: (n,)."""
        away = (u.double() - self.centre.to(u.device)) / self.scale.to(u.device)
        return torch.linalg.vector_norm(away, dim=-1)

    def gap(self, u: Tensor, kept: Tensor) -> Tensor:
        """Return the distances of rows (n, d) to the third nearest of kept rows (k, d): (n,)."""
        scale = self.scale.to(u.device)
        a, b = u.double() / scale, kept.to(u.device).double() / scale
        count = min(SUPPORT.neighbour, len(b))
        return torch.cdist(a, b).topk(count, largest=False).values[:, -1]

    def shares(self, u: Tensor, kept: Tensor | None) -> Tensor:
        """Return which share of the source lies at least as far out as rows (n, d): (n,), float64."""
        if self.gaps is not None and kept is not None:
            return self.gaps.shares(self.gap(u, kept))
        return self.radii.shares(self.radius(u))


class MapSupport:
    """Which rows a map is to be believed at; a base of `TransportMap`."""

    fitted_support: Support | None = None

    @usual_modes(gradients=False)
    def support(self, x: TableLike) -> Any:
        """Return which share of the source lies at least as far out as each row: (n, d) -> (n,), in (0, 1].

        Of fresh rows of the source it is nearly uniform; far outside it is 1/(n + 1) for n rows set aside, which of a
        fit of few rows are those of the fit. A map says nothing reliable of rows with small values.

        Raises:
            DataError: where it was not calibrated: a map made by hand, or saved by an earlier version.

        >>> import numpy as np
        >>> from brenier import OptimalTransport
        >>> rng = np.random.default_rng(0)
        >>> X, Y = rng.normal(size=(500, 2)), rng.normal(size=(500, 2)) + 1
        >>> ot = OptimalTransport(max_steps=20, random_state=0).fit(X, Y)
        >>> inside, outside = ot.map_.support(np.array([[0.0, 0.1], [9.0, 9.0]]))
        >>> bool(inside > 0.5), bool(outside < 0.05)
        (True, True)
        """
        own = cast("TransportMap", self)
        samples = own._read(x, "x")
        return samples.restore(own.support_shares(samples).to(samples.dtype))

    @usual_modes(gradients=False)
    def support_shares(self, samples: CheckedSamples) -> Tensor:
        """Return the same of samples read: (n,), float64."""
        own, known = cast("TransportMap", self), self.known_support()
        kept = own.start_rows

        def shares(rows: Tensor) -> Tensor:
            return known.shares(own.coordinates.encode_source(rows), kept).to(rows)

        return own._in_batches(shares, samples)

    @usual_modes(gradients=False)
    def radii(self, samples: CheckedSamples) -> Tensor:
        """Return the distances of samples read from the centre of the source: (n,), float64."""
        own, known = cast("TransportMap", self), self.known_support()

        def radii(rows: Tensor) -> Tensor:
            return known.radius(own.coordinates.encode_source(rows)).to(rows)

        return own._in_batches(radii, samples)

    @usual_modes(gradients=False)
    def calibrate_support(self, x: TableLike) -> Any:
        """Calibrate `support` on source rows x (n, d) that the map was not fitted to, and return the map."""
        own = cast("TransportMap", self)
        samples = own._read(x, "x")
        calibrate_support(own, Weighted(samples.rows(0, samples.shape[0])), ())
        return own

    def known_support(self) -> Support:
        """Return the calibrated support.

        Raises:
            DataError: where there is none.
        """
        if self.fitted_support is None:
            raise _uncalibrated("x")
        return self.fitted_support


class ConditionalSupport:
    """Which rows the maps of all conditions are to be believed at; a base of `ConditionalMap`."""

    fitted_supports: dict[int, Support]

    @usual_modes(gradients=False)
    def support(self, x: TableLike, condition: ConditionsLike) -> Any:
        """Return which share of the source of its condition lies at least as far out as each row: (n, d) -> (n,).

        With covariates rows are compared at their own values, and values outside of the range of the fit are as far
        out as can be said.

        Raises:
            DataError: as `TransportMap.support`; for conditions that are unknown.
        """
        own = cast("ConditionalMap", self)
        samples = own._read(x, "x")
        index = own._index(condition, samples)
        return samples.restore(own.support_shares(samples, index).to(samples.dtype))

    @usual_modes(gradients=False)
    def support_shares(self, samples: CheckedSamples, index: Tensor) -> Tensor:
        """Return the same of samples read, at the index of each row's condition: (n,), float64."""
        own = cast("ConditionalMap", self)
        if not own.fitted_supports:
            raise _uncalibrated("x, condition")
        u = self.encoded_rows(samples, index)
        if isinstance(own.conditions, Covariates):
            known = own.fitted_supports[ALL_CLASSES]
            outside = (index.abs() > 1 + SUPPORT.outside).any(-1).cpu()
            found = known.radii.shares(known.radius(u))
            return torch.where(outside, known.radii.least_share, found)
        shares = torch.ones(len(u), dtype=torch.float64)
        for k in index.unique().tolist():
            chosen = (index == k).to(u.device)
            kept = own.at_index(torch.tensor(k)).start_rows
            found = self.support_of_class(k).shares(u[chosen], kept)
            shares[chosen.cpu()] = found.cpu()
        return shares

    @usual_modes(gradients=False)
    def encoded_rows(self, samples: CheckedSamples, index: Tensor) -> Tensor:
        """Return samples read in the source coordinates of their conditions: (n, d), float64."""
        own = cast("ConditionalMap", self)
        return own._at_index(
            lambda row_map, rows: row_map.coordinates.encode_source(rows)[:, : own.dim],
            samples,
            index,
        )

    def support_of_class(self, number: int) -> Support:
        """Return the support of a class by its number, or that of all together where it had few rows."""
        return self.fitted_supports.get(number, self.fitted_supports[ALL_CLASSES])

    @usual_modes(gradients=False)
    def calibrate_support(self, x: TableLike, condition: ConditionsLike) -> Any:
        """Calibrate `support` on source rows x (n, d) that the map was not fitted to, and return the map."""
        own = cast("ConditionalMap", self)
        samples = own._read(x, "x")
        rows = Weighted(samples.rows(0, samples.shape[0]))
        calibrate_support(own, rows, (condition,))
        return own


def support_of(transport: TransportMap, rows: Weighted) -> Support | None:
    """Return the support of a map, from source rows (n, d) it was not fitted to; None of no rows."""
    if not len(rows):
        return None
    unit = transport.coordinates.unit
    u = rows.of(lambda side: transport.coordinates.encode_source(side.to(unit)))
    return Support.of(u, transport.start_rows)


def supports_of(
    transport: ConditionalMap,
    u: Tensor,
    index: Tensor,
    weights: Tensor | None = None,
) -> dict[int, Support]:
    """Return the supports of the maps of all conditions: of every class with rows enough, and of all together.

    Args:
        transport: the maps.
        u: (n, d), source rows that they were not fitted to, in the coordinates of their conditions.
        index: (n, ...), of these.
        weights: (n,), of the rows, or None.
    """
    if not len(u):
        return {}
    rows = Weighted(u, weights)
    found = {ALL_CLASSES: Support.of(rows, None)}
    if isinstance(transport.conditions, Classes):
        for k in index.unique().tolist():
            chosen = (index == k).nonzero().squeeze(-1).cpu()
            if len(chosen) >= SUPPORT.class_rows:
                kept = transport.at_index(torch.tensor(k)).start_rows
                found[k] = Support.of(rows[chosen], kept)
    return found


@usual_modes(gradients=False)
def calibrate_support(
    transport: TransportMap | ConditionalMap,
    x: Weighted,
    condition: tuple[ConditionsLike, ...],
) -> None:
    """Calibrate the support of a map on source rows (n, d) that it was not fitted to, with their conditions."""
    if not condition:
        own = cast("TransportMap", transport)
        own.fitted_support = support_of(own, x)
        return
    many = cast("ConditionalMap", transport)
    samples = many._read(x.rows, "x")
    index = many._index(condition[0], samples)
    u = many.encoded_rows(samples, index)
    many.fitted_supports = supports_of(many, u, index, x.weights)


def _uncalibrated(arguments: str) -> DataError:
    return DataError(
        "support: this map was made by hand, or saved by an earlier version, and does not know where its source lies; "
        f"give source rows that it was not fitted to, `map_.calibrate_support({arguments})`"
    )
