"""The transport map: what comes out of training, ready to be called, inverted, measured and interpolated.

forward   T(x) = x + grad g(x)
inverse   T^{-1}(z) = argmin_y |y - z|^2/2 + g(y)
between   x_t = (1 - t) x + t T(x)          displacement interpolation (McCann, 1997)

for the squared distance; for other costs see `cost_rows`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from brenier.datasets import CheckedSamples, TableLike, WeightsLike, read, read_weights
from brenier.errors import DataError
from brenier.potentials import Potential
from brenier.solve import Method, Solution
from brenier.statistics import RowWeights
from brenier.transport.coordinates import Coordinates, identity_coordinates
from brenier.transport.costs import SquaredEuclidean
from brenier.transport.dual import usual_method
from brenier.transport.maps.arguments import (
    by_partitions,
    checked_rows,
    finite_time,
    warn_unconverged,
)
from brenier.transport.maps.batched import in_batches, with_solutions
from brenier.transport.maps.cost_distance import CostDistance
from brenier.transport.maps.cost_rows import CostRowMap
from brenier.transport.maps.cross_fit import AffinePart, combined
from brenier.transport.maps.density import MapDensity
from brenier.transport.maps.distance import Distance, Measured
from brenier.transport.maps.export import MapExport
from brenier.transport.maps.ground import (
    Ground,
    MapTerms,
    check_plain,
    measured_cost,
)
from brenier.transport.maps.inverse import InverseSolver, Starts
from brenier.transport.maps.rows import RowMap

WithSolution = Callable[[Tensor], tuple[Tensor, Solution]]


class TransportMap(MapExport, MapDensity):
    """An optimal transport map between x- and z-samples, from one potential.

    Arrays, tensors and frames are accepted everywhere and come back as the same kind; rows are worked on in batches, so
    memory stays bounded. Where x or z is a tensor that requires a gradient, `__call__`, `inverse`, `interpolate`,
    `potential` and `cost` keep the graph to it, not to the parameters: of any order, that of `inverse` of the first, by
    the implicit function theorem. Under `torch.no_grad` there is none.

    Args:
        potential: g, in the given coordinates.
        coordinates: affine coordinates of both sides; those of the data themselves by default.
        method: inner solver of the inverse, `BFGS()` by default.
        tol: bound on the inner residual in the coordinates, where the average feature has variance one; rows more than
            one standard deviation out are held to this share of their distance.
        max_steps: inner steps after which a row is reported as unconverged.
        batch_size: rows per batch.
        held_out_distance: the distance measured on held-out samples at fit time, if any.
        ground: the cost and the mass, where these are not the squared distance and balanced; the coordinates then only
            centre and scale, both sides alike.
        start_rows: (k, d), source rows in the coordinates; inverse problems start at the best of z and these, which
            matters where F has several minima. Of no rows, (0, d), they start at z. With None, and a psi that is not
            certainly convex, rows of a batch are solved a second time from the minima found for others: that serves
            nearly as well, costs twice as much, and depends on the batch. No rows are saved as None.

    Raises:
        DataError: where the rows are not (k, d), or coordinates would change the cost.
    """

    def __init__(
        self,
        potential: Potential,
        coordinates: Coordinates | None = None,
        *,
        method: Method | None = None,
        tol: float = 1e-4,
        max_steps: int = 500,
        batch_size: int = 8192,
        held_out_distance: Distance | CostDistance | None = None,
        ground: Ground | None = None,
        start_rows: Tensor | None = None,
    ) -> None:
        parameter = next(potential.parameters())
        coordinates = coordinates or identity_coordinates(potential.dim)
        self.network = potential
        self.coordinates = coordinates.to(parameter.device)
        self.dim = coordinates.dim
        self.ground = None if ground is None else check_plain(ground, coordinates)
        self.method = method or usual_method(None if ground is None else ground.cost)
        self.tol, self.max_steps = tol, max_steps
        self.batch_size, self.held_out_distance = batch_size, held_out_distance
        self.start_rows = checked_rows(start_rows, potential)
        self._type = parameter.dtype

    @by_partitions
    def __call__(self, x: TableLike) -> Any:
        """Return T(x): (n, d) -> (n, d)."""
        samples = self._read(x, "x")
        moved = self._in_batches(
            self.rows().forward, samples, samples.dtype, keep_graph=True
        )
        return samples.restore(moved)

    @by_partitions
    def inverse(self, z: TableLike, return_solution: bool = False) -> Any:
        """Return T^{-1}(z): (n, d) -> (n, d), and on request the `Solution` (in the map's coordinates).

        Rows that did not converge keep their best iterate; without `return_solution` a `ConvergenceWarning` says so.
        """
        samples = self._read(z, "z")
        points, solution = self._solved(
            self.rows().backward, samples, samples.dtype, keep_graph=True
        )
        if return_solution:
            return samples.restore(points), solution
        warn_unconverged(solution)
        return samples.restore(points)

    @by_partitions
    def interpolate(self, x: TableLike, t: float) -> Any:
        """Return (1 - t) x + t T(x): (n, d), for t in [0, 1]; other t extrapolate.

        Raises:
            DataError: where t is not a finite number.
        """
        t = finite_time(t)
        samples, rows = self._read(x, "x"), self.rows()
        between = self._in_batches(
            lambda x: rows.between(x, t), samples, samples.dtype, keep_graph=True
        )
        return samples.restore(between)

    def potential(self, x: TableLike) -> Any:
        """Return g(x), with T(x) = x + s^2 grad g(x) for the feature units s: (n,).

        Where all features share one unit, g is in squared units of the data and T(x) = x + grad g(x). Of another cost
        c(x, z) = h(z - x) it is in its units, and T(x) = x + grad h*(grad g(x)).
        """
        samples, rows = self._read(x, "x"), self.rows()
        scale = self.unit_of_values()
        found = self._in_batches(
            lambda x: -scale * rows.phi(x), samples, samples.dtype, keep_graph=True
        )
        return samples.restore(found)

    def cost(self, x: TableLike) -> Any:
        """Return c(x, T(x)), the cost of moving every row: (n,).

        By default |x - T(x)|^2/2 in the units of the data, or in feature units where those differ.
        """
        samples, rows = self._read(x, "x"), self.rows()
        scale = self.unit_of_values()
        found = self._in_batches(
            lambda x: scale * rows.cost(x), samples, samples.dtype, keep_graph=True
        )
        return samples.restore(found)

    def growth(self, x: TableLike) -> Any:
        """Return how much of each source row's mass is transported, one everywhere where mass is balanced: (n,)."""
        samples, rows = self._read(x, "x"), self.rows()
        found = self._in_batches(
            lambda x: self._ground().growth(rows.phi(x)), samples, samples.dtype
        )
        return samples.restore(found)

    def explained(self, z: TableLike) -> Any:
        """Return how much of each target row's mass is explained, one everywhere where mass is balanced: (m,)."""
        samples = self._read(z, "z")
        found, solution = self.phi_c(samples)
        warn_unconverged(solution)
        return samples.restore(self._ground().explained(found).to(samples.dtype))

    def dual_terms(self, x: TableLike, z: TableLike) -> tuple[Tensor, Tensor, Solution]:
        """Return phi(x) (n,), phi^c(z) (m,) in cost units, float64, and how the inner solves went.

        The sum of their means estimates the dual value of W2^2/2.
        """
        return self.phi(x), *self.phi_c(z)

    def phi(self, x: TableLike) -> Tensor:
        """Return the terms of the source in cost units, float64: (n,)."""
        return self._in_batches(self.rows().phi, self._read(x, "x"))

    def phi_c(self, z: TableLike) -> tuple[Tensor, Solution]:
        """Return the terms of the target in cost units, float64 (m,), and how the inner solves went."""
        return self._solved(self.rows().phi_c, self._read(z, "z"))

    def distance(
        self,
        x: TableLike | None = None,
        z: TableLike | None = None,
        *,
        source_weight: WeightsLike | None = None,
        target_weight: WeightsLike | None = None,
    ) -> Any:
        """Return W2 with its bounds and standard errors, from the samples given, else as measured on held-out ones.

        Of another cost than the squared distance, or of unbalanced mass, the transport cost OT_c.

        Args:
            x, z: (n, d), (m, d), or None.
            source_weight, target_weight: (n,), (m,), how much each row counts; alike by default.

        Raises:
            DataError: for weights that cannot be used, or without samples; where only one of x and z is given, or
                neither and the map was not fitted with held-out samples.
        """
        weighted = source_weight is not None or target_weight is not None
        measured = None if weighted else self.held_out_distance
        if x is None and z is None and measured is not None:
            return measured
        if x is None or z is None:
            if weighted:
                raise DataError(
                    "source_weight, target_weight: are of samples; give x and z as well"
                )
            raise DataError(
                "x, z: give both source and target samples; this map carries no held-out measurement"
            )
        source, target = self._read(x, "x"), self._read(z, "z")
        weights = (
            read_weights(source_weight, "source_weight", source.shape[0]),
            read_weights(target_weight, "target_weight", target.shape[0]),
        )
        return self.measure(source, target, held_out=False, weights=weights)

    def measure(
        self,
        x: TableLike,
        z: TableLike,
        held_out: bool,
        affine: AffinePart | None = None,
        weights: RowWeights = (None, None),
    ) -> Any:
        """Return the distance on samples, a `Distance`, or a `CostDistance` where there is a `ground`.

        Args:
            x, z: (n, d), (m, d), source and target samples.
            held_out: whether training has not seen them.
            affine: what is known of the affine part of the dual value from more rows, these in front.
            weights: (n,), (m,), of the samples, None where they count alike.
        """
        source, target = self._read(x, "x"), self._read(z, "z")
        phi = self.phi(source)
        phi_c, solution = self.phi_c(target)
        cost = self._in_batches(self.rows().cost, source)
        if self.ground is not None:
            certain = Starts(self.network, cost=self.ground.cost).one_minimum
            terms = MapTerms(phi, phi_c, cost, solution, weights)
            return measured_cost(self.ground, terms, certain, held_out)
        measured = Measured(
            phi=phi,
            phi_c=phi_c,
            cost=cost,
            residual=solution.residual,
            unconverged=solution.unconverged,
            strong_convexity=self.network.strong_convexity(),
            weights=weights,
        )
        if affine is None:
            return measured.distance(self.coordinates, held_out=held_out)
        rows = source.rows(0, source.shape[0]), target.rows(0, target.shape[0])
        gains = affine.gains(rows, (phi, phi_c))
        return measured.distance(
            self.coordinates,
            held_out=held_out,
            dual=combined(affine.terms, gains),
            affine_rows=affine.rows,
            gain_counted=gains is not None,
            worth=affine.worth,
        )

    def contradiction(self) -> str | None:
        """Return how the figures measured at fit time contradict each other, or None (see `Distance`)."""
        found = self.held_out_distance
        return None if found is None else found.contradiction

    def to(self, device: torch.device | str) -> TransportMap:
        """Move the map to a device, and return it."""
        self.network.to(device)
        self.coordinates = self.coordinates.to(device)
        if self.start_rows is not None:
            self.start_rows = self.start_rows.to(device)
        return self

    def unit_of_values(self) -> float:
        """Return the factor from g in the coordinates to costs as they are reported, one where there is a `ground`."""
        return 1.0 if self.ground is not None else self.coordinates.squared_unit()

    def _ground(self) -> Ground:
        """Return the cost and the mass, whatever they are."""
        return self.ground or Ground(SquaredEuclidean())

    def rows(self) -> RowMap | CostRowMap:
        """Return the map of rows in memory."""
        cost = None if self.ground is None else self.ground.scaled(self.coordinates)
        starts = Starts(self.network, self.start_rows, cost)
        solver = InverseSolver(self.method, self.tol, self.max_steps, starts, cost)
        if cost is None:
            return RowMap(self.network, self.coordinates, solver)
        reach = self._ground().reach_in(self.coordinates)
        return CostRowMap(self.network, self.coordinates, cost, solver, reach)

    def _read(self, values: TableLike, name: str) -> CheckedSamples:
        return read(values, name, self.dim, min_rows=0)

    def _in_batches(
        self,
        function: Callable[[Tensor], Tensor],
        samples: CheckedSamples,
        dtype: torch.dtype = torch.float64,
        keep_graph: bool = False,
    ) -> Tensor:
        """Apply a function of rows batch by batch, into one tensor of the given type."""
        return in_batches(
            lambda rows, _: function(rows),
            samples,
            self.batch_size,
            self.coordinates.unit.device,
            self._type,
            dtype,
            keep_graph,
        )

    def _solved(
        self,
        function: WithSolution,
        samples: CheckedSamples,
        dtype: torch.dtype = torch.float64,
        keep_graph: bool = False,
    ) -> tuple[Tensor, Solution]:
        """Apply a function of rows that solves inner problems; return its results, and how the solves went."""
        return with_solutions(
            function, lambda solve: self._in_batches(solve, samples, dtype, keep_graph)
        )
