"""The conditional transport map: one map per label, or per value of covariates, from one network.

Rows of all conditions are moved together as conditioned points (see `brenier.potentials.conditional`); the map of one
condition is an ordinary `TransportMap`, and everything that takes one takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from brenier.datasets import CheckedSamples, LabelsLike, TableLike, WeightsLike, read
from brenier.errors import DataError
from brenier.potentials import Conditional, Potential, usual_modes
from brenier.solve import BFGS, Method, Solution
from brenier.transport.coordinates import (
    Classes,
    Conditions,
    Coordinates,
    Covariates,
    rows_encoded_at_once,
)
from brenier.transport.dual import StartSettings
from brenier.transport.maps.arguments import (
    by_partitions,
    checked_rows,
    finite_time,
    warn_unconverged,
)
from brenier.transport.maps.batched import in_batches, with_solutions
from brenier.transport.maps.density import ConditionalDensity
from brenier.transport.maps.distance import Distance
from brenier.transport.maps.export import MapExport
from brenier.transport.maps.inverse import InverseSolver, Starts
from brenier.transport.maps.map import TransportMap
from brenier.transport.maps.rows import RowMap

ConditionsLike: TypeAlias = (
    LabelsLike | TableLike
)  # labels or covariates, one per row or one for all


class ConditionalMap(MapExport, ConditionalDensity):
    """Optimal transport maps given a condition, a label or covariates, from one potential network.

    Wherever a condition is asked for, give labels (n,) or covariates (n, p), one per row, or one for all rows. Graphs
    are kept as `TransportMap` says, to x or z, not to the condition.

    Args:
        potential: of conditioned points, in the coordinates of their conditions.
        conditions: the classes or covariates, with their embeddings and coordinates.
        method, tol, max_steps, batch_size: as for `TransportMap`.
        held_out_distance: per class the distance measured on held-out samples at fit time, where there were any.
        pooled_distance: the distance over all values of covariates, as measured then, if it was.
        start_rows: (k, d + e), source rows as conditioned points, as for `TransportMap`.

    Raises:
        DataError: where the potential is none of conditioned points, or the rows are none.
    """

    def __init__(
        self,
        potential: Potential,
        conditions: Conditions,
        *,
        method: Method | None = None,
        tol: float = 1e-4,
        max_steps: int = 500,
        batch_size: int = 8192,
        held_out_distance: Mapping[int, Distance] | None = None,
        pooled_distance: Distance | None = None,
        start_rows: Tensor | None = None,
    ) -> None:
        if not isinstance(potential, Conditional):
            found = type(potential).__name__
            raise DataError(f"potential: must be a `Conditional`, got {found}")
        self.network, self.conditions = potential, conditions
        self.dim = potential.transport_dim
        self.method, self.tol, self.max_steps = method or BFGS(), tol, max_steps
        self.batch_size = batch_size
        self.held_out_distance = dict(held_out_distance or {})
        self.pooled_distance = pooled_distance
        self.fitted_supports = {}
        if start_rows is None and isinstance(conditions, Covariates):
            # Training starts at rows of like values alone: other basins need not be those of the source.
            start_rows = next(potential.parameters()).new_empty(0, potential.dim)
        self.start_rows = checked_rows(start_rows, potential)

    @property
    def coordinates(self) -> Coordinates:
        """The coordinates of all classes, or knots, with these in front of what differs from one to the next."""
        return self.conditions.coordinates

    def unit_of_values(self) -> float:
        """Return the factor from values in the coordinates to costs as they are reported."""
        return self.coordinates.squared_unit()

    @property
    def labels(self) -> tuple[Hashable, ...]:
        """The classes; none where the conditions are covariates."""
        return self.conditions.labels if isinstance(self.conditions, Classes) else ()

    def at(self, condition: Hashable | TableLike) -> TransportMap:
        """Return the map of one condition, with its ordinary potential and coordinates; weights are shared with this.

        Raises:
            DataError: where the label is unknown.
        """
        with usual_modes(gradients=False):
            index = self.conditions.encode_index([condition], self.conditions.kind, 1)
        return self.at_index(index[0])

    def at_index(self, index: Tensor) -> TransportMap:
        """Return the map of a class by its number, or of covariates scaled (p,)."""
        with usual_modes(gradients=False):
            embedding = self.conditions.embedding(index.unsqueeze(0))[0]
            coordinates = self.conditions.at(index)
        parameter = next(self.network.parameters())
        potential = self.network.condition_on(embedding.to(parameter)).eval()
        found = None
        if isinstance(self.conditions, Classes):
            found = self.held_out_distance.get(int(index))
        return TransportMap(
            potential,
            coordinates,
            method=self.method,
            tol=self.tol,
            max_steps=self.max_steps,
            batch_size=self.batch_size,
            held_out_distance=found,
            start_rows=self._start_rows_at(potential.code),
        )

    @by_partitions
    def __call__(self, x: TableLike, condition: ConditionsLike) -> Any:
        """Return T(x) given the condition, row by row: (n, d) -> (n, d)."""
        samples = self._read(x, "x")
        moved = self._at_index(
            RowMap.forward,
            samples,
            self._index(condition, samples),
            samples.dtype,
            keep_graph=True,
        )
        return samples.restore(moved)

    @by_partitions
    def inverse(
        self, z: TableLike, condition: ConditionsLike, return_solution: bool = False
    ) -> Any:
        """Return T^{-1}(z) given the condition, row by row: (n, d) -> (n, d), and on request the `Solution`.

        Rows that did not converge keep their best iterate; without `return_solution` a `ConvergenceWarning` says so.
        """
        samples = self._read(z, "z")
        index = self._index(condition, samples)
        points, solution = self._solved(
            RowMap.backward, samples, index, samples.dtype, keep_graph=True
        )
        if return_solution:
            return samples.restore(points), solution
        warn_unconverged(solution)
        return samples.restore(points)

    @by_partitions
    def interpolate(self, x: TableLike, condition: ConditionsLike, t: float) -> Any:
        """Return (1 - t) x + t T(x): (n, d), for t in [0, 1]; other t extrapolate.

        Raises:
            DataError: where t is not a finite number.
        """
        t = finite_time(t)
        samples = self._read(x, "x")
        between = self._at_index(
            lambda rows, x: rows.between(x, t),
            samples,
            self._index(condition, samples),
            samples.dtype,
            keep_graph=True,
        )
        return samples.restore(between)

    def dual_terms(
        self,
        x: TableLike,
        z: TableLike,
        x_condition: ConditionsLike,
        z_condition: ConditionsLike,
    ) -> tuple[Tensor, Tensor, Solution]:
        """Return phi(x) (n,), phi^c(z) (m,) in cost units, float64, and how the inner solves went."""
        source, target = self._read(x, "x"), self._read(z, "z")
        phi = self._at_index(RowMap.phi, source, self._index(x_condition, source))
        return phi, *self._solved(
            RowMap.phi_c, target, self._index(z_condition, target)
        )

    def phi_at(self, x: TableLike, index: Tensor) -> Tensor:
        """Return the terms of the source in cost units, float64, at the index of each row's condition: (n,)."""
        return self._at_index(RowMap.phi, self._read(x, "x"), index)

    def phi_c_at(self, z: TableLike, index: Tensor) -> tuple[Tensor, Solution]:
        """Return the terms of the target in cost units, float64 (m,), and how the inner solves went."""
        return self._solved(RowMap.phi_c, self._read(z, "z"), index)

    def cost_at(self, x: TableLike, index: Tensor) -> Tensor:
        """Return c(x, T(x)) in cost units, float64, at the index of each row's condition: (n,)."""
        return self._at_index(RowMap.cost, self._read(x, "x"), index)

    def distance(
        self,
        condition: Hashable | TableLike | None = None,
        x: TableLike | None = None,
        z: TableLike | None = None,
        *,
        source_weight: WeightsLike | None = None,
        target_weight: WeightsLike | None = None,
    ) -> Distance:
        """Return W2 given a condition, from samples of it, else of a class as measured on held-out ones.

        With covariates and no condition it is the distance over all values, (E over c of W2(mu_c, nu_c)^2)^(1/2), as
        measured on held-out samples.

        Args:
            condition: a label, or covariates; None as told.
            x, z: (n, d), (m, d), samples of it, or None.
            source_weight, target_weight: of the samples, as for `TransportMap.distance`.

        Raises:
            DataError: where the label is unknown, or nothing was held out for the condition and no samples are given.
        """
        kind = self.conditions.kind
        if condition is None:
            if x is None and z is None and self.pooled_distance is not None:
                return self.pooled_distance
            if x is None and z is None and kind == "covariates":
                raise DataError(
                    "covariates: the distance over all their values was not measured (models of 0.1 have none); fit "
                    "again, or measure it at one value c on samples of it, `map_.distance(c, x, z)`"
                )
            raise DataError(
                f"{kind}: the map was fitted with {kind}; say at which the distance is wanted"
            )
        transport = self.at(condition)
        if x is None and z is None and transport.held_out_distance is None:
            raise DataError(
                f"x, z: no samples of {condition!r} were held out; give source and target samples of it"
            )
        weights = {"source_weight": source_weight, "target_weight": target_weight}
        return transport.distance(x, z, **weights)

    def contradiction(self) -> str | None:
        """Return how the figures measured at fit time contradict each other, of the first class where they do."""
        if self.pooled_distance is not None:
            return self.pooled_distance.contradiction
        for key, found in self.held_out_distance.items():
            if found.contradiction:
                return f"in class {self.labels[key]!r} {found.contradiction}"
        return None

    def to(self, device: torch.device | str) -> ConditionalMap:
        """Move the map to a device, and return it."""
        self.network.to(device)
        self.conditions = self.conditions.to(device)
        if self.start_rows is not None:
            self.start_rows = self.start_rows.to(device)
        return self

    def row_map(self, index: Tensor) -> RowMap:
        """Return the map of rows in memory, each at the index of its condition (n, ...)."""
        return self._row_map(index, self._solver())

    def _row_map(self, index: Tensor, solver: InverseSolver) -> RowMap:
        return RowMap(self.network, self.conditions.side(index), solver)

    def _solver(self) -> InverseSolver:
        starts = Starts(self.network, self.start_rows)
        return InverseSolver(self.method, self.tol, self.max_steps, starts)

    def _start_rows_at(self, code: Tensor) -> Tensor | None:
        """Return the kept rows whose condition has this code (e,), or one next to it: where training started.

        Where values of covariates are all different there may be none: (0, d). Inverses then start at z alone.
        """
        if self.start_rows is None:
            return None
        rows, codes = self.start_rows.tensor_split([self.dim], -1)
        settings = StartSettings()
        penalty = settings.condition_penalty * (codes - code).square().sum(-1)
        return rows[penalty < settings.bearable_penalty]

    def _read(self, values: TableLike, name: str) -> CheckedSamples:
        return read(values, name, self.dim, min_rows=0)

    def _index(self, condition: ConditionsLike, samples: CheckedSamples) -> Tensor:
        """Return the index of every row's condition, checked."""
        with usual_modes(gradients=False):
            return self.conditions.encode_index(
                condition, self.conditions.kind, samples.shape[0]
            )

    def _at_index(
        self,
        function: Callable[[RowMap, Tensor], Tensor],
        samples: CheckedSamples,
        index: Tensor,
        dtype: torch.dtype = torch.float64,
        keep_graph: bool = False,
    ) -> Tensor:
        """Apply a function of a map of rows batch by batch, each row in the coordinates of its condition."""
        solver = self._solver()

        def of_rows(rows: Tensor, place: slice) -> Tensor:
            return function(self._row_map(index[place], solver), rows)

        return in_batches(
            of_rows,
            samples,
            min(self.batch_size, rows_encoded_at_once(self.dim)),
            self.coordinates.unit.device,
            next(self.network.parameters()).dtype,
            dtype,
            keep_graph,
        )

    def _solved(
        self,
        function: Callable[[RowMap, Tensor], tuple[Tensor, Solution]],
        samples: CheckedSamples,
        index: Tensor,
        dtype: torch.dtype = torch.float64,
        keep_graph: bool = False,
    ) -> tuple[Tensor, Solution]:
        """Apply a function that solves inner problems; return its results, and how the solves went."""
        return with_solutions(
            function,
            lambda solve: self._at_index(solve, samples, index, dtype, keep_graph),
        )
