"""The transport cost OT_c a map was measured at, for any cost and mass, and what each figure is worth.

The dual value -J on samples that training never saw estimates a lower bound of OT_c without bias where every inner
minimum is exact; so it is what is reported (see `distance`, which does this for the squared distance). Of a cost of
degree p, such as |v|^p/p, the root W_p = (p OT_c)^(1/p) is a distance. With unbalanced mass -J estimates the cost of
transport and of the mass that is created and destroyed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from brenier.statistics import (
    INTERVALS,
    RowWeights,
    even_terms,
    freedom,
    weighted_mean,
    widened_error,
    with_error,
)
from brenier.transport.maps.distance import CONTRADICTION


@dataclasses.dataclass(frozen=True)
class CostDistance:
    """The optimal transport cost between two sets of samples, its interval, and its root where that is a distance.

    Attributes:
        cost: the estimate of OT_c, minus J; it may be negative where there is no difference.
        cost_error: its standard error.
        interval: lower and upper end of the 95 % interval of OT_c, not below zero. It allows for the noise of the
            samples, not for what the map misses, by which OT_c may be larger.
        degree: p, of a cost of degree p, else None.
        root: W_p = (p OT_c)^(1/p), or None.
        root_interval: the same of the interval, or None.
        primal: mean cost of the forward map; with unbalanced mass of the mass it moves.
        primal_error: its standard error.
        transported, explained: with unbalanced mass, the share of either side's mass that is moved; else one.
        balanced: whether mass is.
        certified: whether inner minima are certainly global, so that the estimate is none too high in expectation.
        unconverged: target rows whose inner problem did not converge.
        rows: source and target rows that the map was measured on.
        unit: what the cost is measured in.
        held_out: whether training never saw these rows.
    """

    cost: float
    cost_error: float
    interval: tuple[float, float]
    degree: float | None
    root: float | None
    root_interval: tuple[float, float] | None
    primal: float
    primal_error: float
    transported: float
    explained: float
    balanced: bool
    certified: bool
    unconverged: int
    rows: tuple[int, int]
    unit: str
    held_out: bool

    def __float__(self) -> float:
        return self.cost if self.root is None else self.root

    @classmethod
    def from_json(cls, held: Mapping[str, object]) -> CostDistance:
        """Return what `dataclasses.asdict` made of one."""
        found: dict[str, Any] = dict(held)
        for name in ("interval", "rows", "root_interval"):
            found[name] = None if found[name] is None else tuple(found[name])
        return cls(**found)

    @property
    def differs(self) -> bool:
        """Whether the two samples differ, with 95 % confidence: whether the interval leaves out zero."""
        return self.interval[0] > 0

    @property
    def contradiction(self) -> str | None:
        """How the cost of the map and the dual value contradict each other, or None; with unbalanced mass they may."""
        apart = abs(self.primal - self.cost)
        error = math.hypot(self.primal_error, self.cost_error)
        large = apart > CONTRADICTION.share * max(self.primal, self.cost)
        if not (self.balanced and large and apart > CONTRADICTION.errors * error):
            return None
        return (
            f"the map moves samples at a mean cost of {self.primal:.4g}, where the optimal cost is {self.cost:.4g}: "
            "moved samples do not have the law of the target"
        )

    def verdict(self) -> str:
        """Return in one sentence whether the two samples differ, and by how much."""
        (low, high), what = self.interval, "OT_c"
        if self.root_interval is not None and self.balanced:
            (low, high), what = self.root_interval, f"W_{self.degree:g}"
        if self.differs:
            found = (
                f"The two samples differ: {what} is between {low:.4g} and {high:.4g}"
            )
        else:
            found = (
                f"No difference can be seen at this size: {what} is at most {high:.4g}"
            )
        if not self.held_out:
            found = f"If the map was not fitted to these rows: {found[0].lower()}{found[1:]}"
        return f"{found} (95 %; {self.unit})."

    def statement(self) -> str:
        """Return what may be claimed, in sentences: the verdict, the figures, and what each rests on."""
        n, m = self.rows
        kind = "held-out" if self.held_out else "given"
        lines = [
            self.verdict(),
            f"OT_c = {with_error(self.cost, self.cost_error)} (± is one standard error; that of the samples: what the "
            "map misses is not in it, and makes OT_c larger).",
            f"Measured on {n} source and {m} target {kind} rows.",
            f"Mean cost of the map: {with_error(self.primal, self.primal_error)}; no bound, it equals OT_c where moved "
            "samples are distributed as the target.",
        ]
        if not self.balanced:
            lines[-1] = (
                f"Mass: {self.transported:.1%} of the source is transported, {self.explained:.1%} of the target "
                f"explained; moving it costs {with_error(self.primal, self.primal_error)}, the rest of OT_c is the "
                "price of the mass that is created or destroyed."
            )
        if not self.certified:
            lines.append(
                "These figures hold if every inner minimum found is global, which a free network does not guarantee."
            )
        if self.contradiction:
            lines.append(f"Do not use this map: {self.contradiction}.")
        if self.unconverged:
            lines.append(
                f"{self.unconverged} target rows had unconverged inner problems; the value may be too high."
            )
        return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class MeasuredCost:
    """What is measured of a map on samples, in the units of the cost, float64.

    Attributes:
        terms: of minus J, of either side: (n,), (m,).
        cost: (n,), c(x, T(x)).
        shares: (n,), (m,), how much of each row's mass is transported, and explained.
        weights: (n,), (m,), of the rows, None where all of a side count alike.
        balanced, certified, unconverged, unit: as in `CostDistance`.
    """

    terms: tuple[Tensor, Tensor]
    cost: Tensor
    shares: tuple[Tensor, Tensor]
    weights: RowWeights
    balanced: bool
    certified: bool
    unconverged: int
    unit: str

    def distance(self, degree: float | None, held_out: bool) -> CostDistance:
        """Return the transport cost that follows.

        Args:
            degree: of the cost, or None.
            held_out: whether training never saw these rows.
        """
        of_x, of_z = self.weights
        source, target = (
            even_terms(side, own)
            for side, own in zip(self.terms, self.weights, strict=True)
        )
        value = float(source.mean() + target.mean())
        freedoms = freedom(source, of_x), freedom(target, of_z)
        error = widened_error(source, target, freedoms=freedoms)
        width = INTERVALS.quantile * error
        interval = max(0.0, value - width), max(0.0, value) + width
        moved = even_terms(self.cost * self.shares[0], of_x)
        of_moved = [freedom(moved, of_x)]
        root = root_interval = None
        if degree is not None and self.balanced:
            root = _root(value, degree)
            root_interval = _root(interval[0], degree), _root(interval[1], degree)
        return CostDistance(
            cost=value,
            cost_error=error,
            interval=interval,
            degree=degree,
            root=root,
            root_interval=root_interval,
            primal=float(moved.mean()),
            primal_error=widened_error(moved, freedoms=of_moved),
            transported=float(weighted_mean(self.shares[0], of_x)),
            explained=float(weighted_mean(self.shares[1], of_z)),
            balanced=self.balanced,
            certified=self.certified,
            unconverged=self.unconverged,
            rows=(len(source), len(target)),
            unit=self.unit,
            held_out=held_out,
        )


def _root(cost: float, degree: float) -> float:
    """Return (p OT_c)^(1/p), zero where the cost is negative."""
    return (degree * max(0.0, cost)) ** (1 / degree)
