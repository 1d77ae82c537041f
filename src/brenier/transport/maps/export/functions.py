"""What a file computes, as functions of tensors: a map of rows, or what its inverse minimises.

map         x -> T(x), in the units of the data
potential   u, z -> F, grad F, x, start      with F(u) = |u - w|^2/2 + g(u) in the coordinates, w those of z

A minimiser u of F gives T^{-1}(z) = x. In the coordinates F is well conditioned, so a plain loop finds it; it may start
at `start`, which is w. For another cost c(x, z) = h(z - x), F(u) = h(w - u) + g(u).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from brenier.potentials import Potential
from brenier.transport.coordinates import TensorConditions
from brenier.transport.maps.cost_rows import CostRowMap
from brenier.transport.maps.rows import RowMap

AnyRowMap: TypeAlias = RowMap | CostRowMap
Outputs: TypeAlias = tuple[Tensor, ...]
# A potential and points (n, d) -> g (n,) and grad g (n, d)
Differentiated: TypeAlias = Callable[[Potential, Tensor], tuple[Tensor, Tensor]]


@dataclasses.dataclass(frozen=True)
class RowFunction:
    """A function of rows as a file holds it.

    Attributes:
        rows: the map of rows; where there are conditions, of any rows.
        conditions: by which rows differ, or None.
        dtype: of what comes out.
    """

    rows: AnyRowMap
    conditions: TensorConditions | None
    dtype: torch.dtype

    def __call__(self, *inputs: Tensor) -> Outputs:
        """Return all outputs."""
        raise NotImplementedError

    def of_condition(self, given: tuple[Tensor, ...]) -> AnyRowMap:
        """Return the map of rows whose conditions are given, the last of the inputs where there are any."""
        if self.conditions is None or not isinstance(self.rows, RowMap):
            return self.rows
        condition = given[0]
        if condition.is_floating_point():
            condition = condition.double()
        side = self.conditions.side(condition)
        return dataclasses.replace(self.rows, coordinates=side)


class MapFunction(RowFunction):
    """x (n, d), and what the rows are conditioned on -> T(x) (n, d)."""

    def __call__(self, *inputs: Tensor) -> Outputs:
        """Return T(x)."""
        x, *given = inputs
        moved = self.of_condition(tuple(given)).forward(x.double())
        return (moved.to(self.dtype),)


class InnerFunction(RowFunction):
    """u (n, d), z (n, d), and what the rows are conditioned on -> F (n,), grad F (n, d), x (n, d), start (n, d)."""

    def __call__(self, *inputs: Tensor) -> Outputs:
        """Return F and its gradient at u, the row x that u stands for, and where a search may start."""
        u, z, *given = inputs
        rows = self.of_condition(tuple(given))
        found = inner_parts(rows, u.double(), z.double(), by_graph)
        return tuple(part.to(self.dtype) for part in found)


def inner_parts(
    rows: AnyRowMap, u: Tensor, z: Tensor, differentiated: Differentiated
) -> Outputs:
    """Return F (n,), its gradient (n, d), x (n, d) and the start (n, d), float64.

    Args:
        rows: the map.
        u: (n, d), where F is wanted, in the coordinates.
        z: (n, d), the rows whose inverses are sought.
        differentiated: how values and gradients of g are found.
    """
    d = z.shape[-1]
    whole = rows.coordinates.encode_target(z)
    w = whole[:, :d]
    points = torch.cat([u, whole[:, d:]], -1)
    dtype = next(rows.network.parameters()).dtype
    value, slopes = differentiated(rows.network, points.to(dtype))
    value, slopes = value.double(), slopes[:, :d].double()
    if isinstance(rows, RowMap):
        away = u - w
        least = 0.5 * torch.linalg.vecdot(away, away)
        x = rows.coordinates.decode_source(points)
        return least + value, away + slopes, x, w
    move = w - u
    cost, gradient = rows.ground.value(move), rows.ground.gradient(move)
    x = z - move * rows.coordinates.unit
    return cost + value, slopes - gradient, x, w


def by_graph(potential: Potential, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return g and its gradient by automatic differentiation, which can be traced."""
    points = points.detach().requires_grad_()
    value: Tensor = potential(points)
    (slopes,) = torch.autograd.grad(value.sum(), points, create_graph=True)
    return value, slopes


def by_hand(potential: Potential, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return g and its gradient as the inner solver finds them."""
    with torch.no_grad():
        return potential.value_and_gradient(points)
