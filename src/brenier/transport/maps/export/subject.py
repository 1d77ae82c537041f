"""What is exported: a copy of a map on the CPU, rows to try it with, and what the library says of them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from brenier.potentials import usual_modes
from brenier.transport.coordinates import (
    Classes,
    Coordinates,
    Covariates,
    rows_encoded_at_once,
    tensor_conditions,
)
from brenier.transport.maps.export.functions import (
    AnyRowMap,
    InnerFunction,
    MapFunction,
    Outputs,
    RowFunction,
    by_hand,
    inner_parts,
)

if TYPE_CHECKING:
    from brenier.transport.maps.conditional import ConditionalMap
    from brenier.transport.maps.map import TransportMap

Exportable: TypeAlias = "TransportMap | ConditionalMap"


@dataclasses.dataclass(frozen=True)
class TrialRows:
    """With which rows a file is compared.

    Attributes:
        rows: how many.
        spans: standard deviations of the rows in the coordinates: of most the usual one, of some far outside.
        beyond: share of their range by which covariates leave it on either side.
        at_once: rows that are given to the file at once, at most.
    """

    rows: int = 10_000
    spans: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 3.0, 30.0)
    beyond: float = 0.25
    at_once: int = 2048


TRIAL = TrialRows()


@dataclasses.dataclass(frozen=True)
class Trial:
    """Inputs of a file, and what they stand for.

    Attributes:
        inputs: as the file takes them.
        index: of the conditions as the map knows them, or None.
    """

    inputs: tuple[Tensor, ...]
    index: Tensor | None

    def blocks(self, most: int) -> Iterator[Trial]:
        """Yield so many rows at a time."""
        for first in range(0, len(self.inputs[0]), most):
            yield self.rows(slice(first, first + most))

    def rows(self, part: slice) -> Trial:
        """Return some of the rows."""
        index = None if self.index is None else self.index[part]
        return Trial(tuple(each[part] for each in self.inputs), index)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A map to be exported.

    Attributes:
        transport: a copy on the CPU, that takes no gradients.
        what: "map" or "potential".
        dtype: of inputs and outputs.
    """

    transport: Exportable
    what: str
    dtype: torch.dtype

    @classmethod
    def of(cls, transport: Exportable, what: str, dtype: torch.dtype) -> Subject:
        """Return a map as it is exported; the map itself stays as and where it is."""
        twin = copy.copy(transport)
        twin.network = copy.deepcopy(transport.network).eval().requires_grad_(False)
        return cls(twin.to("cpu"), what, dtype)

    def function(self) -> RowFunction:
        """Return the function that a file is to hold."""
        kind = MapFunction if self.what == "map" else InnerFunction
        trial = self.trial(1)
        conditions = getattr(self.transport, "conditions", None)
        known = None if conditions is None else tensor_conditions(conditions)
        return kind(self._rows(trial.index), known, self.dtype)

    @usual_modes(gradients=False)
    def trial(self, n: int, seed: int = 0) -> Trial:
        """Return random rows: usual ones of the source (or of both sides), and some that lie far outside."""
        generator = torch.Generator().manual_seed(seed)
        given, index = self._conditions(n, generator)
        d = self.transport.dim
        points = [
            torch.randn(n, d, generator=generator, dtype=torch.float64)
            for _ in range(2)
        ]
        span = _spans(n).unsqueeze(-1)
        decoded = []
        for first in range(0, n, self.rows_at_once):
            part = slice(first, first + self.rows_at_once)
            own = self._rows(None if index is None else index[part]).coordinates
            u, w = (own_points[part] * span[part] for own_points in points)
            rows = own.decode_source(u) if self.what == "map" else own.decode_target(w)
            decoded.append(rows)
        moved = torch.cat(decoded)
        inputs = [moved] if self.what == "map" else [points[0] * span, moved]
        typed = [each.to(self.dtype) for each in inputs]
        return Trial((*typed, *given), index)

    @usual_modes(gradients=False)
    def expected(self, trial: Trial, double: bool = False) -> Outputs:
        """Return what the library gives for inputs, or would if the network had double precision."""
        rows = self._rows(trial.index)
        if double:
            network = copy.deepcopy(rows.network).double()
            rows = dataclasses.replace(rows, network=network)
        first, *others = (each.double() for each in trial.inputs)
        if self.what == "map":
            found: Outputs = (rows.forward(first),)
        else:
            found = inner_parts(rows, first, others[0], by_hand)
        return tuple(each.to(self.dtype) for each in found)

    @staticmethod
    def usual(n: int) -> Tensor:
        """Say which of so many rows of a trial are usual ones: (n,)."""
        return _spans(n) == min(TRIAL.spans)

    @property
    def rows_at_once(self) -> int:
        """How many rows are worked on at once."""
        if not hasattr(self.transport, "conditions"):
            return TRIAL.at_once
        return min(TRIAL.at_once, rows_encoded_at_once(self.transport.dim))

    @property
    def coordinates(self) -> Coordinates:
        """Those of the map."""
        return self.transport.coordinates

    def _rows(self, index: Tensor | None) -> AnyRowMap:
        """Return the map of rows with these conditions."""
        if index is None:
            return self.transport.rows()  # type: ignore[union-attr]
        return self.transport.row_map(index)  # type: ignore[union-attr]

    def _conditions(
        self, n: int, generator: torch.Generator
    ) -> tuple[Sequence[Tensor], Tensor | None]:
        """Return random conditions of rows as a file takes them, and as the map knows them."""
        conditions = getattr(self.transport, "conditions", None)
        if isinstance(conditions, Classes):
            numbers = torch.randint(len(conditions.labels), (n,), generator=generator)
            return [numbers], numbers
        if isinstance(conditions, Covariates):
            low, high = conditions.low, conditions.high
            share = torch.rand(n, len(low), generator=generator, dtype=torch.float64)
            share = share * (1 + 2 * TRIAL.beyond) - TRIAL.beyond
            values = (low + share * (high - low)).to(self.dtype)
            return [values], conditions.scaled(values.double())
        return [], None


def _spans(n: int) -> Tensor:
    """Return by how much every one of n rows is spread: (n,)."""
    spans = torch.tensor(TRIAL.spans, dtype=torch.float64)
    return spans[torch.arange(n) % len(spans)]
