"""The transport map: what comes out of training, ready to be called, inverted, measured and interpolated.

forward   T(x) = x + grad g(x)              one gradient per row
inverse   T^{-1}(z) = argmin_y |y - z|^2/2 + g(y)    one small minimisation per row
between   x_t = (1 - t) x + t T(x)          displacement interpolation (McCann, 1997)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from brenier.datasets import CheckedSamples, read
from brenier.errors import ConvergenceWarning, DataError, warn
from brenier.potentials import Potential
from brenier.solve import BFGS, Method, Solution
from brenier.statistics import (
    ControlVariateSettings,
    SampleTerms,
    adjusted_difference,
    root_with_error,
    standard_error,
)
from brenier.transport.coordinates import Coordinates, identity_coordinates
from brenier.transport.dual import Conjugate, conjugate
from brenier.transport.maps.distance import Distance


class TransportMap:
    """An optimal transport map between x- and z-samples, from one potential.

    Arrays, tensors and frames are accepted everywhere and come back as the same kind; rows are worked on in batches, so
    memory stays bounded.

    Args:
        potential: g, in the given coordinates.
        coordinates: affine coordinates of both sides; those of the data themselves by default.
        method: inner solver of the inverse, `BFGS()` by default.
        tol: bound on the inner residual in the coordinates, where the average feature has variance one; rows more than
            one standard deviation out are held to this share of their distance.
        max_steps: inner steps after which a row is reported as unconverged.
        batch_size: rows per batch.
        held_out: the distance measured on held-out samples at fit time, if any.
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
        held_out: Distance | None = None,
    ) -> None:
        self.network = potential
        self.coordinates = (
            identity_coordinates(potential.dim) if coordinates is None else coordinates
        )
        self.dim = self.coordinates.dim
        self.method, self.tol, self.max_steps = method or BFGS(), tol, max_steps
        self.batch_size, self.held_out_distance = batch_size, held_out
        parameter = next(potential.parameters())
        self.coordinates = self.coordinates.to(parameter.device)
        self._type = parameter.dtype

    def __call__(self, x: Any) -> Any:
        """Return T(x): (n, d) -> (n, d)."""
        samples = self._read(x, "x")
        return samples.restore(self._in_batches(self._forward, samples, samples.dtype))

    def inverse(self, z: Any, return_solution: bool = False) -> Any:
        """Return T^{-1}(z): (n, d) -> (n, d), and on request the `Solution` (in the map's coordinates).

        Rows that did not converge keep their best iterate; without `return_solution` a `ConvergenceWarning` says so.
        """
        samples, solutions = self._read(z, "z"), list[Solution]()

        def backward(rows: Tensor) -> Tensor:
            found = self._conjugate(self.coordinates.encode_target(rows).to(self._type))
            solutions.append(found.solution)
            return self.coordinates.decode_source(found.point.to(rows))

        points = samples.restore(self._in_batches(backward, samples, samples.dtype))
        solution = Solution.concatenate(solutions)
        if return_solution:
            return points, solution
        warn_unconverged(solution)
        return points

    def interpolate(self, x: Any, t: float) -> Any:
        """Return (1 - t) x + t T(x): (n, d), for t in [0, 1]; other t extrapolate.

        Raises:
            DataError: where t is not a finite number.
        """
        if not torch.isfinite(torch.as_tensor(float(t))):
            raise DataError(
                f"t: must be a finite number, got {t}; 0 gives x, 1 gives T(x)"
            )
        samples = self._read(x, "x")
        between = self._in_batches(
            lambda rows: torch.lerp(rows, self._forward(rows), float(t)),
            samples,
            samples.dtype,
        )
        return samples.restore(between)

    def potential(self, x: Any) -> Any:
        """Return g(x), with T(x) = x + s^2 grad g(x) for the feature units s: (n,).

        Where all features share one unit, g is in squared units of the data and T(x) = x + grad g(x).
        """
        samples = self._read(x, "x")
        scale = self.coordinates.squared_unit()
        return samples.restore(
            self._in_batches(lambda rows: -scale * self._source_terms(rows), samples)
        )

    def cost(self, x: Any) -> Any:
        """Return c(x, T(x)) = |x - T(x)|^2/2 in the units of the data, or in feature units where those differ: (n,)."""
        samples = self._read(x, "x")
        scale = self.coordinates.squared_unit()

        def cost(rows: Tensor) -> Tensor:
            return scale * self.coordinates.cost(rows, self._forward(rows))

        return samples.restore(self._in_batches(cost, samples))

    def dual_terms(self, x: Any, z: Any) -> tuple[Tensor, Tensor, Solution]:
        """Return phi(x) (n,), phi^c(z) (m,) in cost units, float64, and how the inner solves went.

        The sum of their means estimates the dual value of W2^2/2.
        """
        return self.phi(x), *self.phi_c(z)

    def phi(self, x: Any) -> Tensor:
        """Return the terms of the source in cost units, float64: (n,)."""
        return self._in_batches(self._source_terms, self._read(x, "x"))

    def phi_c(self, z: Any) -> tuple[Tensor, Solution]:
        """Return the terms of the target in cost units, float64 (m,), and how the inner solves went."""
        solutions = list[Solution]()

        def terms(rows: Tensor) -> Tensor:
            w = self.coordinates.encode_target(rows)
            found = self._conjugate(w.to(self._type))
            solutions.append(found.solution)
            return self.coordinates.target_terms(rows, w, found.value)

        return self._in_batches(terms, self._read(z, "z")), Solution.concatenate(
            solutions
        )

    def distance(self, x: Any = None, z: Any = None) -> Distance:
        """Return W2 with its bounds and standard errors, from the samples given, else as measured on held-out ones.

        Raises:
            DataError: where only one of x and z is given, or neither and the map was not fitted with held-out samples.
        """
        if x is None and z is None and self.held_out_distance is not None:
            return self.held_out_distance
        if x is None or z is None:
            raise DataError(
                "x, z: give both source and target samples; this map carries no held-out measurement"
            )
        return self.measure(x, z, held_out=False)

    def measure(
        self, x: Any, z: Any, held_out: bool, many: tuple[Tensor, Tensor] | None = None
    ) -> Distance:
        """Return the distance on samples that training has or has not seen.

        With `many` other rows of either side, in the units of the data, the noise of the samples' moments is taken out
        of the dual value (see `evidence`).
        """
        phi, phi_c, solution = self.dual_terms(x, z)
        samples = self._read(x, "x")
        cost = self._in_batches(
            lambda rows: self.coordinates.cost(rows, self._forward(rows)), samples
        )
        scale = 2.0 * self.coordinates.squared_unit()  # from c to squared distance
        convexity = self.network.strong_convexity()
        dual, error = float(phi.mean() + phi_c.mean()), standard_error(phi, phi_c)
        if many is not None:
            dual, error = self._adjusted(
                (phi, phi_c), (x.to(phi.device), z.to(phi.device)), many
            )
        dual, error = scale * dual, scale * error
        excess = (
            scale * float(solution.residual.double().square().mean()) / (2 * convexity)
            if convexity
            else 0.0
        )
        w2, w2_error = root_with_error(dual, error)
        lower, lower_error = root_with_error(dual - excess, error)
        primal, primal_error = root_with_error(
            scale * float(cost.mean()), scale * standard_error(cost)
        )
        return Distance(
            w2=w2,
            w2_error=w2_error,
            lower=lower,
            lower_error=lower_error,
            primal=primal,
            primal_error=primal_error,
            certified=convexity > 0,
            unconverged=solution.unconverged,
            rows=(len(phi), len(phi_c)),
            unit="units of the data"
            if self.coordinates.common
            else "units of each feature's scale",
            held_out=held_out,
        )

    def _adjusted(
        self,
        terms: tuple[Tensor, Tensor],
        samples: tuple[Tensor, Tensor],
        many: tuple[Tensor, Tensor],
    ) -> tuple[float, float]:
        """Return the dual value and its standard error, with moments known from many other rows."""
        u, w = self.coordinates.encode_source, self.coordinates.encode_target
        rows = ControlVariateSettings().fitted_rows
        phi, phi_c, _ = self.dual_terms(many[0][:rows], many[1][:rows])
        return adjusted_difference(
            SampleTerms(terms[0], u(samples[0]), u(many[0]), phi),
            SampleTerms(-terms[1], w(samples[1]), w(many[1]), -phi_c),
        )

    def to(self, device: torch.device | str) -> TransportMap:
        """Move the map to a device, and return it."""
        self.network.to(device)
        self.coordinates = self.coordinates.to(device)
        return self

    def _forward(self, x: Tensor) -> Tensor:
        u = self.coordinates.encode_source(x).to(self._type)
        return self.coordinates.decode_target((u + self.network.gradient(u)).to(x))

    def _source_terms(self, x: Tensor) -> Tensor:
        u = self.coordinates.encode_source(x)
        return self.coordinates.source_terms(x, u, self.network(u.to(self._type)))

    def _conjugate(self, w: Tensor) -> Conjugate:
        # Far from the centre rounding grows with |w|, and so does what is close enough.
        tol = self.tol * (
            torch.linalg.vector_norm(w, dim=-1) / w.shape[-1] ** 0.5
        ).clamp(min=1.0)
        return conjugate(
            self.network, w, method=self.method, tol=tol, max_steps=self.max_steps
        )

    def _read(self, values: Any, name: str) -> CheckedSamples:
        return read(values, name, self.dim, min_rows=0)

    @torch.no_grad()
    def _in_batches(
        self,
        function: Callable[[Tensor], Tensor],
        samples: CheckedSamples,
        dtype: torch.dtype = torch.float64,
    ) -> Tensor:
        """Apply a function of float64 rows on the map's device, batch by batch, into one tensor of the given type."""
        device, n = self.coordinates.unit.device, samples.shape[0]
        result, lost = torch.empty(0), list[Tensor]()
        for first in range(0, max(1, n), self.batch_size):
            part = function(
                samples.rows(first, first + self.batch_size).to(device, torch.float64)
            )
            if first == 0:
                result = part.new_empty((n, *part.shape[1:]), dtype=dtype)
            result[first : first + len(part)] = part
            finite = torch.isfinite(part)
            lost.append(
                (~(finite if part.ndim == 1 else finite.all(-1))).nonzero().squeeze(-1)
                + first
            )
        rows = torch.cat(lost)
        if rows.numel():
            raise DataError(
                f"{samples.name}: {rows.numel()} of {n} rows, the first row {int(rows[0])}, lie "
                f"so far from the training data that {str(self._type).removeprefix('torch.')} overflows; remove them, "
                "or fit in other units or with dtype='float64'"
            )
        return result


def warn_unconverged(solution: Solution) -> None:
    """Warn, on behalf of an inverse, where rows did not converge."""
    if solution.unconverged:
        warn(f"inverse: {solution.report()}", ConvergenceWarning)
