"""The conditional transport map: one map per label, or per value of covariates, from one network.

Rows of all conditions are moved together as conditioned points (see `potentials.conditional`); the map of one condition
is an ordinary `TransportMap`, and everything that takes one takes it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch
from torch import Tensor

from brenier.datasets import CheckedSamples, read
from brenier.errors import DataError
from brenier.potentials import Conditional, Potential
from brenier.solve import BFGS, Method, Solution
from brenier.transport.coordinates import Classes, Covariates, moved_at_once
from brenier.transport.maps.distance import Distance
from brenier.transport.maps.map import TransportMap, warn_unconverged


class ConditionalMap:
    """Optimal transport maps given a condition, a label or covariates, from one potential network.

    Wherever a condition is asked for, give labels (n,) or covariates (n, p), one per row, or one for all rows.

    Args:
        potential: of conditioned points, in the coordinates of their conditions.
        conditions: the classes or covariates, with their codes and coordinates.
        method, tol, max_steps, batch_size: as for `TransportMap`.
        held_out: per class the distance measured on held-out samples at fit time, where there were any.
    """

    def __init__(
        self,
        potential: Potential,
        conditions: Classes | Covariates,
        *,
        method: Method | None = None,
        tol: float = 1e-4,
        max_steps: int = 500,
        batch_size: int = 8192,
        held_out: Mapping[int, Distance] | None = None,
    ) -> None:
        if not isinstance(potential, Conditional):
            raise DataError(
                f"potential: must be a `Conditional`, got {type(potential).__name__}"
            )
        self.network, self.conditions, self.dim = (
            potential,
            conditions,
            potential.transport_dim,
        )
        self.method, self.tol, self.max_steps, self.batch_size = (
            method or BFGS(),
            tol,
            max_steps,
            batch_size,
        )
        self.held_out_distance = dict(held_out or {})

    @property
    def coordinates(self) -> Any:
        """The coordinates of all classes, or knots, with these in front of what differs from one to the next."""
        return self.conditions.coordinates

    @property
    def labels(self) -> tuple[Hashable, ...]:
        """The classes; none where the conditions are covariates."""
        return self.conditions.labels if isinstance(self.conditions, Classes) else ()

    def at(self, condition: Any) -> TransportMap:
        """Return the map of one condition, with its ordinary potential and coordinates; weights are shared with this.

        Raises:
            DataError: where the label is unknown.
        """
        return self.of(self.conditions.keys([condition], self.conditions.word, 1)[0])

    def of(self, key: Tensor) -> TransportMap:
        """Return the map of a class by its number, or of covariates scaled (p,)."""
        code = self.conditions.code(key.unsqueeze(0))[0].to(
            next(self.network.parameters())
        )
        transport = self._map(
            self.network.condition_on(code).eval(), self.conditions.at(key)
        )
        transport.held_out_distance = (
            self.held_out_distance.get(int(key))
            if isinstance(self.conditions, Classes)
            else None
        )
        return transport

    def __call__(self, x: Any, condition: Any) -> Any:
        """Return T(x) given the condition, row by row: (n, d) -> (n, d)."""
        samples = read(x, "x", self.dim, min_rows=0)
        return samples.restore(
            self._by_rows(samples, condition, lambda transport, rows: transport(rows))
        )

    def inverse(self, z: Any, condition: Any, return_solution: bool = False) -> Any:
        """Return T^{-1}(z) given the condition, row by row: (n, d) -> (n, d), and on request the `Solution`.

        Rows that did not converge keep their best iterate; without `return_solution` a `ConvergenceWarning` says so.
        """
        samples, solutions = read(z, "z", self.dim, min_rows=0), list[Solution]()

        def backward(transport: TransportMap, rows: Tensor) -> Tensor:
            points, solution = transport.inverse(rows, return_solution=True)
            solutions.append(solution)
            moved: Tensor = points
            return moved

        moved = samples.restore(self._by_rows(samples, condition, backward))
        solution = Solution.concatenate(solutions)
        if return_solution:
            return moved, solution
        warn_unconverged(solution)
        return moved

    def interpolate(self, x: Any, condition: Any, t: float) -> Any:
        """Return (1 - t) x + t T(x): (n, d), for t in [0, 1]; other t extrapolate."""
        samples = read(x, "x", self.dim, min_rows=0)
        return samples.restore(
            self._by_rows(
                samples,
                condition,
                lambda transport, rows: transport.interpolate(rows, t),
            )
        )

    def dual_terms(
        self, x: Any, z: Any, x_condition: Any, z_condition: Any
    ) -> tuple[Tensor, Tensor, Solution]:
        """Return phi(x) (n,), phi^c(z) (m,) in cost units, float64, and how the inner solves went."""
        source, target = (
            read(rows, name, self.dim, min_rows=0)
            for rows, name in ((x, "x"), (z, "z"))
        )
        solutions = list[Solution]()

        def backward(transport: TransportMap, rows: Tensor) -> Tensor:
            terms, solution = transport.phi_c(rows)
            solutions.append(solution)
            return terms

        phi = self._by_rows(
            source, x_condition, lambda transport, rows: transport.phi(rows)
        )
        return (
            phi,
            self._by_rows(target, z_condition, backward),
            Solution.concatenate(solutions),
        )

    def distance(self, condition: Any, x: Any = None, z: Any = None) -> Distance:
        """Return W2 given a condition, from samples of it, else of a class as measured on held-out ones.

        Raises:
            DataError: where the label is unknown, or nothing was held out for the condition and no samples are given.
        """
        transport = self.at(condition)
        if x is None and z is None and transport.held_out_distance is None:
            raise DataError(
                f"x, z: no samples of {condition!r} were held out; give source and target samples of it"
            )
        return transport.distance(x, z)

    def to(self, device: torch.device | str) -> ConditionalMap:
        """Move the map to a device, and return it."""
        self.network.to(device)
        self.conditions = self.conditions.to(device)
        return self

    def _map(self, potential: Any, coordinates: Any) -> TransportMap:
        return TransportMap(
            potential,
            coordinates,
            method=self.method,
            tol=self.tol,
            max_steps=self.max_steps,
            batch_size=self.batch_size,
        )

    def _by_rows(
        self,
        samples: CheckedSamples,
        condition: Any,
        function: Callable[[TransportMap, Tensor], Tensor],
    ) -> Tensor:
        """Apply a function of a map and rows batch by batch, each row in the coordinates of its condition."""
        n, device = samples.shape[0], self.conditions.coordinates.unit.device
        keys, parts = (
            self.conditions.keys(condition, self.conditions.word, n),
            list[Tensor](),
        )
        most = min(self.batch_size, moved_at_once(self.dim))
        for first in range(0, max(1, n), most):
            last = first + most
            rows = samples.rows(first, last).to(device, torch.float64)
            parts.append(
                function(
                    self._map(self.network, self.conditions.rows(keys[first:last])),
                    rows,
                )
            )
        return torch.cat(parts)
