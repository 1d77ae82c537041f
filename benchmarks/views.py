"""Inner problems in the coordinates of the library, and in plain ones, as in the published method."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from brenier import Potential, TransportMap


class Plain(Potential):
    """The same psi seen from coordinates that are only centred and scaled: psi(a) = k^2 psi~(V a).

        g(a) = k^2 psi~(V a) - |a|^2/2,   grad psi(a) = k^2 V' grad psi~(V a),   V = A^{-1} / k

    With the library's coordinates u = A^{-1} (x - m0)/s, w = A' (z - m1)/s and a = k (x - m0)/s, b = k (z - m1)/s, the
    map from a to b is k^2 V' T~(V a), where T~ takes u to w.

    Args:
        potential: g~(u) = psi~(u) - |u|^2/2.
        matrix: (d, d), V.
        scale: k.
    """

    def __init__(self, potential: Potential, matrix: Tensor, scale: float) -> None:
        super().__init__()
        self.dim, self.inner = potential.dim, potential
        self.scale: float = scale
        self.matrix: Tensor
        self.register_buffer("matrix", matrix)

    def forward(self, a: Tensor) -> Tensor:
        """Return g(a): (n, d) -> (n,)."""
        u = a @ self.matrix.mT
        psi = self.inner(u) + 0.5 * u.square().sum(-1)
        return self.scale**2 * psi - 0.5 * a.square().sum(-1)

    def value_and_gradient(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Return g(a) (n,) and its gradient (n, d)."""
        u = a @ self.matrix.mT
        value, gradient = self.inner.value_and_gradient(u)
        psi = value + 0.5 * u.square().sum(-1)
        return self.scale**2 * psi - 0.5 * a.square().sum(-1), self.scale**2 * (
            gradient + u
        ) @ self.matrix - a

    def hessian_product(self, a: Tensor, v: Tensor) -> Tensor:
        """Return Hess g(a) v, row by row: (n, d)."""
        moved = v @ self.matrix.mT
        product = self.inner.hessian_product(a @ self.matrix.mT, moved) + moved
        return self.scale**2 * product @ self.matrix - v


class View(NamedTuple):
    """The inner problems of some target points in some coordinates.

    Attributes:
        potential: g.
        z: (n, d), the target points.
        decode_source: from coordinates of the source side to the data's.
    """

    potential: Potential
    z: Tensor
    decode_source: Callable[[Tensor], Tensor]


def library_view(transport: TransportMap, z: Tensor) -> View:
    """Return the problems as the library poses them."""
    coordinates = transport.coordinates
    points = coordinates.encode_target(z.double()).float()
    return View(
        transport.network, points, lambda u: coordinates.decode_source(u.double())
    )


def plain_view(transport: TransportMap, x: Tensor, z: Tensor) -> View:
    """Return the same problems in coordinates that are only centred and scaled by one number."""
    c = transport.coordinates
    a = (x.double() - c.source_mean) / c.unit
    b = (z.double() - c.target_mean) / c.unit
    scale = float(2 / (a.square().mean() + b.square().mean())) ** 0.5
    potential = Plain(transport.network, (c.inverse / scale).float(), scale)
    return View(
        potential,
        (scale * b).float(),
        lambda y: y.double() / scale * c.unit + c.source_mean,
    )
