"""The transport map: what comes out of training, ready to be called, inverted, measured and interpolated.

forward   T(x) = x + grad g(x)
inverse   T^{-1}(z) = argmin_y |y - z|^2/2 + g(y)
between   x_t = (1 - t) x + t T(x)          displacement interpolation (McCann, 1997)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from brenier.datasets import CheckedSamples, TableLike, WeightsLike, read, read_weights
from brenier.errors import ConvergenceWarning, DataError, warn
from brenier.potentials import Potential
from brenier.solve import BFGS, Method, Solution
from brenier.statistics import RowWeights
from brenier.transport.coordinates import Coordinates, identity_coordinates
from brenier.transport.maps.batched import in_batches, with_solutions
from brenier.transport.maps.cross_fit import AffinePart, combined
from brenier.transport.maps.distance import Distance, Measured
from brenier.transport.maps.inverse import InverseSolver, Starts
from brenier.transport.maps.rows import RowMap

WithSolution = Callable[[Tensor], tuple[Tensor, Solution]]


class TransportMap:
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
        start_rows: (k, d), source rows in the coordinates; inverse problems start at the best of z and these, which
            matters where F has several minima. Of no rows, (0, d), they start at z. With None, and a psi that is not
            certainly convex, rows of a batch are solved a second time from the minima found for others: that serves
            nearly as well, costs twice as much, and depends on the batch. No rows are saved as None.

    Raises:
        DataError: where the rows are not (k, d).
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
        held_out_distance: Distance | None = None,
        start_rows: Tensor | None = None,
    ) -> None:
        parameter = next(potential.parameters())
        coordinates = coordinates or identity_coordinates(potential.dim)
        self.network = potential
        self.coordinates = coordinates.to(parameter.device)
        self.dim = coordinates.dim
        self.method, self.tol, self.max_steps = method or BFGS(), tol, max_steps
        self.batch_size, self.held_out_distance = batch_size, held_out_distance
        self.start_rows = checked_rows(start_rows, potential)
        self._type = parameter.dtype

    def __call__(self, x: TableLike) -> Any:
        """Return T(x): (n, d) -> (n, d)."""
        samples = self._read(x, "x")
        moved = self._in_batches(
            self._rows().forward, samples, samples.dtype, keep_graph=True
        )
        return samples.restore(moved)

    def inverse(self, z: TableLike, return_solution: bool = False) -> Any:
        """Return T^{-1}(z): (n, d) -> (n, d), and on request the `Solution` (in the map's coordinates).

        Rows that did not converge keep their best iterate; without `return_solution` a `ConvergenceWarning` says so.
        """
        samples = self._read(z, "z")
        points, solution = self._solved(
            self._rows().backward, samples, samples.dtype, keep_graph=True
        )
        if return_solution:
            return samples.restore(points), solution
        warn_unconverged(solution)
        return samples.restore(points)

    def interpolate(self, x: TableLike, t: float) -> Any:
        """Return (1 - t) x + t T(x): (n, d), for t in [0, 1]; other t extrapolate.

        Raises:
            DataError: where t is not a finite number.
        """
        t = finite_time(t)
        samples, rows = self._read(x, "x"), self._rows()
        between = self._in_batches(
            lambda x: rows.between(x, t), samples, samples.dtype, keep_graph=True
        )
        return samples.restore(between)

    def potential(self, x: TableLike) -> Any:
        """Return g(x), with T(x) = x + s^2 grad g(x) for the feature units s: (n,).

        Where all features share one unit, g is in squared units of the data and T(x) = x + grad g(x).
        """
        samples, rows = self._read(x, "x"), self._rows()
        scale = self.coordinates.squared_unit()
        found = self._in_batches(
            lambda x: -scale * rows.phi(x), samples, samples.dtype, keep_graph=True
        )
        return samples.restore(found)

    def cost(self, x: TableLike) -> Any:
        """Return c(x, T(x)) = |x - T(x)|^2/2 in the units of the data, or in feature units where those differ: (n,)."""
        samples, rows = self._read(x, "x"), self._rows()
        scale = self.coordinates.squared_unit()
        found = self._in_batches(
            lambda x: scale * rows.cost(x), samples, samples.dtype, keep_graph=True
        )
        return samples.restore(found)

    def dual_terms(self, x: TableLike, z: TableLike) -> tuple[Tensor, Tensor, Solution]:
        """Return phi(x) (n,), phi^c(z) (m,) in cost units, float64, and how the inner solves went.

        The sum of their means estimates the dual value of W2^2/2.
        """
        return self.phi(x), *self.phi_c(z)

    def phi(self, x: TableLike) -> Tensor:
        """Return the terms of the source in cost units, float64: (n,)."""
        return self._in_batches(self._rows().phi, self._read(x, "x"))

    def phi_c(self, z: TableLike) -> tuple[Tensor, Solution]:
        """Return the terms of the target in cost units, float64 (m,), and how the inner solves went."""
        return self._solved(self._rows().phi_c, self._read(z, "z"))

    def distance(
        self,
        x: TableLike | None = None,
        z: TableLike | None = None,
        *,
        source_weight: WeightsLike | None = None,
        target_weight: WeightsLike | None = None,
    ) -> Distance:
        """Return W2 with its bounds and standard errors, from the samples given, else as measured on held-out ones.

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
    ) -> Distance:
        """Return the distance on samples.

        Args:
            x, z: (n, d), (m, d), source and target samples.
            held_out: whether training has not seen them.
            affine: what is known of the affine part of the dual value from more rows, these in front.
            weights: (n,), (m,), of the samples, None where they count alike.
        """
        source, target = self._read(x, "x"), self._read(z, "z")
        phi = self.phi(source)
        phi_c, solution = self.phi_c(target)
        measured = Measured(
            phi=phi,
            phi_c=phi_c,
            cost=self._in_batches(self._rows().cost, source),
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

    def _rows(self) -> RowMap:
        """Return the map of rows in memory."""
        starts = Starts(self.network, self.start_rows)
        solver = InverseSolver(self.method, self.tol, self.max_steps, starts)
        return RowMap(self.network, self.coordinates, solver)

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


def checked_rows(rows: Tensor | None, potential: Potential) -> Tensor | None:
    """Return rows at which inverse problems start as the potential takes them, or None where there are none.

    Raises:
        DataError: where they are not (k, d), as the potential's points are.
    """
    if rows is None:
        return None
    if rows.ndim != 2 or rows.shape[1] != potential.dim:
        raise DataError(
            f"start_rows: must be (k, {potential.dim}), in the coordinates of the map, got {tuple(rows.shape)}"
        )
    return rows.detach().to(next(potential.parameters()))


def finite_time(t: float) -> float:
    """Return the time of an interpolation, checked.

    Raises:
        DataError: where it is not a finite number.
    """
    if not math.isfinite(t):
        raise DataError(f"t: must be a finite number, got {t}; 0 gives x, 1 gives T(x)")
    return float(t)


def warn_unconverged(solution: Solution) -> None:
    """Warn, on behalf of an inverse, where rows did not converge."""
    if solution.unconverged:
        warn(f"inverse: {solution.report()}", ConvergenceWarning)
