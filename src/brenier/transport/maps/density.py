"""The density of moved rows: of T#p, p the density of the source, by the change of variables.

    log q(z) = log p(x) - log det DT(x),      x = T^{-1}(z)

In the coordinates DT is I + Hess g, for another cost c(x, z) = h(z - x) the derivative of u + grad h*(grad g(u)). The
determinant is exact: a row takes d products of its Hessian, d times the work of a gradient or a little more, and the
cube of d. Rows are worked on by blocks, so memory is bounded. Everything is found in float64, whatever the precision of
the network, and inverses to a far smaller tolerance than usual, since log p changes with them to first order.

Where psi is not convex, T sends several points to one z, and x is only one of them: q then integrates to the share of
the source that inverses lead to. It is at most one, so no likelihood is too good by that.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from brenier.datasets import CheckedSamples, TableLike
from brenier.errors import ConvergenceWarning, DataError, warn
from brenier.potentials import usual_modes
from brenier.solve import Solution
from brenier.transport.coordinates import Coordinates
from brenier.transport.maps.arguments import warn_unconverged
from brenier.transport.maps.cost_rows import CostRowMap
from brenier.transport.maps.rows import RowMap
from brenier.transport.maps.support import ConditionalSupport, MapSupport

if TYPE_CHECKING:
    from brenier.transport.maps.conditional import ConditionalMap, ConditionsLike
    from brenier.transport.maps.map import TransportMap

SourceLogDensity: TypeAlias = Callable[[Tensor], "Tensor | np.ndarray"]
AnyMap = TypeVar("AnyMap", "TransportMap", "ConditionalMap")


@dataclasses.dataclass(frozen=True)
class DensitySettings:
    """How densities are computed.

    Attributes:
        tol: bound on the inner residual of inverses, in place of the map's where that is larger: log p of a row that is
            r standard deviations out errs by r times it.
        numbers_at_once: of the matrices of a block of rows; with the graph of the network a few dozen times as many.
    """

    tol: float = 1e-8
    numbers_at_once: int = 2**18


DENSITY_SETTINGS = DensitySettings()


class MapDensity(MapSupport):
    """What `TransportMap` says of densities."""

    def log_density(
        self,
        z: TableLike,
        source_log_density: SourceLogDensity | None = None,
    ) -> Any:
        """Return log q(z), q the density of T(x) for x of the source's law, both in units of the data: (n, d) -> (n,).

        Rows whose inverse did not converge are of their best iterate, with a `ConvergenceWarning` that counts them;
        those at whose x psi is not strictly convex, which have no such density, are -inf, with another. No graph is
        kept. It costs an inverse and d Hessian products a row.

        Args:
            z: (n, d), rows of the target side.
            source_log_density: log p: float64 points (n, d) -> (n,); by default that of N(0, I).

        Raises:
            DataError: for rows that cannot be used; where either side did not vary in some direction in training, so
                that there is no density; where mass is unbalanced; for log densities that are NaN, or not (n,).
        """
        own = cast("TransportMap", self)
        _check_mass(own)
        _check_density(own.coordinates)
        samples, twin = own._read(z, "z"), _exact_twin(own)
        rows = twin.rows()
        found, solution = twin._solved(lambda z: _inverse_terms(rows, z), samples)
        return _log_density(samples, found, solution, source_log_density)

    def log_det_jacobian(self, x: TableLike) -> Any:
        """Return log det DT(x), in units of the data: (n, d) -> (n,).

        Rows where psi is not strictly convex (with other costs, where det DT is not positive) are -inf, with a
        `ConvergenceWarning` that counts them. No graph is kept. It costs d Hessian products a row.

        Raises:
            DataError: for rows that cannot be used; where the target did not vary in some direction in training.
        """
        own = cast("TransportMap", self)
        _check_density(own.coordinates, target_only=True)
        samples, twin = own._read(x, "x"), _exact_twin(own)
        rows = twin.rows()
        found = twin._in_batches(lambda x: _determinants(rows, x), samples)
        return _log_determinants(samples, found)


class ConditionalDensity(ConditionalSupport):
    """What `ConditionalMap` says of densities."""

    def log_density(
        self,
        z: TableLike,
        condition: ConditionsLike,
        source_log_density: SourceLogDensity | None = None,
    ) -> Any:
        """Return log q(z) given the condition, row by row: (n, d) -> (n,), as `TransportMap.log_density` does.

        The law of the source is the same in every condition, N(0, I) by default.
        """
        own = cast("ConditionalMap", self)
        _check_density(own.coordinates)
        samples, twin = own._read(z, "z"), _exact_twin(own)
        index = own._index(condition, samples)
        found, solution = twin._solved(_inverse_terms, samples, index)
        return _log_density(samples, found, solution, source_log_density)

    def log_det_jacobian(self, x: TableLike, condition: ConditionsLike) -> Any:
        """Return log det DT(x) given the condition: (n, d) -> (n,), as `TransportMap.log_det_jacobian` does."""
        own = cast("ConditionalMap", self)
        _check_density(own.coordinates, target_only=True)
        samples, twin = own._read(x, "x"), _exact_twin(own)
        index = own._index(condition, samples)
        return _log_determinants(samples, twin._at_index(_determinants, samples, index))


def _exact_twin(transport: AnyMap) -> AnyMap:
    """Return the same map in float64, with exact inverses and without gradients to its parameters."""
    twin = copy.copy(transport)
    twin.network = copy.deepcopy(transport.network).double().requires_grad_(False)
    if transport.start_rows is not None:
        twin.start_rows = transport.start_rows.double()
    twin.tol = min(transport.tol, DENSITY_SETTINGS.tol)
    return twin


def _check_mass(transport: TransportMap) -> None:
    if transport.ground is not None and transport.ground.mass is not None:
        raise DataError(
            "log_density: mass is unbalanced, so moved rows are no law; take log_det_jacobian and growth, or fit with "
            "mass='balanced'"
        )


def _check_density(coordinates: Coordinates, target_only: bool = False) -> None:
    """Raise where moved rows have no density, or those of the source have none."""
    sides = {"target": coordinates.inverse, "source": coordinates.basis}
    for side, matrix in sides.items():
        values = torch.linalg.svdvals(matrix)
        least = len(coordinates.unit) * torch.finfo(matrix.dtype).eps
        flat = (values <= least * values[..., :1]).any(-1)
        if bool(flat.any()) and not (target_only and side == "source"):
            raise DataError(
                f"log_density: the {side} did not vary in some direction when the map was fitted (a constant feature, "
                "or one that follows from others), so there is no density; fit without such features, or with a "
                "little noise on them"
            )


def _inverse_terms(rows: RowMap | CostRowMap, z: Tensor) -> tuple[Tensor, Solution]:
    """Return [T^{-1}(z), what `_determinants` says there]: (n, d) -> (n, d + 2)."""
    x, solution = rows.backward(z)
    return torch.cat([x, _determinants(rows, x)], -1), solution


def _determinants(rows: RowMap | CostRowMap, x: Tensor) -> Tensor:
    """Return log det DT(x), or 0 where it is no number, and whether it is one: (n, d) -> (n, 2)."""
    u = rows.coordinates.encode_source(x)
    dim = x.shape[-1]
    block = max(1, DENSITY_SETTINGS.numbers_at_once // dim**2)
    of_blocks = []
    for part in u.split(block):
        matrices = _jacobians(lambda u: _image(rows, u), part, dim)
        of_blocks.append(_log_det(matrices, symmetric=isinstance(rows, RowMap)))
    found = torch.cat(of_blocks)
    if isinstance(rows, RowMap):
        found[:, 0] += rows.coordinates.log_det() * found[:, 1]
    return found


def _image(rows: RowMap | CostRowMap, u: Tensor) -> Tensor:
    """Return the image of points u in the coordinates, with its graph: (n, d) -> (n, d)."""
    slopes = rows.network.gradient(u)
    return u + (slopes if isinstance(rows, RowMap) else rows.moves(slopes))


def _jacobians(function: Callable[[Tensor], Tensor], u: Tensor, dim: int) -> Tensor:
    """Return the derivatives of a function of rows in the first `dim` coordinates: (n, d + e) -> (n, dim, dim)."""
    lines = []
    with torch.enable_grad():
        u = u.detach().requires_grad_()
        found = function(u)
        for k in range(dim):
            (line,) = torch.autograd.grad(found[:, k].sum(), u, retain_graph=True)
            lines.append(line[:, :dim])
    return torch.stack(lines, 1)


def _log_det(matrices: Tensor, symmetric: bool) -> Tensor:
    """Return log det, or 0 where it is no number, and whether it is one: (n, d, d) -> (n, 2).

    Args:
        matrices: of the rows.
        symmetric: whether they are Hessians of psi, of which positive definite ones count alone.
    """
    if symmetric:
        factor, fault = torch.linalg.cholesky_ex((matrices + matrices.mT) / 2)
        good = fault == 0
        value = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    else:
        sign, value = torch.linalg.slogdet(matrices)
        good = sign > 0
    good = good & value.isfinite()
    return torch.stack([torch.where(good, value, 0.0), good.to(value)], -1)


def _log_density(
    samples: CheckedSamples,
    found: Tensor,
    solution: Solution,
    source: SourceLogDensity | None,
) -> Any:
    """Return the log-density of rows, given [x, log det, whether it is one] (n, d + 2), and warn where need be."""
    warn_unconverged(solution, "log_density")
    points, log_det, good = found[:, :-2], found[:, -2], found[:, -1] > 0
    with usual_modes(gradients=False):
        log_p = _source_values(source or standard_log_density, points)
    _warn_folded(good, "log_density", "T^{-1}(z)")
    values = torch.where(good, log_p - log_det, -math.inf)
    return samples.restore(values.to(samples.dtype))


def _log_determinants(samples: CheckedSamples, found: Tensor) -> Any:
    """Return log-determinants, given [log det, whether it is one] (n, 2), and warn where need be."""
    good = found[:, 1] > 0
    _warn_folded(good, "log_det_jacobian", "x")
    values = torch.where(good, found[:, 0], -math.inf)
    return samples.restore(values.to(samples.dtype))


def _warn_folded(good: Tensor, name: str, where: str) -> None:
    bad = (~good).nonzero().squeeze(-1)
    if len(bad):
        warn(
            f"{name}: psi is not strictly convex at {where} of {len(bad)} of {len(good)} rows, the first row "
            f"{int(bad[0])}, which are given -inf; train longer, or fit with potential='convex'",
            ConvergenceWarning,
        )


def standard_log_density(x: Tensor) -> Tensor:
    """Return the log-density of N(0, I): (n, d) -> (n,)."""
    return -0.5 * (x.square().sum(-1) + x.shape[-1] * math.log(2 * math.pi))


def _source_values(source: SourceLogDensity, points: Tensor) -> Tensor:
    """Return the log-density of the source at points (n, d), checked: (n,).

    Raises:
        DataError: where it is not (n,), or NaN or infinite density somewhere.
    """
    found = torch.as_tensor(source(points)).detach().to(points)
    if found.shape != points.shape[:1]:
        raise DataError(
            f"source_log_density: must return (n,) numbers for (n, d) points, here ({len(points)},), got "
            f"{tuple(found.shape)}",
            argument="source_log_density",
        )
    bad = (found.isnan() | (found == math.inf)).nonzero().squeeze(-1)
    if len(bad):
        raise DataError(
            f"source_log_density: is {float(found[bad[0]])} at {len(bad)} of {len(points)} points, the first that of "
            f"row {int(bad[0])}; return a log-density, -inf where there is none",
            argument="source_log_density",
        )
    return found
